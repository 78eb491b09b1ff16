// Rewrites an HLS playlist so that everything it names is fetched through signed proxy links.
// Example: `seg1.ts` → `https://worker.test/proxy?exp=…&sc=2&sig=…&url=https%3A%2F%2Fcdn.test%2Fv%2F1%2Fseg1.ts`
// Runs on: Deno, workerd. The text is planned in one linear pass without cryptography; then one signature is made per distinct
// directory outside the parent link's scope, and one per URL at another origin's root.
//
// Child links end in the URL: players that judge a segment by the ending of its link (ffmpeg 7.1 and later) see `.ts`.
import { KeepstreamError } from "../errors.ts";
import {
  AttributeCursor,
  createResolver,
  type Directory,
  MAX_ATTRIBUTES,
  type PlaylistError,
  Variables,
} from "./syntax.ts";
import { hasEncodedSeparator } from "../link.ts";
import { err, ok, type Result } from "../result.ts";
import { checkUrl, MAX_URL_LENGTH, type UrlPolicy } from "../url_policy.ts";

/** A signature costs ten microseconds. Segments at another origin's root have one each: enough for a film's. */
const MAX_SIGNATURES = 2000;
const MAX_ORIGINS = 32;
/** Where the slash behind an origin is looked for: behind the longest scheme's two. */
const ORIGIN_SLASH = "https://".length;
const TOO_MANY_SIGNATURES =
  `names more than ${MAX_ORIGINS} origins, or ${MAX_SIGNATURES} URLs that are signed one by one`;
/** In lines and tags: a day of segments of two seconds is 43,200. */
const MAX_URLS = 50_000;
/** Those in tags, and those whose directory or query is not that of lines before: a key to each of 20,000 segments and more. */
const MAX_SINGLE_URLS = 30_000;
/** With the text it is made of and its bytes, this is what an isolate of 128 MB can hold twice. */
const MAX_OUTPUT_LENGTH = 12 * 1024 * 1024;
/** A pattern is made for each. */
const MAX_SHAPES = 32;
/** Before each line that is not blank and may name a URL: titles and comments are passed over without a look at each. */
const NOTABLE = /(?:^|\n)(?![\0-\t\v- ]*(?:\n|$)|#(?!EXT-X-))/g;
const [NEWLINE, RETURN, SPACE, HASH] = [10, 13, 32, 35];

export interface RewriteOptions {
  /** The playlist's own URL, after redirects. */
  readonly base: URL;
  /** `https://worker.test/proxy`: links begin with it. Lines that already do stay as they are. */
  readonly proxyUrl: string;
  readonly policy: UrlPolicy;
  /** The link that the playlist was asked for with. Children in its scope reuse its tail. */
  readonly parent: { readonly scope: string | null; readonly tail: string };
  /** Variables that the master playlist handed down in the link. */
  readonly variables?: ReadonlyMap<string, string>;
  /**
   * A tail (`exp=…&sc=…&sig=…`) that covers a directory (its href ends in a slash) or one exact URL. `variables` are
   * those that a master playlist hands down; empty for all other playlists.
   */
  readonly sign: (request: SignRequest) => Promise<string>;
}

export interface SignRequest {
  readonly href: string;
  readonly exact: boolean;
  readonly variables: ReadonlyMap<string, string>;
}

/** One playlist, rewritten; the same text and options give the same result. */
export async function rewritePlaylist(text: string, options: RewriteOptions): Promise<Result<string, PlaylistError>> {
  const plan = new Plan(text, options);
  const problem = plan.run();
  if (problem !== null) return err(problem);
  return await plan.finish();
}

/** The link for one URL, as rewritePlaylist would write it: for the JSON that playlists point at. */
export async function rewriteUrl(uri: string, options: RewriteOptions): Promise<string> {
  const plan = new Plan("", options);
  plan.link(uri);
  const result = await plan.finish();
  // One URL is one group: nothing to refuse.
  return result.ok ? result.value : "";
}

interface Place extends Directory {
  readonly allowed: boolean;
  /** Nothing less than the whole URL is signed: see #isForeignRoot, hasEncodedSeparator. */
  readonly exact: boolean;
  /** The href as it stands in a link. */
  readonly encoded: string;
  /** Everything of a link but the name, where the parent's signature covers the directory. */
  readonly ready: string | null;
  pending: Pending | null;
  /** By name and query, where each is signed by itself. */
  exactly: Map<string, Pending> | null;
}

/** A directory or a URL that waits for its signature. */
interface Pending {
  readonly href: string;
  readonly exact: boolean;
  /** How its links begin, as soon as it is signed. */
  head: string;
}

/** Lines that differ in the names of their files alone: most playlists are one title and one of these over and over. */
interface Shape {
  /** Matches a whole line. */
  readonly pattern: RegExp;
  /** Lengths of what the playlist writes before the name and after it. */
  readonly written: number;
  readonly query: number;
  readonly directory: Place;
  /** The query in a link. */
  readonly tail: string;
}

/** What one signature is made for. */
interface Group {
  readonly href: string;
  readonly exact: boolean;
  readonly members: readonly Pending[];
}

class Plan {
  #text: string;
  readonly #options: RewriteOptions;
  readonly #resolver;
  readonly #baseDirectory: string;
  readonly #head: string;
  readonly #unsignedHead: string;
  readonly #ownHead: string;
  /** What stands before each link's beginning that is yet to be signed, and whose beginning that is. */
  readonly #before: string[] = [];
  readonly #pending: Pending[] = [];
  /** What stands behind the last of them. Adding to one string is cheaper than joining tens of thousands. */
  #written = "";
  #length = 0;
  /** `#text` before this is written. */
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
  /** A master with variables hands them down inside its children's links, which the parent's tail does not hold. */
  readonly #handsDown: boolean;
  #lastQuery = "";
  #lastQueryEncoded = "";
  #shape: Shape | null = null;
  #shapes = 0;

  constructor(text: string, options: RewriteOptions) {
    this.#text = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    this.#options = options;
    // Looking for a tag in all of a media playlist would cost as much as rewriting it.
    const isMaster = /#EXTINF:|#EXT-X-STREAM-INF:/.exec(text)?.[0] === "#EXT-X-STREAM-INF:";
    this.#hasVariables = text.includes("{$");
    this.#handsDown = isMaster && text.includes("#EXT-X-DEFINE");
    this.#baseDirectory = new URL("./", options.base).href;
    this.#head = `${options.proxyUrl}?${options.parent.tail}&url=`;
    this.#unsignedHead = `${options.proxyUrl}?url=`;
    this.#ownHead = `${options.proxyUrl}?`;
    this.#resolver = createResolver(options.base, (href) => this.#place(href));
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
        // Variables stand in attribute values and URLs only; titles and comments stay as they are.
        const problem = text.charCodeAt(start) === HASH ? this.#tag(start, end) : this.#uri(start, end);
        if (problem !== null) return { ...problem, line: lineNumber(text, start) };
        if (this.#singleUrls > MAX_SINGLE_URLS) {
          return {
            code: "too_large",
            reason: `more than ${MAX_SINGLE_URLS} URLs in tags or of different directories and queries`,
          };
        }
        if (this.#exact.length > MAX_SIGNATURES) return { code: "too_large", reason: TOO_MANY_SIGNATURES };
        if (this.#resolver.exhausted) return { code: "too_large", reason: "names too many places" };
      }
      if (this.#urls > MAX_URLS) return { code: "too_large", reason: `more than ${MAX_URLS} URLs` };
      if (this.#length > MAX_OUTPUT_LENGTH) return { code: "too_large", reason: "the rewritten playlist is too large" };
    }
    this.#copyUpTo(text.length);
    return null;
  }

  /** Writes the link for the line at `start` if it differs from a URL before it in its name alone; returns where it ends, or -1. */
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

  /** What the lines that follow `uri` are compared with. */
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
    const variables: ReadonlyMap<string, string> = this.#handsDown ? this.#variables.values : new Map<string, string>();
    const { proxyUrl, sign } = this.#options;
    let tails: readonly string[];
    try {
      tails = await Promise.all(groups.map(({ href, exact }) => sign({ href, exact, variables })));
    } catch (error) {
      // The playlist's own doing: everything else in a child's link was in its parent's.
      if (!(error instanceof KeepstreamError) || error.code !== "too_large") throw error;
      return err({ code: "too_large", reason: "hands down more variables than a link can hold" });
    }
    for (const [index, { members }] of groups.entries()) {
      for (const pending of members) pending.head = `${proxyUrl}?${tails[index]}&url=`;
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
   * One group per signature. Too many directories: those of one origin share the directory that holds them all, unless that would
   * be all of a foreign origin.
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

  /** All of an origin is signed only where the playlist itself lies at its root. */
  #isForeignRoot(href: string): boolean {
    return href.indexOf("/", ORIGIN_SLASH) === href.length - 1 && href !== this.#baseDirectory;
  }

  /** The line in [start, end) names a URL; returns what is wrong with it. */
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
    // A line's end stays as it was; blanks before it do not.
    this.#copied = end < text.length && text.charCodeAt(end - 1) === RETURN ? end - 1 : end;
    return null;
  }

  #tag(start: number, end: number): PlaylistError | null {
    const raw = this.#text.slice(start, end);
    if (raw.startsWith("#EXT-X-DEFINE:")) {
      const imported = this.#options.variables ?? new Map<string, string>();
      const problem = this.#variables.define(raw.slice(14).trimEnd(), { imported, base: this.#options.base });
      // Everything is expanded here, so the tag goes: a player would look for QUERYPARAM in our link.
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

  /** Writes the links for all URLs in a tag, which begins at `start`. */
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

  /** Writes the link for one URL. What may not be fetched gets a link without a signature, which answers 403. */
  link(uri: string): void {
    this.#urls++;
    this.#singleUrls++;
    if (uri.startsWith(this.#ownHead)) return this.#push(escapeQuote(uri));
    const resolved = this.#resolver.resolve(uri);
    if (resolved === null) {
      const shown = uri.length > MAX_URL_LENGTH ? "" : encodeURIComponent(uri.toWellFormed());
      return this.#push(this.#unsignedHead + shown);
    }
    if ("other" in resolved) return this.#push(this.#foreign(resolved.other));
    const { directory, rest, plain } = resolved;
    const hides = !plain && hasEncodedSeparator(pathOf(rest));
    if (hides || (directory.exact && directory.ready === null)) this.#pushExact(directory, rest);
    else this.#pushDirectory(directory);
    this.#push(this.#encodeRest(rest, plain));
  }

  /** All of a link but the name, where the directory has one signature. */
  #pushDirectory(directory: Place): void {
    if (directory.ready !== null) return this.#push(directory.ready);
    if (!directory.allowed) return this.#push(this.#unsignedHead + directory.encoded);
    this.#pushHead(directory.pending ??= this.#directoryPending(directory));
    this.#push(directory.encoded);
  }

  #pushExact(directory: Place, rest: string): void {
    if (directory.allowed) this.#pushHead(this.#exactPending(directory, rest));
    else this.#push(this.#unsignedHead);
    this.#push(directory.encoded);
  }

  #exactPending(directory: Place, rest: string): Pending {
    directory.exactly ??= new Map();
    let pending = directory.exactly.get(rest);
    if (pending === undefined) {
      directory.exactly.set(rest, pending = { href: directory.href + rest, exact: true, head: "" });
      this.#exact.push(pending);
    }
    return pending;
  }

  #directoryPending({ href }: Place): Pending {
    let pending = this.#directories.get(href);
    if (pending === undefined) this.#directories.set(href, pending = { href, exact: false, head: "" });
    return pending;
  }

  /** The beginning of a link that is signed later. */
  #pushHead(pending: Pending): void {
    this.#before.push(this.#written);
    this.#pending.push(pending);
    this.#written = "";
    // It will be about as long as the parent's.
    this.#length += this.#head.length;
  }

  /** URLs that are not http(s): keys that the player's DRM knows and inline data stay, nothing else passes. */
  #foreign(url: URL): string {
    if (["skd:", "data:", "blob:", "urn:"].includes(url.protocol)) return escapeQuote(url.href);
    return this.#unsignedHead + encodeURIComponent(url.href);
  }

  #place(href: string): Place {
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
      ready: allowed && inScope && !this.#handsDown ? this.#head + encoded : null,
      pending: null,
      exactly: null,
    };
  }

  /** The policy is about origins: a directory's path, as the URL parser writes it, changes nothing. */
  #isAllowed(origin: string, policy: UrlPolicy): boolean {
    let allowed = this.#origins.get(origin);
    if (allowed === undefined) this.#origins.set(origin, allowed = checkUrl(origin, policy).ok);
    return allowed;
  }

  #encodeRest(rest: string, plain: boolean): string {
    const question = rest.indexOf("?");
    if (question === -1) return plain ? rest : encodeURIComponent(rest);
    // Most playlists give every segment the same token.
    const query = rest.slice(question);
    if (query !== this.#lastQuery) {
      this.#lastQuery = query;
      this.#lastQueryEncoded = encodeURIComponent(query);
    }
    const name = rest.slice(0, question);
    return (plain ? name : encodeURIComponent(name)) + this.#lastQueryEncoded;
  }

  /** Copies what has not been copied yet of the text before `end`. */
  #copyUpTo(end: number): void {
    if (end > this.#copied) this.#push(this.#text.slice(this.#copied, end));
    this.#copied = end;
  }

  #push(text: string): void {
    this.#written += text;
    this.#length += text.length;
  }
}

/** URI of every tag, and the attributes of interstitials and content steering that hold URLs. */
const URL_ATTRIBUTES: ReadonlySet<string> = new Set(["URI", "SERVER-URI", "X-ASSET-URI", "X-ASSET-LIST"]);

function namesUrl(line: string, { nameStart, nameEnd }: AttributeCursor): boolean {
  const last = line.charCodeAt(nameEnd - 1);
  // Few names are cut out of the line: those that end in I or T, or in a blank that is cut off.
  return (last === 73 || last === 84 || last <= SPACE) && URL_ATTRIBUTES.has(line.slice(nameStart, nameEnd).trim());
}

/** 1 is the first line. */
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

/** The longest directory that holds both; both of one origin. */
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
