// Rewrites an MPD so that everything it refers to is fetched through signed proxy links.
// Example: media="$Number$.m4s" → media="https://worker.test/proxy?exp=…&amp;sc=1&amp;sig=…&amp;url=https%3A%2F%2Fcdn.test%2Fv%2F$Number$.m4s"
// A link cannot be the base of a relative URL. So every URL becomes absolute where it stands, or, if representations with different
// base URLs share it, in each of them; BaseURL elements are removed, except one in each representation that is a file.
import { type LinkWriter, type RewriteOptions, startLinks } from "../hls/rewrite.ts";
import type { PlaylistError } from "../hls/errors.ts";
import { err, type Result } from "../result.ts";
import { type Level, levelsOf, looksLikeMpd, type SegmentInfo, segmentInfoOf } from "./levels.ts";
import { IDENTIFIER } from "./template.ts";
import { escapeXml, parseXml, type XmlElement } from "./xml.ts";

const MAX_REPRESENTATIONS = 500;
const TEMPLATE_URLS = ["media", "initialization", "index", "bitstreamSwitching"] as const;
/** Attributes with URLs of the elements inside SegmentList, SegmentBase and SegmentTemplate. */
const CHILD_URLS: Readonly<Record<string, readonly string[]>> = {
  Initialization: ["sourceURL"],
  RepresentationIndex: ["sourceURL"],
  BitstreamSwitching: ["sourceURL"],
  SegmentURL: ["media", "index"],
};
/** Descriptors whose value is a list of URLs. */
const URL_SCHEMES = /^urn:mpeg:dash:(?:utc:http-|fallback:|mpd-chaining:)/;
/** Names that are safe where a player inserts them into a link. */
const SAFE_ID = /^(?!\.+$)[A-Za-z0-9_.~-]*$/;
/** A relative URL that needs no parser: its directory's href and the text are the URL. */
const PLAIN_NAME = /^[A-Za-z0-9_~-][A-Za-z0-9_.~-]*$/;

export async function rewriteMpd(text: string, options: RewriteOptions): Promise<Result<string, PlaylistError>> {
  if (!looksLikeMpd(text)) return err({ code: "not_a_playlist", reason: "is not an MPD" });
  // The entries of a timeline contain no URLs, and are most of the elements.
  const xml = parseXml(text, { opaque: "SegmentTimeline" });
  if (!xml.ok) return xml;
  const levels = levelsOf(xml.value, options.base);
  if (!levels.ok) return err({ code: "malformed", reason: levels.error });
  if (levels.value.length > MAX_REPRESENTATIONS) {
    return err({ code: "too_large", reason: `more than ${MAX_REPRESENTATIONS} representations` });
  }
  const escaped = (tail: string) => tail.replaceAll("&", "&amp;");
  const { parent, sign } = options;
  const writer = startLinks({
    ...options,
    parent: { ...parent, tail: escaped(parent.tail) },
    sign: async (request) => escaped(await sign(request)),
    separator: "&amp;",
  });
  const problem = new MpdRewriter(text, { root: xml.value, levels: levels.value, options, writer }).run();
  return problem === null ? await writer.finish() : err(problem);
}

/** Replaces the source between two positions. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly write: () => void;
}

class MpdRewriter {
  readonly #text: string;
  readonly #root: XmlElement;
  readonly #levels: readonly (Level & { readonly info: SegmentInfo })[];
  readonly #options: RewriteOptions;
  readonly #writer: LinkWriter;
  readonly #edits: Edit[] = [];
  /** What is inserted into a representation, or into its own SegmentTemplate's start tag. */
  readonly #inserted = new Map<XmlElement, (() => void)[]>();
  #problem: PlaylistError | null = null;

  constructor(
    text: string,
    parts: { root: XmlElement; levels: readonly Level[]; options: RewriteOptions; writer: LinkWriter },
  ) {
    this.#text = text;
    this.#root = parts.root;
    this.#levels = parts.levels.map((level) => ({ ...level, info: segmentInfoOf(level) }));
    this.#options = parts.options;
    this.#writer = parts.writer;
  }

  run(): PlaylistError | null {
    this.#removeBaseUrls();
    this.#templates();
    this.#children();
    this.#document();
    for (const [element, writes] of this.#inserted) this.#edits.push(this.#insertion(element, writes));
    this.#copy(0, this.#text.length, this.#edits);
    return this.#problem ?? this.#writer.excess;
  }

  #removeBaseUrls(): void {
    const elements = new Set(this.#levels.flatMap(({ root, period, set, element }) => [root, period, set, element]));
    elements.add(this.#root);
    for (const element of elements) {
      for (const { start, end } of element.all("BaseURL")) this.#edits.push({ start, end, write: () => {} });
    }
    for (const level of this.#levels) {
      if (level.info.name === "SegmentTemplate") continue;
      this.#insert(level.element, () => {
        this.#writer.text(`<${prefixOf(this.#text, level.element)}BaseURL>`);
        this.#link(level.bases[0]!.href);
        this.#writer.text(`</${prefixOf(this.#text, level.element)}BaseURL>`);
      });
    }
  }

  /** The URLs of SegmentTemplate elements: rewritten in place, or in each representation if they are not the same URLs there. */
  #templates(): void {
    const overrides = new Map<Level, [name: string, href: string][]>();
    for (const name of TEMPLATE_URLS) {
      const uses = this.#levels.flatMap((level) => {
        const { info } = level;
        const owner = info.name === "SegmentTemplate" ? info.elements.find((one) => one.get(name) !== null) : undefined;
        return owner === undefined ? [] : [{ level, owner, href: this.#templateHref(owner.get(name)!, level) }];
      });
      for (const [owner, users] of Map.groupBy(uses, (use) => use.owner)) {
        this.#replaceAttribute(owner, name, () => this.#template(users[0]!.href));
        if (users.every(({ href }) => href === users[0]!.href)) continue;
        for (const { level, href } of users) {
          overrides.set(level, [...overrides.get(level) ?? [], [name, href]]);
        }
      }
    }
    for (const [{ element }, attributes] of overrides) {
      const own = element.child("SegmentTemplate");
      const writeAttributes = () => {
        for (const [name, href] of attributes) {
          this.#writer.text(` ${name}="`);
          this.#template(href);
          this.#writer.text('"');
        }
      };
      if (own !== null) this.#edits.push({ start: own.nameEnd, end: own.nameEnd, write: writeAttributes });
      else {
        this.#insert(element, () => {
          this.#writer.text(`<${prefixOf(this.#text, element)}SegmentTemplate`);
          writeAttributes();
          this.#writer.text("/>");
        });
      }
    }
  }

  /** The URLs inside SegmentList, SegmentBase and SegmentTemplate: in place, or in a copy for each representation with another base URL. */
  #children(): void {
    const uses = this.#levels.flatMap((level) =>
      level.info.elements.filter(hasUrls).map((owner) => ({ level, owner, base: level.bases[0]! }))
    );
    for (const [owner, users] of Map.groupBy(uses, (use) => use.owner)) {
      const [{ base }] = users as [typeof users[number]];
      if (users.every((use) => use.base.href === base.href)) {
        this.#edits.push(...this.#childEdits(owner, base));
        continue;
      }
      for (const { level, base } of users) {
        if (level.element.child(owner.name) !== null) {
          this.#problem = {
            code: "malformed",
            reason: `${owner.name} elements at two levels with different base URLs`,
          };
        }
        this.#insert(level.element, () => this.#copy(owner.start, owner.end, this.#childEdits(owner, base)));
      }
    }
  }

  #childEdits(owner: XmlElement, base: URL): Edit[] {
    const directory = new URL("./", base).href;
    return owner.children.flatMap((child) =>
      (CHILD_URLS[child.name] ?? []).flatMap((name) => {
        const attribute = child.attributes.get(name);
        if (attribute === undefined) return [];
        const { start, end, value } = attribute;
        return [{ start, end, write: () => this.#quoted(() => this.#linkFrom(value, base, directory)) }];
      })
    );
  }

  /** URLs that belong to the document as a whole. */
  #document(): void {
    const base = this.#options.base;
    for (const element of this.#root.children) {
      if (["Location", "PatchLocation", "ContentSteering"].includes(element.name)) {
        const { contentStart: start, contentEnd: end, text } = element;
        if (text !== "") this.#edits.push({ start, end, write: () => this.#linkFrom(text, base) });
      }
      if (URL_SCHEMES.test(element.get("schemeIdUri") ?? "")) {
        const urls = (element.get("value") ?? "").split(/\s+/).filter((url) => url !== "");
        this.#replaceAttribute(element, "value", () =>
          urls.forEach((url, i) => {
            if (i > 0) this.#writer.text(" ");
            this.#linkFrom(url, base);
          }));
      }
    }
    // Remote elements and reports. Most documents have none.
    if (/:href|reportingUrl/.test(this.#text)) this.#everyElement(this.#root);
  }

  #everyElement(element: XmlElement): void {
    for (const [name, { value }] of element.attributes) {
      if (!/:href$|(?:^|:)reportingUrl$/.test(name) || /^urn:/i.test(value)) continue;
      this.#replaceAttribute(element, name, () => this.#linkFrom(value, this.#options.base));
    }
    for (const child of element.children) this.#everyElement(child);
  }

  #replaceAttribute(element: XmlElement, name: string, write: () => void): void {
    const attribute = element.attributes.get(name);
    if (attribute === undefined) return;
    this.#edits.push({ start: attribute.start, end: attribute.end, write: () => this.#quoted(write) });
  }

  #insert(element: XmlElement, write: () => void): void {
    const writes = this.#inserted.get(element);
    if (writes === undefined) this.#inserted.set(element, [write]);
    else writes.push(write);
  }

  /** After the start tag; an empty tag gets an end tag. */
  #insertion(element: XmlElement, writes: readonly (() => void)[]): Edit {
    const { contentStart, isEmptyTag, start, nameEnd } = element;
    const all = () => writes.forEach((write) => write());
    if (!isEmptyTag) return { start: contentStart, end: contentStart, write: all };
    const write = () => {
      this.#writer.text(">");
      all();
      this.#writer.text(`</${this.#text.slice(start + 1, nameEnd)}>`);
    };
    return { start: contentStart - 2, end: contentStart, write };
  }

  #copy(from: number, to: number, edits: readonly Edit[]): void {
    let at = from;
    for (const { start, end, write } of edits.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
      if (start < at) continue; // inside an element that is removed
      this.#writer.text(this.#text.slice(at, start));
      write();
      at = end;
      this.#problem ??= this.#writer.excess;
      if (this.#problem !== null) return;
    }
    this.#writer.text(this.#text.slice(at, to));
  }

  #quoted(write: () => void): void {
    this.#writer.text('"');
    write();
    this.#writer.text('"');
  }

  /** Absolute, with its identifiers; with the representation's id filled in if that cannot be left to the player. */
  #templateHref(template: string, { element, bases }: Level): string {
    const id = element.get("id") ?? "";
    const href = absolute(template, bases[0]!);
    if (href === null || !template.includes("$RepresentationID$")) return href ?? template;
    // A whole origin is not signed: see LinkWriter.
    if (this.#isOwn(href)) return href;
    const isTopLevel = /^https?:\/\/[^/]*\/[^/]*\$/.test(href);
    if (SAFE_ID.test(id) && !isTopLevel) return href;
    const filled = template.replaceAll("$RepresentationID$", () => id.replaceAll("$", "$$$$"));
    return absolute(filled, bases[0]!) ?? template;
  }

  #template(href: string): void {
    const dollar = href.indexOf("$");
    const query = href.indexOf("?");
    if (dollar === -1 || this.#isOwn(href)) return this.#link(href);
    const path = query === -1 || dollar < query ? href.slice(0, dollar) : href.slice(0, query);
    const end = path.lastIndexOf("/") + 1;
    const isWeb = /^https?:\/\/./.test(href) && end > "https://".length;
    if (!isWeb || !this.#writer.linkBelow(href.slice(0, end), encodeTemplate(href.slice(end)))) {
      this.#writer.linkRefused(href);
    }
  }

  /** A link that an earlier rewrite has made. */
  #isOwn(href: string): boolean {
    return href.startsWith(`${this.#options.proxyUrl}?`);
  }

  #linkFrom(url: string, base: URL, directory?: string): void {
    const href = directory !== undefined && PLAIN_NAME.test(url) ? directory + url : absolute(url, base);
    if (href === null) this.#writer.linkRefused(url);
    else this.#link(href);
  }

  #link(href: string): void {
    if (this.#isOwn(href) || /^(?:data|urn):/i.test(href)) this.#writer.text(escapeXml(href));
    else if (/^https?:/.test(href)) this.#writer.link(href);
    else this.#writer.linkRefused(href);
  }
}

function hasUrls(owner: XmlElement): boolean {
  return owner.children.some((child) => (CHILD_URLS[child.name] ?? []).some((name) => child.get(name) !== null));
}

function prefixOf(text: string, { start, nameEnd, name }: XmlElement): string {
  return text.slice(start + 1, nameEnd - name.length);
}

function absolute(url: string, base: URL): string | null {
  const parsed = URL.parse(url, base.href);
  if (parsed === null) return null;
  parsed.hash = "";
  return parsed.href;
}

/** Encodes a part of a URL for a link, except its identifiers. */
function encodeTemplate(text: string): string {
  let encoded = "";
  let at = 0;
  for (const match of text.matchAll(IDENTIFIER)) {
    encoded += encodeURIComponent(text.slice(at, match.index)) + match[0];
    at = match.index + match[0].length;
  }
  return encoded + encodeURIComponent(text.slice(at));
}
