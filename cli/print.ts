// Prints text that may contain foreign words (labels, messages, rows), without control sequences for the terminal. Line breaks are kept,
// so foreign text goes through terminalText first. Example: print(`${name}: ${terminalText(reason)}`).
import { terminalJson, terminalLines } from "../core/terminal_text.ts";

export { terminalText } from "../core/terminal_text.ts";

export function print(text: string): void {
  console.log(terminalLines(text));
}

export function printError(text: string): void {
  console.error(terminalLines(text));
}

/** For programs. */
export function printJson(value: unknown): void {
  console.log(terminalJson(value, 2));
}
