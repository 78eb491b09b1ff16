/** One log for all services: `runner   | {"event":"job:claimed"}`, with coloured names on a terminal. */
import { terminalText } from "../../core/terminal_text.ts";

const WIDTH = 9;
const COLOURS = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

export type LogLine = (service: string, line: string) => void;

/** @param colour whether `write` goes to a terminal. */
export function createLogStream(write: (text: string) => void, options: { colour: boolean }): LogLine {
  const seen: string[] = [];
  return (service, line) => {
    if (!seen.includes(service)) seen.push(service);
    const name = service.padEnd(WIDTH);
    const colour = COLOURS[seen.indexOf(service) % COLOURS.length];
    const text = terminalText(line); // a log line may contain third-party text
    write(options.colour ? `\x1b[${colour}m${name} |\x1b[0m ${text}` : `${name} | ${text}`);
  };
}
