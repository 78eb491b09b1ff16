// Cookies for the origin that set them (RFC 6265), and for no other: segments that need a cookie come from the playlist's origin.
// Example: cookiesAfter("a=1", url, ["b=2; Path=/; HttpOnly", "a=; Max-Age=0"], Date.now()) → "b=2"
// The cookies of one origin are a Cookie header's value, so that they fit into a link.

const MAX_COOKIES = 16;
/** Signed cookies of a CDN have 800 bytes. */
const MAX_LENGTH = 1536;
const MAX_PARSED = 50;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Quotes are part of a value. */
const VALUE = /^"?[\x20\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]*"?$/;

/**
 * The cookies for the origin of `url` after a response from there. Cookies beyond the limits, of a foreign Domain or with characters
 * that RFC 6265 excludes are ignored.
 */
export function cookiesAfter(cookies: string, url: URL, setCookie: readonly string[], now: number): string {
  if (setCookie.length === 0) return cookies;
  const kept = new Map(cookies === "" ? [] : cookies.split("; ").map(splitPair));
  for (const header of setCookie.slice(0, MAX_PARSED)) {
    const [pair, ...attributes] = header.slice(0, 8192).split(";");
    const [name, value] = splitPair(pair!);
    if (!NAME.test(name) || !VALUE.test(value) || !isFor(url, attributes)) continue;
    kept.delete(name);
    if (!isExpired(attributes, now)) kept.set(name, value);
  }
  let text = "";
  for (const [name, value] of [...kept].slice(0, MAX_COOKIES)) {
    const added = `${text === "" ? "" : "; "}${name}=${value}`;
    if (text.length + added.length <= MAX_LENGTH) text += added;
  }
  return text;
}

/** The cookies of one job, by origin. */
export class CookieJar {
  readonly #byOrigin = new Map<string, string>();
  static readonly #MAX_ORIGINS = 200;

  /** `cookies` is a Cookie header's value. */
  set(url: URL, cookies: string): void {
    this.#byOrigin.set(url.origin, cookies);
  }

  store(url: URL, headers: Headers, now: number): void {
    const setCookie = headers.getSetCookie();
    if (setCookie.length === 0) return;
    const known = this.#byOrigin.get(url.origin);
    if (known === undefined && this.#byOrigin.size >= CookieJar.#MAX_ORIGINS) return;
    this.#byOrigin.set(url.origin, cookiesAfter(known ?? "", url, setCookie, now));
  }

  /** A cookie file in Netscape's format, for programs that follow redirects themselves; empty without cookies. */
  netscape(): string {
    return [...this.#byOrigin].flatMap(([origin, cookies]) => {
      const { hostname, protocol } = new URL(origin);
      const secure = protocol === "https:" ? "TRUE" : "FALSE";
      return cookies === ""
        ? []
        : cookies.split("; ").map((pair) => `${[hostname, "FALSE", "/", secure, 0, ...splitPair(pair)].join("\t")}\n`);
    }).join("");
  }

  /** The value of a Cookie header; null without cookies. */
  header(url: URL): string | null {
    return this.#byOrigin.get(url.origin) || null;
  }
}

function splitPair(pair: string): [name: string, value: string] {
  const equals = pair.indexOf("=");
  if (equals === -1) return ["", ""];
  return [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()];
}

function isFor(url: URL, attributes: readonly string[]): boolean {
  const domain = attribute(attributes, "domain")?.replace(/^\./, "").toLowerCase();
  if (domain && domain !== url.hostname && !url.hostname.endsWith(`.${domain}`)) return false;
  return attribute(attributes, "secure") === undefined || url.protocol === "https:";
}

function isExpired(attributes: readonly string[], now: number): boolean {
  const maxAge = attribute(attributes, "max-age");
  if (maxAge !== undefined && /^-?\d+$/.test(maxAge)) return Number(maxAge) <= 0;
  const expires = Date.parse(attribute(attributes, "expires") ?? "");
  return expires <= now; // NaN is not
}

/** `""` for an attribute without a value; the last one of a name holds. */
function attribute(attributes: readonly string[], name: string): string | undefined {
  const text = attributes.findLast((one) => one.split("=", 1)[0]!.trim().toLowerCase() === name);
  return text === undefined ? undefined : splitPair(text)[1];
}
