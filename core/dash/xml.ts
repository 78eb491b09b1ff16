// Reads an XML document into a tree with the position of every element, so that it can also be rewritten in place.
// Example: parseXml("<MPD><BaseURL>v/</BaseURL></MPD>") → { name: "MPD", children: [{ name: "BaseURL", … }], … }
// Document type declarations are refused, so nothing expands: a text is never longer than its source. One pass, linear.
import { err, ok, type Result } from "../result.ts";

export interface XmlError {
  readonly code: "malformed" | "too_large";
  readonly reason: string;
}

/** Four for each of 20,000 segments. */
const MAX_ELEMENTS = 100_000;
const MAX_DEPTH = 32;
const MAX_ATTRIBUTES = 256;
/** Longer than any URL that is fetched. */
const MAX_DECODED_LENGTH = 64 * 1024;
const NAME = /(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)(?=[\s/>])/y;
/** The rest of a start tag; `>` may stand in a quoted value. */
const ATTRIBUTES = /[^<>"']*(?:(?:"[^"<]*"|'[^'<]*')[^<>"']*)*>/y;
const ATTRIBUTE = /\s*([^\s=<>"'/]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/y;
const REFERENCE = /&(?:#(\d{1,7})|#x([\da-fA-F]{1,6})|(amp|lt|gt|quot|apos));|&/g;
const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** A value with its position in the document, quotes included. */
export interface XmlAttribute {
  readonly start: number;
  readonly end: number;
  readonly value: string;
}

export class XmlElement {
  readonly children: XmlElement[] = [];
  /** Position after the start tag, and after the end tag; equal in `<a/>`. */
  contentStart = 0;
  end = 0;
  /** The position of the end tag. */
  contentEnd = 0;
  readonly #document: string;
  #attributes: ReadonlyMap<string, XmlAttribute> | null = null;

  /** `name` is the local name; `nameEnd` is the position after it. */
  constructor(
    readonly name: string,
    document: string,
    readonly start: number,
    readonly nameEnd: number,
  ) {
    this.#document = document;
  }

  get isEmptyTag(): boolean {
    return this.contentStart === this.end;
  }

  /** By name as written, with its prefix. */
  get attributes(): ReadonlyMap<string, XmlAttribute> {
    return this.#attributes ??= readAttributes(this.#document, this.nameEnd, this.contentStart);
  }

  get(name: string): string | null {
    return this.attributes.get(name)?.value ?? null;
  }

  /** The text of an element without children, without surrounding white space. */
  get text(): string {
    return plainText(this.#document.slice(this.contentStart, this.contentEnd)).trim();
  }

  child(name: string): XmlElement | null {
    return this.children.find((one) => one.name === name) ?? null;
  }

  all(name: string): readonly XmlElement[] {
    return this.children.filter((one) => one.name === name);
  }
}

export interface XmlOptions {
  /** Elements with this name are read without their children. */
  readonly opaque?: string;
}

/** The root element. */
export function parseXml(text: string, { opaque }: XmlOptions = {}): Result<XmlElement, XmlError> {
  const top = new XmlElement("", text, 0, 0);
  const open = [top];
  let count = 0;
  for (let at = text.indexOf("<"); at !== -1; at = text.indexOf("<", at)) {
    const parent = open.at(-1)!;
    const next = text[at + 1];
    if (next === "!" || next === "?") {
      const end = endOfMarkup(text, at);
      if (end === null) return malformed("has a document type declaration, or a comment that does not end");
      at = end;
    } else if (next === "/") {
      const end = text.indexOf(">", at);
      if (end === -1 || parent === top || localName(text.slice(at + 2, end)) !== parent.name) {
        return malformed(`has an end tag that does not match <${parent.name}>`);
      }
      parent.contentEnd = at;
      parent.end = at = end + 1;
      open.pop();
    } else {
      const element = startTag(text, at);
      if (element === null) return malformed("has a tag that cannot be read");
      if (++count > MAX_ELEMENTS) return tooLarge(`more than ${MAX_ELEMENTS} elements`);
      if (open.length > MAX_DEPTH) return tooLarge(`elements nested more than ${MAX_DEPTH} deep`);
      parent.children.push(element);
      at = element.contentStart;
      if (text[at - 2] === "/") element.contentEnd = element.end = at;
      else {
        open.push(element);
        if (element.name === opaque) at = endOfContent(text, element);
      }
    }
  }
  const [root] = top.children;
  if (root === undefined || top.children.length > 1) return malformed("does not have one root element");
  if (open.length > 1) return malformed(`ends inside <${open.at(-1)!.name}>`);
  return ok(root);
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => character === "&" ? "&amp;" : `&#${character.charCodeAt(0)};`);
}

/** Position after a comment, CDATA section or processing instruction; null for a declaration. */
function endOfMarkup(text: string, at: number): number | null {
  const [open, close] = text[at + 1] === "?"
    ? ["<?", "?>"]
    : text[at + 2] === "-"
    ? ["<!--", "-->"]
    : ["<![CDATA[", "]]>"];
  if (!text.startsWith(open, at)) return null;
  const end = text.indexOf(close, at + open.length);
  return end === -1 ? null : end + close.length;
}

/** The position of the end tag; the start of the content if that is not certain without reading it. */
function endOfContent(text: string, { start, nameEnd, contentStart }: XmlElement): number {
  const end = text.indexOf(`</${text.slice(start + 1, nameEnd)}`, contentStart);
  return end === -1 || text.slice(contentStart, end).includes("<!") ? contentStart : end;
}

function startTag(text: string, at: number): XmlElement | null {
  NAME.lastIndex = at + 1;
  const name = NAME.exec(text);
  if (name === null) return null;
  const element = new XmlElement(name[1]!, text, at, NAME.lastIndex);
  ATTRIBUTES.lastIndex = NAME.lastIndex;
  if (!ATTRIBUTES.test(text)) return null;
  element.contentStart = ATTRIBUTES.lastIndex;
  return element;
}

function readAttributes(text: string, from: number, to: number): ReadonlyMap<string, XmlAttribute> {
  const attributes = new Map<string, XmlAttribute>();
  ATTRIBUTE.lastIndex = from;
  for (
    let match = ATTRIBUTE.exec(text);
    match !== null && attributes.size < MAX_ATTRIBUTES;
    match = ATTRIBUTE.exec(text)
  ) {
    const raw = match[2] ?? match[3]!;
    const end = ATTRIBUTE.lastIndex;
    if (end > to) break;
    if (!attributes.has(match[1]!)) {
      attributes.set(match[1]!, { start: end - raw.length - 2, end, value: decode(raw).trim() });
    }
  }
  return attributes;
}

/** Text without comments and processing instructions, CDATA unwrapped, references decoded. */
function plainText(source: string): string {
  let text = "";
  let at = 0;
  for (let tag = source.indexOf("<"); tag !== -1; tag = source.indexOf("<", at)) {
    text += decode(source.slice(at, tag));
    at = endOfMarkup(source, tag) ?? source.length;
    if (source.startsWith("<![CDATA[", tag)) text += source.slice(tag + 9, at - 3);
  }
  return text + decode(source.slice(at));
}

function decode(text: string): string {
  if (text.length > MAX_DECODED_LENGTH || !text.includes("&")) return text;
  return text.replace(REFERENCE, (whole, decimal, hexadecimal, name) => {
    if (name !== undefined) return NAMED[name]!;
    const code = decimal !== undefined ? Number(decimal) : parseInt(hexadecimal ?? "", 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function localName(tag: string): string {
  return tag.slice(tag.indexOf(":") + 1).trimEnd();
}

function malformed(reason: string): Result<never, XmlError> {
  return err({ code: "malformed", reason });
}

function tooLarge(reason: string): Result<never, XmlError> {
  return err({ code: "too_large", reason });
}
