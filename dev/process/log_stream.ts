/** One log of all services: `runner   | {"event":"job:claimed"}`, each name in its colour on a terminal. */
import { terminalText } from "../../core/terminal_text.ts";

const WIDTH = 9;
const COLOURS = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

export type LogLine = (service: string, line: string) => void;

/** @param colour whether `write` ends on a terminal. */
export function createLogStream(write: (text: string) => void, options: { colour: boolean }): LogLine {
  const seen: string[] = [];
  return (service, line) => {
    if (!seen.includes(service)) seen.push(service);
    const name = service.padEnd(WIDTH);
    const colour = COLOURS[seen.indexOf(service) % COLOURS.length];
    const text = terminalText(line); // what a service logs may hold words of others
    write(options.colour ? `\x1b[${colour}m${name} |\x1b[0m ${text}` : `${name} | ${text}`);
  };
}
