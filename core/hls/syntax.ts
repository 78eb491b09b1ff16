// Shared by the playlist parser and the rewriter: attribute lists, variables, and fast resolution of many URLs.
// Example: Attributes.parse('METHOD=AES-128,URI="k?a,b=c"') → METHOD: AES-128, URI: k?a,b=c
// RFC 8216bis (draft-pantos-hls-rfc8216bis). Everything here is linear in its input.
import { err, ok, type Result } from "../result.ts";
import { malformed, type PlaylistError } from "./errors.ts";
import { MAX_URL_LENGTH } from "../url_policy.ts";

const VARIABLE_NAME = /^[A-Za-z0-9_-]{1,128}$/;
const MAX_VARIABLES = 256;
const MAX_VALUE_LENGTH = 4096;
const MAX_EXPANDED_LINE_LENGTH = MAX_URL_LENGTH;
/** Of all expanded lines of a playlist together: 10,000 segments with a token of 800 characters each. */
const MAX_EXPANDED_LENGTH = 8 * 1024 * 1024;
const MAX_REFERENCES = 30_000;
/** URLs that need the URL parser, which takes two microseconds each. */
const MAX_PARSED_URLS = 5000;
const MAX_DIRECTORIES = 6000;
const MAX_ORIGIN_SPELLINGS = 1000;
export const MAX_ATTRIBUTES = 256;

const [QUOTE, COMMA, SLASH, EQUALS] = [34, 44, 47, 61];

/**
 * Iterates over the attributes of `A=1,B="x,y"`; commas and `=` in quotes are part of the value. Other text is skipped.
 * One pass without copies or an object per attribute: `nameStart` to `end` are the positions of the current one.
 */
export class AttributeCursor {
  nameStart = 0;
  nameEnd = 0;
  /** The value, without its quotes. */
  start = 0;
  end = 0;
  quoted = false;
  readonly #text: string;
  #at: number;

  constructor(text: string, from: number) {
    this.#text = text;
    this.#at = from;
  }

  /** False at the end of the list. */
  next(): boolean {
    const text = this.#text;
    let nameStart = this.#at;
    let at = nameStart;
    for (;; at++) {
      if (at >= text.length) return false;
      const code = text.charCodeAt(at);
      if (code === EQUALS) break;
      // A name contains no comma: the text before one is malformed.
      if (code === COMMA) nameStart = at + 1;
    }
    this.nameStart = nameStart;
    this.nameEnd = at;
    this.quoted = text.charCodeAt(at + 1) === QUOTE;
    this.start = at + (this.quoted ? 2 : 1);
    const end = text.indexOf(this.quoted ? '"' : ",", this.start);
    this.end = end === -1 ? text.length : end;
    const comma = this.quoted ? text.indexOf(",", this.end + 1) : end;
    this.#at = comma === -1 ? text.length : comma + 1;
    return true;
  }
}

/** An attribute list. Two arrays take half the time of a Map for a handful of entries. */
export class Attributes {
  readonly #names: string[] = [];
  readonly #values: string[] = [];

  /** Null if there are more than MAX_ATTRIBUTES. */
  static parse(text: string): Attributes | null {
    const attributes = new Attributes();
    const cursor = new AttributeCursor(text, 0);
    while (cursor.next()) {
      if (attributes.#names.length === MAX_ATTRIBUTES) return null;
      attributes.#names.push(text.slice(cursor.nameStart, cursor.nameEnd).trim());
      const value = text.slice(cursor.start, cursor.end);
      attributes.#values.push(cursor.quoted ? value : value.trim());
    }
    return attributes;
  }

  /** The last one of that name. */
  get(name: string): string | undefined {
    for (let i = this.#names.length - 1; i >= 0; i--) if (this.#names[i] === name) return this.#values[i];
    return undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Replaces every value; returns the first error. */
  expand(variables: Variables): PlaylistError | null {
    for (const [i, value] of this.#values.entries()) {
      const expanded = variables.expand(value);
      if (!expanded.ok) return expanded.error;
      this.#values[i] = expanded.value;
    }
    return null;
  }
}

const REFERENCE = /\{\$([A-Za-z0-9_-]+)\}/g;

/** The variables of one playlist (EXT-X-DEFINE). Limits the expanded text, because a few bytes can expand to gigabytes. */
export class Variables {
  readonly #values = new Map<string, string>();
  #expandedLength = 0;
  #references = 0;

  /** The variables that a multivariant playlist passes on to its media playlists. */
  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** Evaluates an EXT-X-DEFINE: NAME with VALUE, IMPORT from the multivariant playlist, or QUERYPARAM of the playlist's URL. */
  define(
    attributeText: string,
    from: { readonly imported: ReadonlyMap<string, string>; readonly base: URL },
  ): PlaylistError | null {
    const attributes = Attributes.parse(attributeText);
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
    // A decoded query parameter may contain characters that end the quoted string or the line.
    // deno-lint-ignore no-control-regex
    if (/["\u0000-\u001f]/.test(value)) {
      return malformed(`the value of variable ${name} contains a forbidden character`);
    }
    if (this.#values.size === MAX_VARIABLES) return tooLarge(`more than ${MAX_VARIABLES} variables`);
    this.#values.set(name, value);
    return null;
  }

  /** Replaces `{$name}` by its value (RFC 8216bis §4.3). An undefined variable is an error, as the RFC requires. */
  expand(text: string): Result<string, PlaylistError> {
    if (!text.includes("{$")) return ok(text);
    if (text.length > MAX_EXPANDED_LINE_LENGTH) return err(tooLarge("a line with variables is too long"));
    let expanded = "";
    let length = text.length;
    let copied = 0;
    REFERENCE.lastIndex = 0;
    for (let match; (match = REFERENCE.exec(text)) !== null && this.#references <= MAX_REFERENCES;) {
      const [whole, name] = [match[0], match[1]!];
      const value = this.#values.get(name);
      if (value === undefined) return err(malformed(`variable ${name.slice(0, 40)} is not defined`));
      this.#references++;
      length += value.length - whole.length;
      // Refused before the line is built, which could be gigabytes.
      if (length > MAX_EXPANDED_LINE_LENGTH) return err(tooLarge("a line whose variables make it too long"));
      expanded += text.slice(copied, match.index) + value;
      copied = REFERENCE.lastIndex;
    }
    expanded += text.slice(copied);
    if (this.#references > MAX_REFERENCES) return err(tooLarge(`more than ${MAX_REFERENCES} references to variables`));
    this.#expandedLength += length;
    if (this.#expandedLength > MAX_EXPANDED_LENGTH) return err(tooLarge("its variables make it too large"));
    return ok(expanded);
  }
}

function tooLarge(reason: string): PlaylistError {
  return { code: "too_large", reason };
}

/** A directory of a playlist's URLs; the href ends in a slash. */
export interface Directory {
  readonly href: string;
}

export interface Resolved<D extends Directory> {
  readonly directory: D;
  /** Name and query: the URL is `directory.href + rest`. */
  readonly rest: string;
  /** The name in `rest` consists of letters, digits and `_ . ~ -`: it needs no encoding and contains no encoded separator. */
  readonly plain: boolean;
}

/** Names and queries that the URL parser does not change; names that need no encoding in a link. */
const PLAIN_REST = /^[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:\?[A-Za-z0-9_.~/=&%+:,;@!*()-]*)?$/;
/** The same for any name. */
const KEPT_REST = /^[A-Za-z0-9_~-][A-Za-z0-9_.~%!$&'()*+,;=@-]*(?:\?[A-Za-z0-9_.~/=&%+:,;@!*()-]*)?$/;
/** Directories that it does not change, relative or after an origin's slash. */
const PLAIN_DIRECTORY = /^(?:[A-Za-z0-9_~-][A-Za-z0-9_.~-]*\/)*$/;
const ORIGIN = /^https?:\/\/[A-Za-z0-9.-]{1,253}(?::\d{1,5})?(?=\/)/;

export interface Resolver<D extends Directory> {
  /** Null for an invalid URL, or one longer than MAX_URL_LENGTH. */
  resolve(uri: string): Resolved<D> | { readonly other: URL } | null;
  /** The playlist exceeds the limits and has to be refused; resolve() returns null from then on. */
  readonly exhausted: boolean;
}

/**
 * Resolves the URLs of one playlist with one call of the URL parser per origin instead of one per line. `make` is called once for
 * each spelling of a directory.
 */
export function createResolver<D extends Directory>(base: URL, make: (href: string) => D): Resolver<D> {
  /** By its spelling in the playlist. */
  const directories = new Map<string, D | null>();
  let lastText = "";
  let last: D | null = null;
  const origins = new Map<string, string | null>();
  const baseDirectory = isWeb(base) ? new URL("./", base).href : null;
  let parses = 0;

  function parse(text: string): URL | null {
    // The base is parsed each time; a long one counts as several.
    parses += 1 + ((text.length + base.href.length) >> 12);
    return parses > MAX_PARSED_URLS ? null : URL.parse(text, base.href);
  }

  function isExhausted(): boolean {
    return parses > MAX_PARSED_URLS || directories.size > MAX_DIRECTORIES || origins.size > MAX_ORIGIN_SPELLINGS;
  }

  /** The normalized origin. */
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
      const normalized = originOf(origin);
      return normalized === null ? null : normalized + text.slice(origin.length);
    }
    const url = parse(text);
    const plain = url !== null && isWeb(url) && url.search === "" && url.hash === "" && url.href.endsWith("/");
    return plain ? url.href : null;
  }

  function directoryOfText(text: string): D | null {
    let found = directories.get(text);
    if (found === undefined) {
      const href = directoryHref(text);
      directories.set(text, found = href === null ? null : make(href));
    }
    if (found !== null) [lastText, last] = [text, found];
    return found;
  }

  return {
    get exhausted() {
      return isExhausted();
    },
    resolve(uri) {
      if (isExhausted()) return null;
      // Inline data may be longer, because it is not fetched.
      if (uri.length > MAX_URL_LENGTH && !/^data:/i.test(uri)) return null;
      // Consecutive URLs are nearly always in one directory; comparing is cheaper than a lookup.
      if (last !== null && uri.startsWith(lastText)) {
        const rest = uri.slice(lastText.length);
        const plain = PLAIN_REST.test(rest);
        if (plain || KEPT_REST.test(rest)) return { directory: last, rest, plain };
      }
      const question = uri.indexOf("?");
      let slash = (question === -1 ? uri.length : question) - 1;
      while (slash >= 0 && uri.charCodeAt(slash) !== SLASH) slash--;
      const rest = uri.slice(slash + 1);
      const plain = PLAIN_REST.test(rest);
      if (plain || KEPT_REST.test(rest)) {
        const found = directoryOfText(uri.slice(0, slash + 1));
        if (found !== null) return { directory: found, rest, plain };
      }
      const url = parse(uri);
      if (url === null) return null;
      if (!isWeb(url)) return { other: url };
      const end = url.origin.length + url.pathname.lastIndexOf("/") + 1;
      const href = url.href;
      const hash = href.indexOf("#");
      const text = href.slice(0, end);
      let found = directories.get(text) ?? null;
      if (found === null) directories.set(text, found = make(text));
      return { directory: found, rest: hash === -1 ? href.slice(end) : href.slice(end, hash), plain: false };
    },
  };
}

/** http or https without user information. */
function isWeb(url: URL): boolean {
  return (url.protocol === "https:" || url.protocol === "http:") && url.username === "" && url.password === "";
}
