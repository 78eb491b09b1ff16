// Rewrites an HLS playlist so that everything it names is fetched through signed proxy links.
// Example: `seg1.ts` → `https://worker.test/proxy?exp=…&sc=2&sig=…&url=https%3A%2F%2Fcdn.test%2Fv%2F1%2Fseg1.ts`
// Runs on: Deno, workerd. The text is planned in one linear pass without cryptography; then one signature is made per
// distinct directory outside the parent link's scope, at most MAX_SIGNATURES of them.
//
// Child links end in the address: players that judge a segment by the ending of its link (ffmpeg 7.1 and later) see `.ts`.
import { KeepstreamError } from "./errors.ts";
import { createResolver, type Directory, parseAttributes, type PlaylistError, Variables } from "./hls_syntax.ts";
import { hasEncodedSeparator } from "./link.ts";
import { err, ok, type Result } from "./result.ts";
import { checkTarget, type TargetPolicy } from "./target_policy.ts";

export const MAX_SIGNATURES = 32;
const MAX_OUTPUT_LENGTH = 32 * 1024 * 1024;
const [NEWLINE, RETURN, SPACE, HASH] = [10, 13, 32, 35];

export interface RewriteOptions {
  /** The playlist's own address, after redirects. */
  readonly base: URL;
  /** `https://worker.test/proxy`: links begin with it. Lines that already do stay as they are. */
  readonly proxyUrl: string;
  readonly policy: TargetPolicy;
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
export async function rewriteAddress(uri: string, options: RewriteOptions): Promise<string> {
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
  /** Everything of a link but the name, where the parent's signature covers the directory. */
  readonly ready: string | null;
}

/** Chunks of the output that wait for the tail of one directory or address. */
interface Pending {
  readonly href: string;
  readonly exact: boolean;
  readonly chunks: number[];
}

class Plan {
  readonly #text: string;
  readonly #options: RewriteOptions;
  readonly #resolve;
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
  readonly #variables = new Variables();
  readonly #hasVariables: boolean;
  /** A master with variables hands them down inside its children's links, which the parent's tail does not hold. */
  readonly #handsDown: boolean;
  #lastQuery = "";
  #lastQueryEncoded = "";

  constructor(text: string, options: RewriteOptions) {
    this.#text = text;
    this.#options = options;
    this.#hasVariables = text.includes("{$");
    this.#handsDown = text.includes("#EXT-X-STREAM-INF") && text.includes("#EXT-X-DEFINE");
    this.#head = `${options.proxyUrl}?${options.parent.tail}&url=`;
    this.#unsignedHead = `${options.proxyUrl}?url=`;
    this.#ownHead = `${options.proxyUrl}?`;
    this.#resolve = createResolver(options.base, (href) => this.#place(href));
  }

  run(): PlaylistError | null {
    const text = this.#text;
    let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
    this.#copied = at;
    for (let number = 1; at < text.length; number++) {
      let next = text.indexOf("\n", at) + 1;
      if (next === 0) next = text.length;
      // Variables stand in attribute values and addresses only; titles and comments stay as they are.
      const isTag = text.charCodeAt(at) === HASH;
      const problem = isTag ? (text.startsWith("#EXT-X-", at) ? this.#tag(at, next) : null) : this.#uri(at, next);
      if (problem !== null) return { ...problem, line: number };
      if (this.#length > MAX_OUTPUT_LENGTH) return { code: "too_large", reason: "the rewritten playlist is too large" };
      at = next;
    }
    this.#copyUpTo(text.length);
    return null;
  }

  async finish(): Promise<Result<string, PlaylistError>> {
    const groups = this.#groups();
    if (groups === null) return err({ code: "too_large", reason: `names more than ${MAX_SIGNATURES} origins` });
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
      for (const chunk of group.chunks) this.#out[chunk] = `${proxyUrl}?${tails[index]}&url=`;
    }
    return ok(this.#out.join("") + this.#written);
  }

  /** One group per signature. Too many directories: those of one origin share the directory that holds them all. */
  #groups(): Pending[] | null {
    const all = [...this.#pending.values()];
    if (all.length <= MAX_SIGNATURES) return all;
    if (all.some(({ exact }) => exact)) return null;
    const byOrigin = new Map<string, Pending>();
    for (const { href, chunks } of all) {
      const origin = href.slice(0, href.indexOf("/", href.indexOf("//") + 2));
      const group = byOrigin.get(origin);
      const merged = { href: commonDirectory(group?.href ?? href, href), exact: false, chunks: group?.chunks ?? [] };
      for (const chunk of chunks) merged.chunks.push(chunk);
      byOrigin.set(origin, merged);
    }
    return byOrigin.size <= MAX_SIGNATURES ? [...byOrigin.values()] : null;
  }

  /** The line in [start, next) names an address, or is blank; answers what is wrong with it. */
  #uri(start: number, next: number): PlaylistError | null {
    const text = this.#text;
    let end = next;
    while (end > start && text.charCodeAt(end - 1) <= SPACE) end--;
    if (end === start) return null;
    let from = start;
    while (text.charCodeAt(from) <= SPACE) from++;
    const expanded = this.#expand(text.slice(from, end));
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
    const expanded = this.#expand(raw);
    if (!expanded.ok) return expanded.error;
    const line = expanded.value;
    const named = line.includes("URI") || line.includes("X-ASSET-LIST");
    if (line === raw && !named) return null;
    this.#copyUpTo(start);
    this.#copied = next;
    const colon = line.indexOf(":") + 1;
    let written = 0;
    for (const { name, value, quoted, start, end } of named && colon > 0 ? parseAttributes(line.slice(colon)) : []) {
      if (!quoted || !namesAddress(name)) continue;
      this.#push(line.slice(written, colon + start));
      this.link(value);
      written = colon + end;
    }
    this.#push(line.slice(written));
    return null;
  }

  /** Writes the link for one address. What may not be fetched gets a link without a signature, which answers 403. */
  link(uri: string): void {
    if (uri.startsWith(this.#ownHead)) return this.#push(escapeQuote(uri));
    const resolved = this.#resolve(uri);
    if (resolved === null) return this.#push(this.#unsignedHead + encodeURIComponent(uri.toWellFormed()));
    if ("other" in resolved) return this.#push(this.#foreign(resolved.other));
    const { directory, rest, plain } = resolved;
    if (directory.ready !== null && plain) return this.#push(directory.ready + this.#encodeRest(rest, plain));
    const tail = directory.encoded + this.#encodeRest(rest, plain);
    if (!directory.allowed) return this.#push(this.#unsignedHead + tail);
    const exact = hasEncodedSeparator(pathOf(rest)) || hasEncodedSeparator(directory.href);
    if (directory.ready !== null && !exact) return this.#push(this.#head + tail);
    const href = exact ? directory.href + rest : directory.href;
    let pending = this.#pending.get(href);
    if (pending === undefined) this.#pending.set(href, pending = { href, exact, chunks: [] });
    this.#out.push(this.#written, "");
    pending.chunks.push(this.#out.length - 1);
    this.#written = "";
    this.#push(tail);
  }

  /** Addresses that are no web addresses: keys that the player's DRM knows and inline data stay, nothing else passes. */
  #foreign(url: URL): string {
    if (["skd:", "data:", "blob:", "urn:"].includes(url.protocol)) return escapeQuote(url.href);
    return this.#unsignedHead + encodeURIComponent(url.href);
  }

  #place(href: string): Place {
    const { policy, parent } = this.#options;
    const encoded = encodeURIComponent(href);
    const allowed = checkTarget(href, policy).ok;
    const inScope = parent.scope !== null && href.startsWith(parent.scope) && !hasEncodedSeparator(href);
    return { href, encoded, allowed, ready: allowed && inScope && !this.#handsDown ? this.#head + encoded : null };
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

  #expand(text: string): Result<string, PlaylistError> {
    return this.#hasVariables ? this.#variables.expand(text) : ok(text);
  }

  /** Copies what has not been copied yet of the text before `end`. */
  #copyUpTo(end: number): void {
    if (end > this.#copied) this.#push(this.#text.slice(this.#copied, end));
    this.#copied = end;
  }

  /** Adding to one string is cheaper than joining tens of thousands at the end. */
  #push(text: string): void {
    this.#written += text;
    this.#length += text.length;
  }
}

/** URI of every tag, and the attributes of interstitials and content steering that hold addresses. */
function namesAddress(name: string): boolean {
  return name === "URI" || name === "SERVER-URI" || name === "X-ASSET-URI" || name === "X-ASSET-LIST";
}

function pathOf(rest: string): string {
  const question = rest.indexOf("?");
  return question === -1 ? rest : rest.slice(0, question);
}

function escapeQuote(text: string): string {
  return text.replaceAll('"', "%22");
}

/** The longest directory that holds both; both of one origin. */
function commonDirectory(a: string, b: string): string {
  let end = 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length && a[i] === b[i]; i++) if (a[i] === "/") end = i + 1;
  return a.slice(0, end);
}
