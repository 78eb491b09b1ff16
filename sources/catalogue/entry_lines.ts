// The line of a JSON text on which each element of its top-level array begins, for error messages.
// Example: entryLines('[\n  {"a": 1},\n  {"a": 2}\n]') → [2, 3]. Runs on: Deno, edge runtime.

/** Lines from 1, one per element; meant for text that JSON.parse accepts. */
export function entryLines(text: string): readonly number[] {
  const lines: number[] = [];
  let line = 1;
  let depth = 0;
  let expectsElement = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === "\n") line++;
    if (/\s/.test(character)) continue;
    if (depth === 1 && expectsElement && character !== "]") {
      lines.push(line);
      expectsElement = false;
    }
    if (character === '"') at = stringEnd(text, at);
    else if (character === "[" || character === "{") {
      if (depth === 0) expectsElement = true;
      depth++;
    } else if (character === "]" || character === "}") depth--;
    else if (character === "," && depth === 1) expectsElement = true;
  }
  return lines;
}

function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

/** Line and reason of what JSON.parse threw. */
export function syntaxIssue(
  text: string,
  error: unknown,
): { readonly line: number; readonly reasons: readonly string[] } {
  const message = error instanceof Error ? error.message : String(error);
  const position = Number(/position (\d+)/.exec(message)?.[1] ?? 0);
  return { line: text.slice(0, position).split("\n").length, reasons: [`not JSON: ${message}`] };
}

/** Some editors write a byte order mark, which JSON.parse refuses. */
export function withoutByteOrderMark(text: string): string {
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}
