// What reading and rewriting HLS playlists share: attribute lists, variables, and resolving many addresses cheaply.
// Example: parseAttributes('METHOD=AES-128,URI="k?a,b=c"') → METHOD: AES-128, URI: k?a,b=c
// RFC 8216bis (draft-pantos-hls-rfc8216bis). Runs on: Deno, workerd. Everything here is linear in its input.
import { err, ok, type Result } from "../result.ts";
import { MAX_URL_LENGTH } from "../url_policy.ts";

const VARIABLE_NAME = /^[A-Za-z0-9_-]{1,128}$/;
const MAX_VARIABLES = 256;
const MAX_VALUE_LENGTH = 4096;
const MAX_EXPANDED_LINE_LENGTH = MAX_URL_LENGTH;
/** All expanded lines of a playlist together: 10,000 segments with a token of 800 characters each. */
const MAX_EXPANDED_LENGTH = 8 * 1024 * 1024;
const MAX_REFERENCES = 40_000;
/** Three to each of 60,000 segments. */
export const MAX_LINES = 200_000;
/** Addresses of a playlist that only the URL parser can read. */
const MAX_PARSED_URLS = 12_000;
const MAX_DIRECTORIES = 12_000;
const MAX_ORIGIN_SPELLINGS = 1000;
export const MAX_ATTRIBUTES = 256;

export interface PlaylistError {
  readonly code: "not_a_playlist" | "too_large" | "malformed";
  readonly reason: string;
  /** 1 is the first line. */
  readonly line?: number;
}

/** Where one attribute of a list stands; the value without its quotes. */
export interface AttributeSpan {
  readonly nameStart: number;
  readonly nameEnd: number;
  readonly start: number;
  readonly end: number;
  readonly quoted: boolean;
}

const [QUOTE, COMMA, EQUALS] = [34, 44, 61];

/**
 * The next attribute of `A=1,B="x,y"` at or behind `from`, or null; a comma or `=` inside quotes belongs to the value. What is no
 * attribute is skipped. One pass, and nothing is copied: a line may hold hundreds of thousands.
 */
export function nextAttribute(text: string, from: number): AttributeSpan | null {
  let nameStart = from;
  let at = from;
  for (;; at++) {
    if (at >= text.length) return null;
    const code = text.charCodeAt(at);
    if (code === EQUALS) break;
    // A name never holds a comma: what stands before one is rubbish left over from something malformed.
    if (code === COMMA) nameStart = at + 1;
  }
  const quoted = text.charCodeAt(at + 1) === QUOTE;
  const start = quoted ? at + 2 : at + 1;
  const end = text.indexOf(quoted ? '"' : ",", start);
  return { nameStart, nameEnd: at, start, end: end === -1 ? text.length : end, quoted };
}

/** Where to look for the attribute behind one. */
export function behindAttribute(text: string, { end, quoted }: AttributeSpan): number {
  const comma = quoted ? text.indexOf(",", end + 1) : end;
  return comma === -1 ? text.length : comma + 1;
}

/** All attributes of a list by name; of two with one name the last counts. Null when there are too many. */
export function parseAttributes(text: string): Map<string, string> | null {
  const attributes = new Map<string, string>();
  let count = 0;
  for (let at = 0;;) {
    const span = nextAttribute(text, at);
    if (span === null) return attributes;
    if (++count > MAX_ATTRIBUTES) return null;
    attributes.set(text.slice(span.nameStart, span.nameEnd).trim(), text.slice(span.start, span.end));
    at = behindAttribute(text, span);
  }
}

/** The variables of one playlist (EXT-X-DEFINE), and how much text they have grown into: a few bytes can name a lot. */
export class Variables {
  readonly #values = new Map<string, string>();
  #expandedLength = 0;
  #references = 0;

  /** What a master playlist hands down to its media playlists. */
  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** Takes up one EXT-X-DEFINE: NAME with VALUE, IMPORT from the master playlist, or QUERYPARAM of the playlist's address. */
  define(
    attributeText: string,
    from: { readonly imported: ReadonlyMap<string, string>; readonly base: URL },
  ): PlaylistError | null {
    const attributes = parseAttributes(attributeText);
    if (attributes === null) return tooLarge("EXT-X-DEFINE with too many attributes");
    const name = attributes.get("NAME") ?? attributes.get("IMPORT") ?? attributes.get("QUERYPARAM");
    if (name === undefined || !VARIABLE_NAME.test(name)) return malformed("EXT-X-DEFINE without a name");
    if (this.#values.has(name)) return malformed(`variable ${name} is defined twice`);
    let value: string | null | undefined;
    if (attributes.has("NAME")) value = attributes.get("VALUE");
    else if (attributes.has("IMPORT")) value = from.imported.get(name);
    else value = from.base.searchParams.get(name);
    if (value === undefined || value === null) return malformed(`variable ${name} has no value`);
    if (value.length > MAX_VALUE_LENGTH) return tooLarge(`variable ${name} is too long`);
    // A percent-decoded query may hold what would end the quoted string, or the line, that it is put into.
    // deno-lint-ignore no-control-regex
    if (/["\u0000-\u001f]/.test(value)) return malformed(`the value of variable ${name} holds a forbidden character`);
    if (this.#values.size === MAX_VARIABLES) return tooLarge(`more than ${MAX_VARIABLES} variables`);
    this.#values.set(name, value);
    return null;
  }

  /** `{$name}` replaced by its value (RFC 8216bis §4.3); a name nobody defined is an error, as the RFC demands. */
  expand(text: string): Result<string, PlaylistError> {
    if (!text.includes("{$")) return ok(text);
    if (text.length > MAX_EXPANDED_LINE_LENGTH) return err(tooLarge("a line with variables is too long"));
    let unknown: string | null = null;
    let length = text.length;
    const expanded = text.replace(/\{\$([A-Za-z0-9_-]+)\}/g, (whole, name: string) => {
      const value = ++this.#references > MAX_REFERENCES ? "" : this.#values.get(name);
      if (value === undefined) unknown ??= name;
      else length += value.length - whole.length;
      // One line must not grow to gigabytes before somebody looks at it.
      return value === undefined || length > MAX_EXPANDED_LINE_LENGTH ? "" : value;
    });
    if (unknown !== null) return err(malformed(`variable ${(unknown as string).slice(0, 40)} is not defined`));
    if (length > MAX_EXPANDED_LINE_LENGTH) return err(tooLarge("a line whose variables make it too long"));
    if (this.#references > MAX_REFERENCES) return err(tooLarge(`more than ${MAX_REFERENCES} references to variables`));
    this.#expandedLength += length;
    if (this.#expandedLength > MAX_EXPANDED_LENGTH) return err(tooLarge("its variables make it too large"));
    return ok(expanded);
  }
}

function malformed(reason: string): PlaylistError {
  return { code: "malformed", reason };
}

function tooLarge(reason: string): PlaylistError {
  return { code: "too_large", reason };
}

/** A directory that addresses of a playlist lie in; the href ends in a slash. */
export interface Directory {
  readonly href: string;
}

export interface Resolved<D extends Directory> {
  readonly directory: D;
  /** Name and query: the address is `directory.href + rest`. */
  readonly rest: string;
  /** The name in `rest` is letters, digits, `_ . ~ -` alone: it needs no encoding and hides no separator. */
  readonly plain: boolean;
}

/** Names and queries that the URL parser would leave as they are. */
const PLAIN_REST = /^[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:\?[A-Za-z0-9_.~/=&%+:,;@!*()-]*)?$/;
/** Directories that it would leave as they are, relative to another or behind an origin's slash. */
const PLAIN_DIRECTORY = /^(?:[A-Za-z0-9_~-][A-Za-z0-9_.~-]*\/)*$/;
const ORIGIN = /^https?:\/\/[A-Za-z0-9.-]{1,253}(?::\d{1,5})?(?=\/)/;

export interface Resolver<D extends Directory> {
  /** Null for what is no address, or longer than any that is fetched. */
  resolve(uri: string): Resolved<D> | { readonly other: URL } | null;
  /** Set when the playlist names so many places that it is to be refused: resolve() answers null from then on. */
  readonly exhausted: boolean;
}

/**
 * Resolves the addresses of one playlist. The URL parser is asked once per origin, not once per line: 10,000 segments of one
 * directory, or of a directory each, cost one parse. `make` is called once for every distinct directory.
 */
export function createResolver<D extends Directory>(base: URL, make: (href: string) => D): Resolver<D> {
  const byText = new Map<string, D | null>();
  let lastText: string | null = null;
  let last: D | null = null;
  const byHref = new Map<string, D>();
  const origins = new Map<string, string | null>();
  const baseDirectory = isWeb(base) ? new URL("./", base).href : null;
  let parses = 0;

  function parse(text: string): URL | null {
    // The base is parsed each time; a long one counts for several.
    parses += 1 + ((text.length + base.href.length) >> 12);
    return parses > MAX_PARSED_URLS ? null : URL.parse(text, base.href);
  }

  function isExhausted(): boolean {
    return parses > MAX_PARSED_URLS || byText.size > MAX_DIRECTORIES || origins.size > MAX_ORIGIN_SPELLINGS;
  }

  function directory(href: string): D {
    let found = byHref.get(href);
    if (found === undefined) byHref.set(href, found = make(href));
    return found;
  }

  /** The origin of `https://cdn.test` as the parser normalises it. */
  function originOf(text: string): string | null {
    let found = origins.get(text);
    if (found === undefined) {
      const url = parse(text);
      origins.set(text, found = url !== null && isWeb(url) ? url.origin : null);
    }
    return found;
  }

  function directoryHref(text: string): string | null {
    if (baseDirectory !== null && PLAIN_DIRECTORY.test(text)) return baseDirectory + text;
    const origin = ORIGIN.exec(text)?.[0];
    if (origin !== undefined && PLAIN_DIRECTORY.test(text.slice(origin.length + 1))) {
      const normalised = originOf(origin);
      return normalised === null ? null : normalised + text.slice(origin.length);
    }
    const url = parse(text);
    const plain = url !== null && isWeb(url) && url.search === "" && url.hash === "" && url.href.endsWith("/");
    return plain ? url.href : null;
  }

  function directoryOfText(text: string): D | null {
    // Neighbours nearly always lie in one directory: comparing is cheaper than hashing.
    if (text === lastText) return last;
    let found = byText.get(text);
    if (found === undefined) {
      const href = directoryHref(text);
      byText.set(text, found = href === null ? null : directory(href));
    }
    lastText = text;
    return last = found;
  }

  return {
    get exhausted() {
      return isExhausted();
    },
    resolve(uri) {
      if (isExhausted()) return null;
      // Inline data may be long; nothing is fetched for it.
      if (uri.length > MAX_URL_LENGTH && !/^data:/i.test(uri)) return null;
      const question = uri.indexOf("?");
      const slash = uri.lastIndexOf("/", question === -1 ? uri.length : question);
      const rest = uri.slice(slash + 1);
      if (PLAIN_REST.test(rest)) {
        const found = directoryOfText(uri.slice(0, slash + 1));
        if (found !== null) return { directory: found, rest, plain: true };
      }
      const url = parse(uri);
      if (url === null) return null;
      if (!isWeb(url)) return { other: url };
      const end = url.origin.length + url.pathname.lastIndexOf("/") + 1;
      url.hash = "";
      return { directory: directory(url.href.slice(0, end)), rest: url.href.slice(end), plain: false };
    },
  };
}

/** http or https without user information. */
function isWeb(url: URL): boolean {
  return (url.protocol === "https:" || url.protocol === "http:") && url.username === "" && url.password === "";
}
