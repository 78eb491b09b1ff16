// Removes terminal control sequences from text of external origin (a site's label, an error message, a row) before it is printed.
// Example: terminalText("720p\u001b]0;owned\u0007\u202egpj") → "720p]0;ownedgpj"

/** C0 and C1 controls, which include ESC, DEL and CSI; embeddings, overrides and isolates of the bidi algorithm. */
// deno-lint-ignore no-control-regex
const COMMANDS = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const UNESCAPED = /[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const LINE_BREAKS = /[\r\n\u0085\u2028\u2029]+|\t/g;

/** One line: line breaks become spaces, so that the text cannot imitate a line of our own output. */
export function terminalText(text: string): string {
  return text.replace(LINE_BREAKS, " ").replace(COMMANDS, "");
}

/** Keeps line breaks: for text whose line breaks are our own. */
export function terminalLines(text: string): string {
  return text.split("\n").map(terminalText).join("\n");
}

/** `JSON.stringify`, which escapes C0 only, with the other control characters escaped as well. */
export function terminalJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent)
    .replace(UNESCAPED, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
