// On which line of a JSON text each element of its top-level array begins, so that a report can name the line.
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
export function syntaxProblem(
  text: string,
  error: unknown,
): { readonly line: number; readonly reasons: readonly string[] } {
  const message = error instanceof Error ? error.message : String(error);
  const position = Number(/position (\d+)/.exec(message)?.[1] ?? 0);
  return { line: text.slice(0, position).split("\n").length, reasons: [`not JSON: ${message}`] };
}

/** What some editors put in front of a file; JSON.parse takes it for a mistake. */
export function withoutByteOrderMark(text: string): string {
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}
