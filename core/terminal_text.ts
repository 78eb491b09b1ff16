// Text of outside origin (a site's label, an error message, a row) on its way to a terminal: nothing in it is a command.
// Example: terminalText("720p\u001b]0;owned\u0007\u202egpj") → "720p]0;ownedgpj". Runs on: anywhere.

/** C0 and C1 controls with ESC, DEL and CSI among them; embeddings, overrides and isolates of the bidi algorithm. */
// deno-lint-ignore no-control-regex
const COMMANDS = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const UNESCAPED = /[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const LINE_BREAKS = /[\r\n\u0085\u2028\u2029]+|\t/g;

/** One line: what would break it becomes a blank, so that foreign text cannot pass for a line of ours. */
export function terminalText(text: string): string {
  return text.replace(LINE_BREAKS, " ").replace(COMMANDS, "");
}

/** Several lines, which stay. For text whose line breaks are our own. */
export function terminalLines(text: string): string {
  return text.split("\n").map(terminalText).join("\n");
}

/** JSON of the same value, in which the commands that `JSON.stringify` leaves (it escapes C0 alone) are escaped, too. */
export function terminalJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent)
    .replace(UNESCAPED, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
