// What reading and rewriting HLS playlists share: attribute lists, variables, and resolving many addresses cheaply.
// Example: parseAttributes('METHOD=AES-128,URI="k?a,b=c"') → METHOD: AES-128, URI: k?a,b=c
// RFC 8216bis (draft-pantos-hls-rfc8216bis). Runs on: Deno, workerd. Everything here is linear in its input.
import { err, ok, type Result } from "./result.ts";
import { MAX_TARGET_LENGTH } from "./target_policy.ts";

const VARIABLE_NAME = /^[A-Za-z0-9_-]{1,128}$/;
const MAX_VARIABLES = 256;
const MAX_VALUE_LENGTH = 4096;
const MAX_EXPANDED_LINE_LENGTH = MAX_TARGET_LENGTH;
/** All expanded lines of a playlist together: 10,000 segments with a token of 800 characters each. */
const MAX_EXPANDED_LENGTH = 8 * 1024 * 1024;

export interface PlaylistError {
  readonly code: "not_a_playlist" | "too_large" | "malformed";
  readonly reason: string;
  /** 1 is the first line. */
  readonly line?: number;
}

export interface Attribute {
  readonly name: string;
  readonly value: string;
  readonly quoted: boolean;
  /** Where the value stands in the text, without its quotes. */
  readonly start: number;
  readonly end: number;
}

/** Reads `A=1,B="x,y"`; a comma or `=` inside quotes belongs to the value. What is no attribute is skipped. */
export function parseAttributes(text: string): Attribute[] {
  const attributes: Attribute[] = [];
  let at = 0;
  while (at < text.length) {
    const equals = text.indexOf("=", at);
    if (equals === -1) break;
    const quoted = text.charCodeAt(equals + 1) === 34;
    const start = quoted ? equals + 2 : equals + 1;
    let end = text.indexOf(quoted ? '"' : ",", start);
    if (end === -1) end = text.length;
    // A name never holds a comma: what stands before one is rubbish left over from something malformed.
    const name = text.slice(Math.max(at, text.lastIndexOf(",", equals) + 1), equals).trim();
    attributes.push({ name, value: text.slice(start, end), quoted, start, end });
    const comma = quoted ? text.indexOf(",", end + 1) : end;
    if (comma === -1) break;
    at = comma + 1;
  }
  return attributes;
}

/** The variables of one playlist (EXT-X-DEFINE), and how much text they have grown into: a few bytes can name a lot. */
export class Variables {
  readonly #values = new Map<string, string>();
  #expandedLength = 0;

  /** What a master playlist hands down to its media playlists. */
  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** Takes up one EXT-X-DEFINE: NAME with VALUE, IMPORT from the master playlist, or QUERYPARAM of the playlist's address. */
  define(
    attributeText: string,
    from: { readonly imported: ReadonlyMap<string, string>; readonly base: URL },
  ): PlaylistError | null {
    const attributes = new Map(parseAttributes(attributeText).map(({ name, value }) => [name, value]));
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
    let unknown: string | null = null;
    let length = text.length;
    const expanded = text.replace(/\{\$([A-Za-z0-9_-]+)\}/g, (whole, name: string) => {
      const value = this.#values.get(name);
      if (value === undefined) unknown ??= name;
      else length += value.length - whole.length;
      // One line must not grow to gigabytes before somebody looks at it.
      return value === undefined || length > MAX_EXPANDED_LINE_LENGTH ? "" : value;
    });
    if (unknown !== null) return err(malformed(`variable ${(unknown as string).slice(0, 40)} is not defined`));
    if (length > MAX_EXPANDED_LINE_LENGTH) return err(tooLarge("a line whose variables make it too long"));
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

/**
 * Resolves the addresses of one playlist. The URL parser is asked once per directory, not once per line: 10,000 segments
 * of one directory cost one parse. `make` is called once for every distinct directory.
 */
export function createResolver<D extends Directory>(
  base: URL,
  make: (href: string) => D,
): (uri: string) => Resolved<D> | { readonly other: URL } | null {
  const byText = new Map<string, D | null>();
  let lastText: string | null = null;
  let last: D | null = null;
  const byHref = new Map<string, D>();

  function directory(href: string): D {
    let found = byHref.get(href);
    if (found === undefined) byHref.set(href, found = make(href));
    return found;
  }

  function directoryOfText(text: string): D | null {
    // Neighbours nearly always lie in one directory: comparing is cheaper than hashing.
    if (text === lastText) return last;
    let found = byText.get(text);
    if (found === undefined) {
      const url = parseUrl(text === "" ? "./" : text, base);
      const plain = url !== null && isWeb(url) && url.search === "" && url.hash === "" && url.href.endsWith("/");
      byText.set(text, found = plain ? directory(url.href) : null);
    }
    lastText = text;
    return last = found;
  }

  return (uri) => {
    const question = uri.indexOf("?");
    const slash = uri.lastIndexOf("/", question === -1 ? uri.length : question);
    const rest = uri.slice(slash + 1);
    if (PLAIN_REST.test(rest)) {
      const found = directoryOfText(uri.slice(0, slash + 1));
      if (found !== null) return { directory: found, rest, plain: true };
    }
    const url = parseUrl(uri, base);
    if (url === null) return null;
    if (!isWeb(url)) return { other: url };
    const end = url.origin.length + url.pathname.lastIndexOf("/") + 1;
    if (url.username !== "" || url.password !== "") return { other: url };
    url.hash = "";
    return { directory: directory(url.href.slice(0, end)), rest: url.href.slice(end), plain: false };
  };
}

function isWeb(url: URL): boolean {
  return (url.protocol === "https:" || url.protocol === "http:") && url.username === "" && url.password === "";
}

function parseUrl(text: string, base: URL): URL | null {
  try {
    return new URL(text, base);
  } catch {
    return null;
  }
}
