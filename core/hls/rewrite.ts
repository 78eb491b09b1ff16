// Rewrites an HLS playlist so that everything it names is fetched through signed proxy links.
// Example: `seg1.ts` → `https://worker.test/proxy?exp=…&sc=2&sig=…&url=https%3A%2F%2Fcdn.test%2Fv%2F1%2Fseg1.ts`
// Runs on: Deno, workerd. The text is planned in one linear pass without cryptography, runs of alike lines at once
// (hls_shape.ts); then one signature is made per distinct directory outside the parent link's scope, and one
// per address at another origin's root.
//
// Child links end in the address: players that judge a segment by the ending of its link (ffmpeg 7.1 and later) see `.ts`.
import { KeepstreamError } from "../errors.ts";
import {
  type AttributeSpan,
  behindAttribute,
  createResolver,
  type Directory,
  MAX_LINES,
  nextAttribute,
  type PlaylistError,
  Variables,
} from "./syntax.ts";
import { type ShapeRewriter, shapeRewriter } from "./shape.ts";
import { hasEncodedSeparator } from "../link.ts";
import { err, ok, type Result } from "../result.ts";
import { checkUrl, MAX_URL_LENGTH, type UrlPolicy } from "../url_policy.ts";

/** A signature costs ten microseconds. Segments at another origin's root have one each: enough for a film's. */
const MAX_SIGNATURES = 2000;
const MAX_ORIGINS = 32;
/** Where the slash behind an origin is looked for: behind the longest scheme's two. */
const ORIGIN_SLASH = "https://".length;
const TOO_MANY_SIGNATURES =
  `names more than ${MAX_ORIGINS} origins, or ${MAX_SIGNATURES} addresses that are signed one by one`;
/** In tags: a key and an initialisation section to each of 20,000 segments. */
const MAX_TAG_ADDRESSES = 40_000;
/** With the text it is made of and its bytes, this is what an isolate of 128 MB can hold twice. */
const MAX_OUTPUT_LENGTH = 12 * 1024 * 1024;
/** So much of the text is rewritten at once: more would be in vain where a line differs, less would not be worth it. */
const [MIN_BLOCK_LENGTH, MAX_BLOCK_LENGTH] = [1024, 16 * 1024];
/** Making a shape costs as much as a hundred lines. */
const MAX_SHAPES = 32;
/** Stands for the link's beginning in a block whose directory is yet to be signed. */
const HOLE = "\0";
const [NEWLINE, RETURN, SPACE, HASH] = [10, 13, 32, 35];

export interface RewriteOptions {
  /** The playlist's own address, after redirects. */
  readonly base: URL;
  /** `https://worker.test/proxy`: links begin with it. Lines that already do stay as they are. */
  readonly proxyUrl: string;
  readonly policy: UrlPolicy;
  /** The link that the playlist was asked for with. Children in its scope reuse its tail. */
  readonly parent: { readonly scope: string | null; readonly tail: string };
  /** Variables that the master playlist handed down in the link. */
  readonly variables?: ReadonlyMap<string, string>;
  /**
   * A tail (`exp=…&sc=…&sig=…`) that covers a directory (its href ends in a slash) or one exact address. `variables` are
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

/** The link for one address, as rewritePlaylist would write it: for the JSON that playlists point at. */
export async function rewriteUrl(uri: string, options: RewriteOptions): Promise<string> {
  const plan = new Plan("", options);
  plan.link(uri);
  const result = await plan.finish();
  // One address is one group: nothing to refuse.
  return result.ok ? result.value : "";
}

interface Place extends Directory {
  /** The href as it stands in a link. */
  readonly encoded: string;
  readonly allowed: boolean;
  /** Nothing less than the whole address is signed: see #isForeignRoot, hasEncodedSeparator. */
  readonly exact: boolean;
  /** Everything of a link but the name, where the parent's signature covers the directory. */
  readonly ready: string | null;
}

/** Chunks of the output that wait for the tail of one directory or address: they are links' beginnings, or hold HOLEs. */
interface Pending {
  readonly href: string;
  readonly exact: boolean;
  readonly chunks: number[];
}

interface PlacedShape extends ShapeRewriter {
  /** Where its directory is yet to be signed. */
  readonly pending: Pending | null;
  /** So much of the text, and what it is rewritten to still fits into memory. */
  readonly blockLength: number;
}

class Plan {
  readonly #text: string;
  readonly #options: RewriteOptions;
  readonly #resolver;
  readonly #baseDirectory: string;
  readonly #head: string;
  readonly #unsignedHead: string;
  readonly #ownHead: string;
  /** What is written before each tail that is still to be signed, and the place of that tail. */
  readonly #out: string[] = [];
  #written = "";
  #length = 0;
  /** The text before this is in `#out`. */
  #copied = 0;
  readonly #pending = new Map<string, Pending>();
  #tagAddresses = 0;
  /** How many of them are addresses, not directories. */
  #exact = 0;
  /** Origin → whether the policy allows it. */
  readonly #origins = new Map<string, boolean>();
  readonly #variables = new Variables();
  /** A master with variables hands them down inside its children's links, which the parent's tail does not hold. */
  readonly #handsDown: boolean;
  #lastQuery = "";
  #lastQueryEncoded = "";
  #shape: PlacedShape | null = null;
  #shapes = 0;
  /** A block before this position holds a line of another shape: it goes line by line. */
  #slowUntil = 0;
  /** Consecutive blocks that did not match. */
  #misses = 0;

  constructor(text: string, options: RewriteOptions) {
    this.#text = text;
    this.#options = options;
    // Looking for a tag in all of a media playlist would cost as much as rewriting it.
    const isMaster = /#EXTINF:|#EXT-X-STREAM-INF:/.exec(text)?.[0] === "#EXT-X-STREAM-INF:";
    this.#handsDown = isMaster && text.includes("#EXT-X-DEFINE");
    this.#baseDirectory = new URL("./", options.base).href;
    this.#head = `${options.proxyUrl}?${options.parent.tail}&url=`;
    this.#unsignedHead = `${options.proxyUrl}?url=`;
    this.#ownHead = `${options.proxyUrl}?`;
    this.#resolver = createResolver(options.base, (href) => this.#place(href));
  }

  run(): PlaylistError | null {
    const text = this.#text;
    let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
    this.#copied = at;
    for (let lines = 1;; lines++) {
      at = this.#skipBlankLines(at);
      if (at === text.length) break;
      if (lines > MAX_LINES) return { code: "too_large", reason: `more than ${MAX_LINES} lines` };
      let next = text.indexOf("\n", at) + 1;
      if (next === 0) next = text.length;
      // Variables stand in attribute values and addresses only; titles and comments stay as they are.
      const isTag = text.charCodeAt(at) === HASH;
      const problem = isTag ? (text.startsWith("#EXT-X-", at) ? this.#tag(at, next) : null) : this.#uri(at, next);
      if (problem !== null) return { ...problem, line: lineNumber(text, at) };
      if (this.#exact > MAX_SIGNATURES) return { code: "too_large", reason: TOO_MANY_SIGNATURES };
      if (this.#resolver.exhausted) return { code: "too_large", reason: "names too many places" };
      if (this.#length > MAX_OUTPUT_LENGTH) return { code: "too_large", reason: "the rewritten playlist is too large" };
      at = isTag || next < this.#slowUntil ? next : this.#alike(at, next);
    }
    this.#copyUpTo(text.length);
    return null;
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
    for (const [index, group] of groups.entries()) {
      const head = `${proxyUrl}?${tails[index]}&url=`;
      for (const chunk of group.chunks) {
        const text = this.#out[chunk]!;
        this.#out[chunk] = text === HOLE ? head : text.split(HOLE).join(head);
      }
    }
    return ok(this.#out.join("") + this.#written);
  }

  /**
   * One group per signature. Too many directories: those of one origin share the directory that holds them all, unless that would
   * be all of a foreign origin.
   */
  #groups(): Pending[] | null {
    const all = [...this.#pending.values()];
    const merged = all.length - this.#exact > MAX_ORIGINS ? all.filter(({ exact }) => exact) : all;
    if (merged !== all) {
      for (const group of Map.groupBy(all.filter(({ exact }) => !exact), ({ href }) => originOf(href)).values()) {
        const href = group.map(({ href }) => href).reduce(commonDirectory);
        if (this.#isForeignRoot(href)) merged.push(...group);
        else merged.push({ href, exact: false, chunks: group.flatMap(({ chunks }) => chunks) });
      }
    }
    const origins = new Set(merged.map(({ href }) => originOf(href)));
    return origins.size <= MAX_ORIGINS && merged.length <= MAX_SIGNATURES ? merged : null;
  }

  /** All of an origin is signed only where the playlist itself lies at its root. */
  #isForeignRoot(href: string): boolean {
    return href.indexOf("/", ORIGIN_SLASH) === href.length - 1 && href !== this.#baseDirectory;
  }

  /** Where the first line at or behind `at` begins that is not blank; they are copied as they are. */
  #skipBlankLines(at: number): number {
    const text = this.#text;
    for (let i = at; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > SPACE) return at;
      if (code === NEWLINE) at = i + 1;
    }
    return text.length;
  }

  /** The line in [start, next) names an address; answers what is wrong with it. */
  #uri(start: number, next: number): PlaylistError | null {
    const text = this.#text;
    let end = next;
    while (text.charCodeAt(end - 1) <= SPACE) end--;
    let from = start;
    while (text.charCodeAt(from) <= SPACE) from++;
    const expanded = this.#variables.expand(text.slice(from, end));
    if (!expanded.ok) return expanded.error;
    this.#copyUpTo(start);
    this.link(expanded.value);
    // A line's end stays as it was; blanks before it do not.
    this.#copied = text.charCodeAt(next - 1) !== NEWLINE
      ? next
      : text.charCodeAt(next - 2) === RETURN
      ? next - 2
      : next - 1;
    return null;
  }

  /** After the address in [start, from): rewrites what follows for as long as its lines are like it; answers how far. */
  #alike(start: number, from: number): number {
    const text = this.#text;
    if (text.length - from < MIN_BLOCK_LENGTH) return from;
    const shape = this.#shapeOf(text.slice(start, from).trim());
    let at = from;
    while (shape !== null && this.#length <= MAX_OUTPUT_LENGTH) {
      const end = text.lastIndexOf("\n", at + shape.blockLength);
      // The line's end before the block belongs to it, the one behind it does not.
      const block = end - at < MIN_BLOCK_LENGTH ? null : text.slice(at - 1, end);
      const spoilt = block === null || (shape.pending !== null && block.includes(HOLE));
      const rewritten = spoilt ? null : shape.rewrite(block);
      if (rewritten === null) {
        // A playlist that mixes shapes does not have every block tried.
        this.#slowUntil = at + shape.blockLength * 2 ** Math.min(this.#misses++, 16);
        break;
      }
      this.#misses = 0;
      this.#copyUpTo(at - 1);
      this.#copied = end;
      if (shape.pending === null) this.#push(rewritten);
      else this.#pushPending(rewritten, shape.pending);
      at = end + 1;
    }
    return at;
  }

  /** The shape of an address line, null where its like are not all of one directory that may be fetched. */
  #shapeOf(line: string): PlacedShape | null {
    if (line.includes("{$") || line.startsWith(this.#ownHead)) return null;
    const resolved = this.#resolver.resolve(line);
    if (resolved === null || "other" in resolved || !resolved.plain) return null;
    const { directory, rest } = resolved;
    const query = rest.slice(pathOf(rest).length);
    const written = line.slice(0, line.length - rest.length);
    if (this.#shape?.directory === written && this.#shape.query === query) return this.#shape;
    if (!directory.allowed || (directory.exact && directory.ready === null) || ++this.#shapes > MAX_SHAPES) return null;
    const pending = directory.ready === null ? this.#pendingOf(directory.href, false) : null;
    const head = directory.ready ?? HOLE + directory.encoded;
    const tail = encodeURIComponent(query);
    const longest = head.length + this.#head.length + tail.length;
    const blockLength = Math.min(MAX_BLOCK_LENGTH, Math.floor(MAX_OUTPUT_LENGTH / longest));
    return this.#shape = { ...shapeRewriter({ directory: written, query, head, tail }), pending, blockLength };
  }

  #tag(start: number, next: number): PlaylistError | null {
    const raw = this.#text.slice(start, next);
    if (raw.startsWith("#EXT-X-DEFINE:")) {
      const imported = this.#options.variables ?? new Map<string, string>();
      const problem = this.#variables.define(raw.slice(14).trimEnd(), { imported, base: this.#options.base });
      // Everything is expanded here, so the tag goes: a player would look for QUERYPARAM in our link.
      this.#copyUpTo(start);
      this.#copied = next;
      return problem;
    }
    const expanded = this.#variables.expand(raw);
    if (!expanded.ok) return expanded.error;
    const line = expanded.value;
    const named = line.includes("URI") || line.includes("X-ASSET-LIST");
    if (line === raw && !named) return null;
    this.#copyUpTo(start);
    this.#copied = next;
    const colon = line.indexOf(":") + 1;
    let written = 0;
    for (let span = named && colon > 0 ? nextAttribute(line, colon) : null; span !== null;) {
      if (span.quoted && namesAddress(line, span)) {
        if (++this.#tagAddresses > MAX_TAG_ADDRESSES) {
          return { code: "too_large", reason: "too many addresses in tags" };
        }
        this.#push(line.slice(written, span.start));
        this.link(line.slice(span.start, span.end));
        written = span.end;
      }
      span = nextAttribute(line, behindAttribute(line, span));
    }
    this.#push(line.slice(written));
    return null;
  }

  /** Writes the link for one address. What may not be fetched gets a link without a signature, which answers 403. */
  link(uri: string): void {
    if (uri.startsWith(this.#ownHead)) return this.#push(escapeQuote(uri));
    const resolved = this.#resolver.resolve(uri);
    if (resolved === null) {
      const shown = uri.length > MAX_URL_LENGTH ? "" : encodeURIComponent(uri.toWellFormed());
      return this.#push(this.#unsignedHead + shown);
    }
    if ("other" in resolved) return this.#push(this.#foreign(resolved.other));
    const { directory, rest, plain } = resolved;
    if (directory.ready !== null && plain) return this.#push(directory.ready + this.#encodeRest(rest, plain));
    const tail = directory.encoded + this.#encodeRest(rest, plain);
    if (!directory.allowed) return this.#push(this.#unsignedHead + tail);
    const hides = hasEncodedSeparator(pathOf(rest));
    if (directory.ready !== null && !hides) return this.#push(this.#head + tail);
    const exact = directory.exact || hides;
    this.#pushPending(HOLE, this.#pendingOf(exact ? directory.href + rest : directory.href, exact));
    this.#push(tail);
  }

  #pendingOf(href: string, exact: boolean): Pending {
    let pending = this.#pending.get(href);
    if (pending === undefined) {
      this.#pending.set(href, pending = { href, exact, chunks: [] });
      if (exact) this.#exact++;
    }
    return pending;
  }

  /** Addresses that are no web addresses: keys that the player's DRM knows and inline data stay, nothing else passes. */
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
    const ready = allowed && inScope && !this.#handsDown ? this.#head + encoded : null;
    return { href, encoded, allowed, exact: hides || this.#isForeignRoot(href), ready };
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

  /** Writes a chunk whose HOLEs wait for a signature. It will be about as long as the parent's. */
  #pushPending(chunk: string, pending: Pending): void {
    this.#out.push(this.#written, chunk);
    pending.chunks.push(this.#out.length - 1);
    this.#written = "";
    const holes = chunk === HOLE ? 1 : chunk.split(HOLE).length - 1;
    this.#length += chunk.length + holes * this.#head.length;
  }

  /** Adding to one string is cheaper than joining tens of thousands at the end. */
  #push(text: string): void {
    this.#written += text;
    this.#length += text.length;
  }
}

/** URI of every tag, and the attributes of interstitials and content steering that hold addresses. */
const ADDRESS_NAMES: ReadonlySet<string> = new Set(["URI", "SERVER-URI", "X-ASSET-URI", "X-ASSET-LIST"]);

function namesAddress(line: string, { nameStart, nameEnd }: AttributeSpan): boolean {
  const last = line.charCodeAt(nameEnd - 1);
  // Few names are cut out of the line: those that end in I or T, or in a blank that is cut off.
  return (last === 73 || last === 84 || last <= SPACE) && ADDRESS_NAMES.has(line.slice(nameStart, nameEnd).trim());
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
