// Rewrites an HLS playlist so that each of its URLs becomes a signed proxy link.
// Example: `seg1.ts` → `https://worker.test/proxy?exp=…&sc=2&sig=…&url=https%3A%2F%2Fcdn.test%2Fv%2F1%2Fseg1.ts`
// The text is planned in one linear pass without cryptography; then one signature is made per distinct directory outside of the
// parent link's scope, and one per URL at another origin's root.
//
// Child links end in the URL, because some players (ffmpeg 7.1 and later) check a segment's extension.
import { KeepstreamError } from "../errors.ts";
import { AttributeCursor, createResolver, type Directory, MAX_ATTRIBUTES, Variables } from "./syntax.ts";
import type { PlaylistError } from "./errors.ts";
import { hasEncodedSeparator } from "../link.ts";
import { err, ok, type Result } from "../result.ts";
import { checkUrl, MAX_URL_LENGTH, type UrlPolicy } from "../url_policy.ts";

/** A signature costs ten microseconds. Enough for a film whose segments are at another origin's root, with one each. */
const MAX_SIGNATURES = 2000;
const MAX_ORIGINS = 32;
/** The search for the slash after an origin starts after the two slashes of the longest scheme. */
const ORIGIN_SLASH = "https://".length;
const TOO_MANY_SIGNATURES = `more than ${MAX_ORIGINS} origins, or ${MAX_SIGNATURES} URLs that need a signature each`;
/** In lines and tags. A day of two-second segments is 43,200. */
const MAX_URLS = 50_000;
/** In tags, or with another directory or query than earlier lines: a key for each of 20,000 segments, and more. */
const MAX_SINGLE_URLS = 30_000;
/** With the original text and the encoded bytes, twice this fits into an isolate of 128 MB. */
const MAX_OUTPUT_LENGTH = 12 * 1024 * 1024;
/** Each needs a compiled pattern. */
const MAX_SHAPES = 32;
/** Matches up to the next line that may contain a URL; skips titles, comments and blank lines without a test of each. */
const NOTABLE = /(?:^|\n)(?![\0-\t\v- ]*(?:\n|$)|#(?!EXT-X-))/g;
const [NEWLINE, RETURN, SPACE, HASH] = [10, 13, 32, 35];

export interface RewriteOptions {
  /** The playlist's own URL, after redirects. */
  readonly base: URL;
  /** `https://worker.test/proxy`, the start of each link. Lines that start with it already are not changed. */
  readonly proxyUrl: string;
  readonly policy: UrlPolicy;
  /** The playlist's own link. Children in its scope reuse its tail. */
  readonly parent: { readonly scope: string | null; readonly tail: string };
  /** Between the parameters of a link. @default "&" */
  readonly separator?: string;
  /** Variables of the multivariant playlist, from the link. */
  readonly variables?: ReadonlyMap<string, string>;
  /**
   * Returns a tail (`exp=…&sc=…&sig=…`) for a directory (its href ends in a slash) or one exact URL. `variables` are those that a
   * multivariant playlist passes on to its children; empty for media playlists.
   */
  readonly sign: (request: SignRequest) => Promise<string>;
}

export interface SignRequest {
  readonly href: string;
  readonly exact: boolean;
  readonly variables: ReadonlyMap<string, string>;
}

/** Deterministic: the same text and options give the same result. */
export async function rewritePlaylist(text: string, options: RewriteOptions): Promise<Result<string, PlaylistError>> {
  const plan = new LinkWriter(text, options);
  const problem = plan.run();
  if (problem !== null) return err(problem);
  return await plan.finish();
}

/** The link for one URL: for JSON that playlists refer to. */
export async function rewriteUrl(uri: string, options: RewriteOptions): Promise<string> {
  const plan = new LinkWriter("", options);
  plan.link(uri);
  const result = await plan.finish();
  // A single URL cannot exceed a limit.
  return result.ok ? result.value : "";
}

/** Writes links into another format. */
export function startLinks(options: RewriteOptions): LinkWriter {
  return new LinkWriter("", options);
}

interface LinkDirectory extends Directory {
  readonly allowed: boolean;
  /** Only whole URLs are signed: see #isForeignRoot, hasEncodedSeparator. */
  readonly exact: boolean;
  /** The href, encoded for a link. */
  readonly encoded: string;
  /** The link up to the name, if the parent's signature covers the directory. */
  readonly ready: string | null;
  pending: Pending | null;
  /** By name and query, for URLs with a signature each. */
  exactly: Map<string, Pending> | null;
}

/** A directory or URL that has not been signed yet. */
interface Pending {
  readonly href: string;
  readonly exact: boolean;
  /** The start of its links; set when it is signed. */
  head: string;
}

/** URL lines that differ in their file name only, as in most playlists. */
interface Shape {
  /** Matches a whole line. */
  readonly pattern: RegExp;
  /** Lengths of the text before the name and after it. */
  readonly written: number;
  readonly query: number;
  readonly directory: LinkDirectory;
  /** The query, encoded for a link. */
  readonly tail: string;
}

/** The URLs that share a signature. */
interface Group {
  readonly href: string;
  readonly exact: boolean;
  readonly members: readonly Pending[];
}

/** Writes text and links; the links are signed together at the end. */
export class LinkWriter {
  #text: string;
  readonly #options: RewriteOptions;
  readonly #resolver;
  readonly #baseDirectory: string;
  readonly #url: string;
  readonly #head: string;
  readonly #unsignedHead: string;
  readonly #ownHead: string;
  /** The text before each link that has not been signed yet, and what that link is signed as. */
  readonly #before: string[] = [];
  readonly #pending: Pending[] = [];
  /** The text after the last of them. Appending to one string is cheaper than joining tens of thousands. */
  #written = "";
  #length = 0;
  /** The position up to which `#text` has been written. */
  #copied = 0;
  /** URLs that are signed one by one, and directories. */
  readonly #exact: Pending[] = [];
  readonly #directories = new Map<string, Pending>();
  #urls = 0;
  #singleUrls = 0;
  /** Origin → whether the policy allows it. */
  readonly #origins = new Map<string, boolean>();
  readonly #variables = new Variables();
  readonly #hasVariables: boolean;
  /** A multivariant playlist with variables puts them into its children's links; the parent's tail does not contain them. */
  readonly #passesVariables: boolean;
  #lastQuery = "";
  #lastQueryEncoded = "";
  #shape: Shape | null = null;
  #shapes = 0;

  constructor(text: string, options: RewriteOptions) {
    // Players require #EXTM3U to be the first characters.
    this.#text = text.replace(/^\s+(?=#EXTM3U)/, "");
    this.#options = options;
    // The first of either tag decides: a search of the whole media playlist would cost as much as rewriting it.
    const isMultivariant = /#EXTINF:|#EXT-X-STREAM-INF:/.exec(text)?.[0] === "#EXT-X-STREAM-INF:";
    this.#hasVariables = text.includes("{$");
    this.#passesVariables = isMultivariant && text.includes("#EXT-X-DEFINE");
    this.#baseDirectory = new URL("./", options.base).href;
    this.#url = `${options.separator ?? "&"}url=`;
    this.#head = `${options.proxyUrl}?${options.parent.tail}${this.#url}`;
    this.#unsignedHead = `${options.proxyUrl}?url=`;
    this.#ownHead = `${options.proxyUrl}?`;
    this.#resolver = createResolver(options.base, (href) => this.#linkDirectory(href));
  }

  run(): PlaylistError | null {
    const text = this.#text;
    for (let newline = 0; newline !== -1;) {
      NOTABLE.lastIndex = newline;
      if (!NOTABLE.test(text)) break;
      const start = NOTABLE.lastIndex;
      const alike = this.#alike(start);
      if (alike !== -1) newline = alike;
      else {
        newline = text.indexOf("\n", start);
        const end = newline === -1 ? text.length : newline;
        // Variables are expanded in attribute values and URLs only, not in titles and comments.
        const problem = text.charCodeAt(start) === HASH ? this.#tag(start, end) : this.#uri(start, end);
        if (problem !== null) return { ...problem, line: lineNumber(text, start) };
        if (this.#singleUrls > MAX_SINGLE_URLS) {
          return {
            code: "too_large",
            reason: `more than ${MAX_SINGLE_URLS} URLs in tags or in different directories and queries`,
          };
        }
        if (this.#exact.length > MAX_SIGNATURES) return { code: "too_large", reason: TOO_MANY_SIGNATURES };
        if (this.#resolver.exhausted) return { code: "too_large", reason: "too many directories or URLs" };
      }
      if (this.#urls > MAX_URLS) return { code: "too_large", reason: `more than ${MAX_URLS} URLs` };
      if (this.#length > MAX_OUTPUT_LENGTH) return { code: "too_large", reason: "the rewritten playlist is too large" };
    }
    this.#copyUpTo(text.length);
    return null;
  }

  /** Writes the link for the line at `start` if it has the current shape; returns the line's end, or -1. */
  #alike(start: number): number {
    if (this.#shape === null) return -1;
    const { pattern, written, query, directory, tail } = this.#shape;
    pattern.lastIndex = start;
    if (!pattern.test(this.#text)) return -1;
    const end = pattern.lastIndex;
    this.#urls++;
    this.#copyUpTo(start);
    this.#pushDirectory(directory);
    this.#copied = start + written;
    if (query > 0) {
      this.#push(this.#text.slice(this.#copied, end - query) + tail);
      this.#copied = end;
    }
    return end;
  }

  /** Sets the shape that the lines after `uri` are compared with. */
  #setShape(uri: string): void {
    if (this.#shapes === MAX_SHAPES || uri.startsWith(this.#ownHead)) return;
    this.#shapes++;
    const resolved = this.#resolver.resolve(uri);
    if (resolved === null || "other" in resolved || !resolved.plain) return;
    const { directory, rest } = resolved;
    if (!directory.allowed || (directory.exact && directory.ready === null)) return;
    const written = uri.length - rest.length;
    const query = rest.slice(pathOf(rest).length);
    const pattern = new RegExp(
      `${escapePattern(uri.slice(0, written))}[A-Za-z0-9_~-][A-Za-z0-9_.~-]*${escapePattern(query)}(?=\\r?(?:\\n|$))`,
      "y",
    );
    this.#shape = { pattern, written, query: query.length, directory, tail: encodeURIComponent(query) };
  }

  async finish(): Promise<Result<string, PlaylistError>> {
    const groups = this.#groups();
    if (groups === null) return err({ code: "too_large", reason: TOO_MANY_SIGNATURES });
    const variables: ReadonlyMap<string, string> = this.#passesVariables
      ? this.#variables.values
      : new Map<string, string>();
    const { proxyUrl, sign } = this.#options;
    let tails: readonly string[];
    try {
      tails = await Promise.all(groups.map(({ href, exact }) => sign({ href, exact, variables })));
    } catch (error) {
      // Caused by the playlist: everything else in a child's link fitted into its parent's.
      if (!(error instanceof KeepstreamError) || error.code !== "too_large") throw error;
      return err({ code: "too_large", reason: "its variables and cookies are too large for a link" });
    }
    for (const [index, { members }] of groups.entries()) {
      for (const pending of members) pending.head = `${proxyUrl}?${tails[index]}${this.#url}`;
    }
    const [before, pending] = [this.#before, this.#pending];
    let written = "";
    for (let i = 0; i < pending.length; i++) {
      written += before[i]!;
      written += pending[i]!.head;
    }
    return ok(written + this.#written);
  }

  /**
   * One group per signature. If there are too many directories, those of one origin share their common directory, unless that is the
   * root of a foreign origin.
   */
  #groups(): Group[] | null {
    const alone = (pending: Pending) => ({ href: pending.href, exact: pending.exact, members: [pending] });
    const groups: Group[] = this.#exact.map(alone);
    const directories = [...this.#directories.values()];
    if (directories.length <= MAX_ORIGINS) groups.push(...directories.map(alone));
    else {
      for (const members of Map.groupBy(directories, ({ href }) => originOf(href)).values()) {
        const href = members.map(({ href }) => href).reduce(commonDirectory);
        if (this.#isForeignRoot(href)) { for (const one of members) groups.push(alone(one)); }
        else groups.push({ href, exact: false, members });
      }
    }
    const origins = new Set(groups.map(({ href }) => originOf(href)));
    return origins.size <= MAX_ORIGINS && groups.length <= MAX_SIGNATURES ? groups : null;
  }

  /** A whole origin is signed only if the playlist itself is at its root. */
  #isForeignRoot(href: string): boolean {
    return href.indexOf("/", ORIGIN_SLASH) === href.length - 1 && href !== this.#baseDirectory;
  }

  /** Writes the link for the URL line in [start, end). */
  #uri(start: number, end: number): PlaylistError | null {
    const text = this.#text;
    let [from, to] = [start, end];
    while (text.charCodeAt(to - 1) <= SPACE) to--;
    while (text.charCodeAt(from) <= SPACE) from++;
    let uri = text.slice(from, to);
    if (this.#hasVariables) {
      const expanded = this.#variables.expand(uri);
      if (!expanded.ok) return expanded.error;
      uri = expanded.value;
    }
    this.#copyUpTo(start);
    this.link(uri);
    this.#setShape(uri);
    // Keeps the line ending, removes white space before it.
    this.#copied = end < text.length && text.charCodeAt(end - 1) === RETURN ? end - 1 : end;
    return null;
  }

  #tag(start: number, end: number): PlaylistError | null {
    const raw = this.#text.slice(start, end);
    if (raw.startsWith("#EXT-X-DEFINE:")) {
      const imported = this.#options.variables ?? new Map<string, string>();
      const problem = this.#variables.define(raw.slice(14).trimEnd(), { imported, base: this.#options.base });
      // Removed, because everything is expanded: a player would look up QUERYPARAM in the proxy link.
      this.#copyUpTo(start);
      this.#copied = Math.min(end + 1, this.#text.length);
      return problem;
    }
    if (this.#hasVariables) {
      const expanded = this.#variables.expand(raw);
      if (!expanded.ok) return expanded.error;
      if (expanded.value !== raw) {
        this.#copyUpTo(start);
        const text = this.#text;
        [this.#text, this.#copied] = [expanded.value, 0];
        const problem = this.#attributes(expanded.value, 0);
        this.#copyUpTo(expanded.value.length);
        [this.#text, this.#copied] = [text, end];
        return problem;
      }
    }
    return this.#attributes(raw, start);
  }

  /** Writes the links for all URLs in a tag that starts at `start`. */
  #attributes(line: string, start: number): PlaylistError | null {
    if (!line.includes("URI") && !line.includes("X-ASSET-LIST")) return null;
    const colon = line.indexOf(":");
    const attributes = new AttributeCursor(line, colon === -1 ? line.length : colon + 1);
    for (let count = 1; attributes.next(); count++) {
      if (count > MAX_ATTRIBUTES) {
        return { code: "too_large", reason: `more than ${MAX_ATTRIBUTES} attributes in one tag` };
      }
      if (!attributes.quoted || !namesUrl(line, attributes)) continue;
      this.#copyUpTo(start + attributes.start);
      this.link(line.slice(attributes.start, attributes.end));
      this.#copied = start + attributes.end;
    }
    return null;
  }

  /** Writes the link for one URL. A refused URL gets a link without a signature, which responds 403. */
  link(uri: string): void {
    this.#urls++;
    this.#singleUrls++;
    if (uri.startsWith(this.#ownHead)) return this.#push(escapeQuote(uri));
    const resolved = this.#resolver.resolve(uri);
    if (resolved === null) {
      const shown = uri.length > MAX_URL_LENGTH ? "" : encodeURIComponent(uri.toWellFormed());
      return this.#push(this.#unsignedHead + shown);
    }
    if ("other" in resolved) return this.#push(this.#otherScheme(resolved.other));
    const { directory, rest, plain } = resolved;
    const hides = !plain && hasEncodedSeparator(pathOf(rest));
    if (hides || (directory.exact && directory.ready === null)) this.#pushExact(directory, rest);
    else this.#pushDirectory(directory);
    this.#push(this.#encodeRest(rest, plain));
  }

  /** Writes text as it is. */
  text(text: string): void {
    this.#push(text);
  }

  /** Writes the link for an absolute URL whose last part is `encoded` for a link already; false if only whole URLs can be signed. */
  linkBelow(directoryHref: string, encoded: string): boolean {
    const resolved = this.#resolver.resolve(directoryHref);
    if (resolved === null || "other" in resolved) return false;
    const { directory } = resolved;
    if (directory.allowed && directory.exact && directory.ready === null) return false;
    this.#urls++;
    this.#singleUrls++;
    this.#pushDirectory(directory);
    this.#push(encoded);
    return true;
  }

  /** A link that the proxy refuses. */
  linkRefused(uri: string): void {
    this.#push(this.#unsignedHead + encodeURIComponent(uri.slice(0, MAX_URL_LENGTH).toWellFormed()));
  }

  /** The limit that has been exceeded. */
  get excess(): PlaylistError | null {
    if (this.#urls > MAX_URLS) return { code: "too_large", reason: `more than ${MAX_URLS} URLs` };
    if (this.#exact.length > MAX_SIGNATURES) return { code: "too_large", reason: TOO_MANY_SIGNATURES };
    if (this.#resolver.exhausted) return { code: "too_large", reason: "too many directories or URLs" };
    if (this.#length > MAX_OUTPUT_LENGTH) return { code: "too_large", reason: "the rewritten text is too large" };
    return null;
  }

  /** The link up to the name, for a directory that is signed as a whole. */
  #pushDirectory(directory: LinkDirectory): void {
    if (directory.ready !== null) return this.#push(directory.ready);
    if (!directory.allowed) return this.#push(this.#unsignedHead + directory.encoded);
    this.#pushHead(directory.pending ??= this.#directoryPending(directory));
    this.#push(directory.encoded);
  }

  #pushExact(directory: LinkDirectory, rest: string): void {
    if (directory.allowed) this.#pushHead(this.#exactPending(directory, rest));
    else this.#push(this.#unsignedHead);
    this.#push(directory.encoded);
  }

  #exactPending(directory: LinkDirectory, rest: string): Pending {
    directory.exactly ??= new Map();
    let pending = directory.exactly.get(rest);
    if (pending === undefined) {
      directory.exactly.set(rest, pending = { href: directory.href + rest, exact: true, head: "" });
      this.#exact.push(pending);
    }
    return pending;
  }

  #directoryPending({ href }: LinkDirectory): Pending {
    let pending = this.#directories.get(href);
    if (pending === undefined) this.#directories.set(href, pending = { href, exact: false, head: "" });
    return pending;
  }

  /** The start of a link that is signed later. */
  #pushHead(pending: Pending): void {
    this.#before.push(this.#written);
    this.#pending.push(pending);
    this.#written = "";
    // An estimate: the signature is about as long as the parent's.
    this.#length += this.#head.length;
  }

  /** URLs that are not http(s). DRM key ids and inline data are kept, everything else is refused. */
  #otherScheme(url: URL): string {
    if (["skd:", "data:", "blob:", "urn:"].includes(url.protocol)) return escapeQuote(url.href);
    return this.#unsignedHead + encodeURIComponent(url.href);
  }

  #linkDirectory(href: string): LinkDirectory {
    const { policy, parent } = this.#options;
    const encoded = encodeURIComponent(href);
    const allowed = href.length <= MAX_URL_LENGTH &&
      this.#isAllowed(href.slice(0, href.indexOf("/", 8) + 1), policy);
    const hides = hasEncodedSeparator(href);
    const inScope = parent.scope !== null && href.startsWith(parent.scope) && !hides;
    return {
      href,
      encoded,
      allowed,
      exact: hides || this.#isForeignRoot(href),
      ready: allowed && inScope && !this.#passesVariables ? this.#head + encoded : null,
      pending: null,
      exactly: null,
    };
  }

  /** The policy depends on the origin only, so it is checked once per origin. */
  #isAllowed(origin: string, policy: UrlPolicy): boolean {
    let allowed = this.#origins.get(origin);
    if (allowed === undefined) this.#origins.set(origin, allowed = checkUrl(origin, policy).ok);
    return allowed;
  }

  #encodeRest(rest: string, plain: boolean): string {
    const question = rest.indexOf("?");
    if (question === -1) return plain ? rest : encodeURIComponent(rest);
    // Most playlists have the same token in every segment's query.
    const query = rest.slice(question);
    if (query !== this.#lastQuery) {
      this.#lastQuery = query;
      this.#lastQueryEncoded = encodeURIComponent(query);
    }
    const name = rest.slice(0, question);
    return (plain ? name : encodeURIComponent(name)) + this.#lastQueryEncoded;
  }

  /** Copies the text that has not been written yet, up to `end`. */
  #copyUpTo(end: number): void {
    if (end > this.#copied) this.#push(this.#text.slice(this.#copied, end));
    this.#copied = end;
  }

  #push(text: string): void {
    this.#written += text;
    this.#length += text.length;
  }
}

/** URI of every tag, and the URL attributes of interstitials and content steering. */
const URL_ATTRIBUTES: ReadonlySet<string> = new Set(["URI", "SERVER-URI", "X-ASSET-URI", "X-ASSET-LIST"]);

function namesUrl(line: string, { nameStart, nameEnd }: AttributeCursor): boolean {
  const last = line.charCodeAt(nameEnd - 1);
  // Only names that end in I or T, or in white space, are copied out of the line.
  return (last === 73 || last === 84 || last <= SPACE) && URL_ATTRIBUTES.has(line.slice(nameStart, nameEnd).trim());
}

/** 1 for the first line. */
function lineNumber(text: string, end: number): number {
  let number = 1;
  for (let i = 0; i < end; i++) if (text.charCodeAt(i) === NEWLINE) number++;
  return number;
}

function pathOf(rest: string): string {
  const question = rest.indexOf("?");
  return question === -1 ? rest : rest.slice(0, question);
}

function escapeQuote(text: string): string {
  return text.replaceAll('"', "%22");
}

function originOf(href: string): string {
  return href.slice(0, href.indexOf("/", ORIGIN_SLASH));
}

/** The longest common directory of two URLs of one origin. */
function commonDirectory(a: string, b: string): string {
  if (b.startsWith(a)) return a;
  let end = 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length && a[i] === b[i]; i++) if (a[i] === "/") end = i + 1;
  return a.slice(0, end);
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
