// The tags of a page in one pass, without a tree: the tags of an embed page are enough, and parsing one takes a hundred times
// as long. Example: for (const { name, attributes } of tags('<IFRAME SRC="/e/1">')) → iframe, src=/e/1.
// Comments are skipped. Runs on: Deno, edge runtime.

export interface Tag {
  /** Lower case; `/video` is an end tag; empty for an angle bracket that begins no tag. */
  readonly name: string;
  /** Names in lower case, the first of two wins, values with their character references replaced. */
  readonly attributes: ReadonlyMap<string, string>;
  /** What follows: up to the next bracket, or the whole text of a script, a style sheet or a title. */
  readonly text: string;
}

const RAW_TEXT = new Set(["script", "style", "textarea", "title", "xmp"]);
const REFERENCES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\xa0" };

const BRACKET: Tag = { name: "", attributes: new Map(), text: "" };

export function* tags(html: string): Generator<Tag> {
  let at = html.indexOf("<");
  while (at !== -1) {
    if (html.startsWith("<!--", at)) {
      const end = html.indexOf("-->", at + 4);
      if (end === -1) return;
      at = html.indexOf("<", end + 3);
      continue;
    }
    const name = matchAt(/\/?[a-z][^\s/>]*/iy, html, at + 1)?.toLowerCase();
    if (name === undefined) {
      yield BRACKET;
      at = html.indexOf("<", at + 1);
      continue;
    }
    const read = readAttributes(html, at + 1 + name.length);
    if (read === null) return; // a quote or a tag that never ends: the rest is its text, as in browsers
    let next = html.indexOf("<", read.end);
    if (RAW_TEXT.has(name)) {
      const close = new RegExp(`</${name}`, "gi");
      close.lastIndex = read.end;
      next = close.exec(html)?.index ?? -1;
    }
    yield { name, attributes: read.attributes, text: html.slice(read.end, next === -1 ? html.length : next) };
    at = next;
  }
}

function readAttributes(html: string, from: number): { attributes: Map<string, string>; end: number } | null {
  const attributes = new Map<string, string>();
  let at = from;
  for (;;) {
    at += matchAt(/[\s/]*/y, html, at)?.length ?? 0;
    if (at >= html.length) return null;
    if (html[at] === ">") return { attributes, end: at + 1 };
    const name = matchAt(/[^\s/>][^\s/>=]*/y, html, at)!;
    at += name.length;
    const equals = matchAt(/\s*=\s*/y, html, at);
    let value = "";
    if (equals !== null) {
      at += equals.length;
      const quote = html[at];
      if (quote === '"' || quote === "'") {
        const end = html.indexOf(quote, at + 1);
        if (end === -1) return null;
        value = html.slice(at + 1, end);
        at = end + 1;
      } else {
        value = matchAt(/[^\s>]*/y, html, at) ?? "";
        at += value.length;
      }
    }
    const key = name.toLowerCase();
    if (!attributes.has(key)) attributes.set(key, decodeReferences(value));
  }
}

function matchAt(sticky: RegExp, text: string, at: number): string | null {
  sticky.lastIndex = at;
  return sticky.exec(text)?.[0] ?? null;
}

/** Replaces character references such as `&amp;`. */
export function decodeReferences(value: string): string {
  if (!value.includes("&")) return value;
  return value.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,4}));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return REFERENCES[name] ?? whole;
    const code = decimal === undefined ? parseInt(hex, 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : "\ufffd";
  });
}
