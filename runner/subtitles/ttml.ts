/**
 * Reads the cues of a TTML document (IMSC 1 text profile): times, line breaks, white space; no styles. W3C TTML1 §7, §10.
 * Example: `<tt …><body><div><p begin="1s" end="2.5s">One<br/>two</p></div></body></tt>` → [{ start: 1, end: 2.5, text: "One\ntwo" }].
 */
import { XMLParser } from "fast-xml-parser";
import { parseTtmlTime, ratesOf, type TtmlRates } from "./ttml_time.ts";
import { cleanText, type Cue, escapeText, MAX_CUE_LENGTH } from "./cue.ts";

export interface Ttml {
  /** Times of the document. `end` is Infinity if the document does not state it. */
  readonly cues: readonly Cue[];
  /** Elements that show an image instead of text. */
  readonly images: number;
  /** Paragraphs that are too long or change too often. */
  readonly invalid: number;
}

const MAX_DOCUMENT_LENGTH = 1024 * 1024;
const MAX_DEPTH = 64;
const MAX_PIECES = 50_000;
/** Changes of one paragraph's text. */
const MAX_CHANGES = 500;

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: "",
  removeNSPrefix: true,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  maxNestedTags: MAX_DEPTH,
});

/** null if the text is not a TTML document. A document type could define entities that expand without limit: refused. */
export function parseTtml(text: string): Ttml | null {
  if (text.length > MAX_DOCUMENT_LENGTH || /<!DOCTYPE/i.test(text)) return null;
  let root: Element | undefined;
  try {
    root = elementsOf(parser.parse(text)).find((element) => element.name === "tt");
  } catch {
    return null; // not XML, or nested too deeply
  }
  if (root === undefined) return null;
  const body = root.children.find((child) => isElement(child) && child.name === "body");
  const reader = new Reader(ratesOf(root.attributes));
  if (body !== undefined && isElement(body)) {
    const preserve = root.attributes["space"] === "preserve";
    reader.read(body, { start: 0, end: Infinity, preserve });
  }
  const { cues, images, invalid } = reader;
  return { cues, images, invalid };
}

interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly (Element | string)[];
}

interface Interval {
  readonly start: number;
  readonly end: number;
}

interface Context extends Interval {
  readonly preserve: boolean;
}

type Piece = Interval & { readonly text: string };

class Reader {
  readonly cues: Cue[] = [];
  images = 0;
  invalid = 0;
  #pieces = 0;
  readonly #rates: TtmlRates;

  constructor(rates: TtmlRates) {
    this.#rates = rates;
  }

  /** body, div or p. */
  read(element: Element, parent: Context): Interval {
    const own = this.#context(element, parent);
    if (element.attributes["backgroundImage"] !== undefined) this.images++;
    if (element.name === "p") {
      const pieces: Piece[] = [];
      this.#collect(element, own, pieces);
      const cues = cuesOf(pieces);
      if (cues === null) this.invalid++;
      else for (const cue of cues) this.cues.push(cue);
    } else {
      let before = own.start;
      const sequential = element.attributes["timeContainer"] === "seq";
      for (const child of element.children.filter(isElement)) {
        if (child.name === "image") this.images++;
        if (child.name !== "div" && child.name !== "p") continue;
        before = this.read(child, sequential ? { ...own, start: before } : own).end;
      }
    }
    return own;
  }

  #collect(element: Element, context: Context, pieces: Piece[]): void {
    for (const child of element.children) {
      if (++this.#pieces > MAX_PIECES) return;
      if (!isElement(child)) {
        const text = context.preserve ? child : child.replace(/\s+/g, " ");
        pieces.push({ start: context.start, end: context.end, text: escapeText(text) });
      } else if (child.name === "br") pieces.push({ start: context.start, end: context.end, text: "\n" });
      else if (child.name === "span") this.#collect(child, this.#context(child, context), pieces);
      else if (child.name === "image") this.images++;
    }
  }

  /** An element's times count from its parent's start and end with the parent. */
  #context({ attributes }: Element, parent: Context): Context {
    const time = (name: string) => parseTtmlTime(attributes[name], this.#rates);
    const start = parent.start + (time("begin") ?? 0);
    const end = Math.min(parent.end, parent.start + (time("end") ?? Infinity), start + (time("dur") ?? Infinity));
    const space = attributes["space"];
    return { start, end, preserve: space === undefined ? parent.preserve : space === "preserve" };
  }
}

/** Spans with times of their own change the text while it is shown. null if it is too long or changes too often. */
function cuesOf(pieces: readonly Piece[]): Cue[] | null {
  const times = [...new Set(pieces.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  if (times.length > MAX_CHANGES) return null;
  const cues = times.slice(0, -1).map((start, i): Cue => {
    const end = times[i + 1]!;
    const shown = pieces.filter((piece) => piece.start <= start && piece.end >= end);
    const lines = shown.map(({ text }) => text).join("").split("\n").map((line) => line.trim());
    return { start, end, text: cleanText(lines.join("\n")) };
  });
  return cues.some(({ text }) => text.length > MAX_CUE_LENGTH) ? null : cues.filter(({ text }) => text !== "");
}

function isElement(node: Element | string): node is Element {
  return typeof node !== "string";
}

/** The parser's nodes: `{ p: [children], ":@": { begin: "1s" } }` and `{ "#text": "One" }`. */
function elementsOf(nodes: unknown): Element[] {
  return nodesOf(nodes, 0).filter(isElement);
}

function nodesOf(nodes: unknown, depth: number): (Element | string)[] {
  if (!Array.isArray(nodes) || depth > MAX_DEPTH) return [];
  return nodes.flatMap((node: Record<string, unknown>): (Element | string)[] => {
    const text = node["#text"];
    if (text !== undefined) return [String(text)];
    const name = Object.keys(node).find((key) => key !== ":@" && !key.startsWith("?"));
    if (name === undefined) return [];
    const attributes = (node[":@"] ?? {}) as Record<string, string>;
    return [{ name, attributes, children: nodesOf(node[name], depth + 1) }];
  });
}
