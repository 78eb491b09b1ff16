// Reads string literals that scripts give to a property, such as `file: "https://…"`, in one pass over the text.
// Example: propertyStrings('player.src({src:"a.m3u8"})', ["src"]) → [{ name: "src", value: "a.m3u8", at: 12 }].
// A regular expression would rescan the text for every unclosed quote. Runs on: Deno, edge runtime.

const MAX_STRING = 4096;
const MAX_FOUND = 200;

export interface PropertyString {
  readonly name: string;
  readonly value: string;
  /** Where the property's name begins. */
  readonly at: number;
}

/** Values of the named properties in the order of the text, at most 200. */
export function propertyStrings(text: string, names: readonly string[]): readonly PropertyString[] {
  const found: PropertyString[] = [];
  const pattern = new RegExp(`(?<![\\w$-])(?:${names.join("|")})(?![\\w$-])`, "g");
  for (let match = pattern.exec(text); match !== null && found.length < MAX_FOUND; match = pattern.exec(text)) {
    const colon = skipBlanks(text, skipQuote(text, pattern.lastIndex));
    if (text[colon] !== ":") continue;
    const value = readString(text, skipBlanks(text, colon + 1));
    if (value === null) continue;
    found.push({ name: match[0], value: value.text, at: match.index });
    pattern.lastIndex = value.end;
  }
  return found;
}

function skipQuote(text: string, at: number): number {
  return text[at] === '"' || text[at] === "'" ? at + 1 : at;
}

/** At most 64, so that a name followed by a megabyte of blanks is not searched to its end. */
function skipBlanks(text: string, at: number): number {
  let next = at;
  while (next < at + 64 && (text[next] === " " || text[next] === "\t" || text[next] === "\n" || text[next] === "\r")) {
    next++;
  }
  return next;
}

function readString(text: string, at: number): { readonly text: string; readonly end: number } | null {
  const quote = text[at];
  if (quote !== '"' && quote !== "'" && quote !== "`") return null;
  for (let next = at + 1; next < text.length && next - at <= MAX_STRING; next++) {
    if (text[next] === "\\") next++;
    else if (text[next] === quote) return { text: unescape(text.slice(at + 1, next)), end: next + 1 };
    else if (text[next] === "\n") return null;
  }
  return null;
}

function unescape(text: string): string {
  return text.replace(
    /\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))/g,
    (_, unicode, hex, plain) => plain ?? String.fromCharCode(parseInt(unicode ?? hex, 16)),
  );
}
