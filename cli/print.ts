/**
 * How a command prints: what it says may hold words of others (labels, messages, rows), and none of them is a command to the terminal.
 * Example: `print(`${name}: ${terminalText(reason)}`)`. Line breaks are the caller's: foreign text goes through terminalText first.
 */
import { terminalJson, terminalLines } from "../core/terminal_text.ts";

export { terminalText } from "../core/terminal_text.ts";

export function print(text: string): void {
  console.log(terminalLines(text));
}

export function printError(text: string): void {
  console.error(terminalLines(text));
}

/** The value for programs. */
export function printJson(value: unknown): void {
  console.log(terminalJson(value, 2));
}
