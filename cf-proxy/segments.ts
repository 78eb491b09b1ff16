// A segment whose address has died lies at another one below the server's fresh playlist – if that is the same playlist.
// Example: /old-token/seg-7.ts answers 403 → the API names /new-token/m.m3u8 → its list is the one that was served, its seg-3.ts
// is the file that was served → seg-7.ts from there. Anything less than that proves nothing: 410.
// Runs on: workerd. Which lists a directory's segments stood in and what some of them look like is remembered (memo.ts).
import { encodeBase64Url } from "../core/base64url.ts";
import { type MediaPlaylist, parsePlaylist, type Playlist } from "../core/hls.ts";
import { utf8 } from "../core/link.ts";
import { checkTarget } from "../core/target_policy.ts";
import { ANSWER_SECONDS, type Episode, type FileMark, isSameFile, markOf, memoName } from "./expired.ts";
import { sourceRequestHeaders } from "./headers.ts";
import { peek, recall, remember } from "./memo.ts";
import { readText } from "./playlist.ts";
import type { Target } from "./source.ts";
import { fetchUpstream } from "./upstream.ts";

const REMEMBER_SECONDS = 6 * 3600;
/** Variants and renditions may lie in one directory. */
const MAX_LISTS = 16;
/** Enough for a picture, a sound, and the first segments of both. */
const MAX_WITNESSES = 4;
/** Playlists below a fresh master that are read to find the one. */
const MAX_CANDIDATES = 12;

/** Directory of dead addresses → name → address. Kept by the isolate: a long playlist's would be a megabyte in the cache. */
const moves = new Map<string, ReadonlyMap<string, string>>();
const MAX_MOVES = 4;

/** A segment that was served, and what it looked like. */
interface Witness {
  readonly name: string;
  readonly mark: FileMark;
}

/** Keeps which list was served for the segments of a directory. A list that is still growing is never the same again. */
export async function noteList(
  text: string,
  base: URL,
  { episode, waitUntil }: { readonly episode: Episode; readonly waitUntil: (work: Promise<unknown>) => void },
): Promise<void> {
  const noted = memoName(episode, base.href);
  if (peek("noted", noted) !== null || !text.slice(-1000).includes("#EXT-X-ENDLIST")) return;
  const first = /^[^#\s].*/m.exec(text)?.[0].trim();
  if (first === undefined || !URL.canParse(first, base.href)) return;
  const directory = memoName(episode, directoryOf(new URL(first, base)));
  const lists = await recall<readonly string[]>("lists", directory) ?? [];
  const list = await fingerprint(text);
  waitUntil(remember("noted", noted, true, REMEMBER_SECONDS));
  if (lists.includes(list) || lists.length >= MAX_LISTS) return;
  waitUntil(remember("lists", directory, [...lists, list], REMEMBER_SECONDS));
}

/** Keeps what the first segments of a directory look like. */
export function noteWitness(response: Response, { link, invocation }: Target, episode: Episode): void {
  const directory = memoName(episode, directoryOf(link.url));
  const known = peek<readonly Witness[]>("witnesses", directory) ?? [];
  const name = nameOf(link.url);
  if (known.length >= MAX_WITNESSES || known.some((one) => one.name === name)) return;
  const mark = markOf(response);
  if (mark === null) return;
  invocation.context.waitUntil(remember("witnesses", directory, [...known, { name, mark }], REMEMBER_SECONDS));
}

/** Where a segment of a list that has moved lies now, if this isolate knows. */
export function movedSegment({ link, options }: Target, episode: Episode): URL | null {
  const address = moves.get(memoName(episode, directoryOf(link.url)))?.get(nameOf(link.url));
  const url = address === undefined ? null : checkTarget(address, options.policy);
  return url?.ok ? url.value : null;
}

/** Where the segment lies by the server's fresh playlist; null unless it provably is the playlist that was served. */
export async function findMovedSegment(fresh: URL, target: Target, episode: Episode): Promise<URL | null> {
  const { link, invocation } = target;
  const directory = memoName(episode, directoryOf(link.url));
  const attempt = `${directory} ${fresh.href}`;
  // One that was in vain is not made for every segment.
  if (peek("unproven", attempt) !== null) return null;
  const names = await movedNames(fresh, target, directory);
  if (names === null) {
    invocation.context.waitUntil(remember("unproven", attempt, true, ANSWER_SECONDS));
    return null;
  }
  if (moves.size >= MAX_MOVES) moves.delete(moves.keys().next().value!);
  // A picture and its sound may lie in one directory, in lists of their own.
  moves.set(directory, new Map([...moves.get(directory) ?? [], ...names]));
  return movedSegment(target, episode);
}

/**
 * Where every name of the dead link's playlist lies now, when one of the playlists at or below the server's fresh address is
 * provably the one that was served: the same list, and in it, at its new address, a file that was served. Null for anything less.
 */
async function movedNames(
  fresh: URL,
  target: Target,
  directory: string,
): Promise<ReadonlyMap<string, string> | null> {
  const lists = await recall<readonly string[]>("lists", directory);
  const witnesses = await recall<readonly Witness[]>("witnesses", directory);
  if (lists === null || witnesses === null) return null;
  for await (const { text, url } of playlistsAt(fresh, target)) {
    // A source can name long playlists: only the one is parsed.
    if (!lists.includes(await fingerprint(text))) continue;
    const playlist = parsePlaylist(text, url);
    if (!playlist.ok || playlist.value.kind !== "media") continue;
    const names = namesOf(playlist.value);
    if (!names.has(nameOf(target.link.url))) continue;
    for (const { name, mark } of witnesses) {
      const address = names.get(name);
      if (address !== undefined && await looksLike(mark, address, target)) return names;
    }
  }
  return null;
}

/**
 * The address that stands at or below the server's fresh one where a playlist's dead address stood: variants lie below their
 * master as they did. Null when none does, or more than one.
 */
export async function playlistInPlace(fresh: URL, target: Target): Promise<URL | null> {
  const { url, scope } = target.link;
  const place = placeOf(url.href, scope ?? directoryOf(url));
  const top = await readFresh(fresh, target);
  const playlist = top === null ? null : parsePlaylist(top.text, top.url);
  if (!playlist?.ok) return null;
  const below = playlist.value.kind === "master" ? addressesBelow(playlist.value) : [];
  const alike = below.filter((address) => placeOf(address, directoryOf(fresh)) === place);
  if (alike.length === 1) return new URL(alike[0]!);
  return alike.length === 0 && !place.includes("/") ? fresh : null;
}

interface FreshText {
  readonly text: string;
  /** After redirects. */
  readonly url: URL;
}

/** The text at a fresh address, and what a master there names. */
async function* playlistsAt(fresh: URL, target: Target): AsyncGenerator<FreshText> {
  const top = await readFresh(fresh, target);
  if (top === null) return;
  yield top;
  if (!top.text.includes("#EXT-X-STREAM-INF")) return;
  const master = parsePlaylist(top.text, top.url);
  if (!master.ok || master.value.kind !== "master") return;
  for (const address of addressesBelow(master.value).slice(0, MAX_CANDIDATES)) {
    const below = await readFresh(new URL(address), target);
    if (below !== null) yield below;
  }
}

async function readFresh(url: URL, { link, options }: Target): Promise<FreshText | null> {
  const upstream = await fetchFresh(url.href, { link, options, range: null });
  if (upstream === null) return null;
  const text = await readText(upstream.response, options.headerTimeoutMs);
  return text.ok ? { text: text.value, url: upstream.url } : null;
}

/** Whether a file at its new address has the mark of the one that was served. */
async function looksLike(mark: FileMark, address: string, { link, options }: Target): Promise<boolean> {
  const upstream = await fetchFresh(address, { link, options, range: "bytes=0-0" });
  if (upstream === null) return false;
  await upstream.response.body?.cancel();
  const now = markOf(upstream.response);
  return now !== null && isSameFile(mark, now);
}

async function fetchFresh(
  address: string,
  { link, options, range }: Pick<Target, "link" | "options"> & { readonly range: string | null },
) {
  const url = checkTarget(address, options.policy);
  if (!url.ok) return null;
  const headers = sourceRequestHeaders({ client: new Headers(), context: link.context.headers, whole: true });
  if (range !== null) headers.range = range;
  const upstream = await fetchUpstream({ url: url.value, method: "GET", headers }, options);
  if (!upstream.ok) return null;
  if (upstream.value.response.status < 300) return upstream.value;
  await upstream.value.response.body?.cancel();
  return null;
}

/** What stays of a playlist when its addresses move: everything but directories and queries. */
async function fingerprint(text: string): Promise<string> {
  const moved = text.replace(/\r/g, "").replace(/\?[^\s"]*/g, "").replace(/^[^#\n][^\n]*\//gm, "")
    .replace(/URI="[^"\n]*\//g, 'URI="');
  return encodeBase64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(moved))));
}

/** Name → address of every segment, initialisation section and key; a name that stands for two addresses is left out. */
function namesOf({ segments }: MediaPlaylist): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const ambiguous = new Set<string>();
  for (const { url, key, map } of segments) {
    for (const address of [url, key?.url, map?.url]) {
      if (address === undefined) continue;
      const name = nameOf(new URL(address));
      if ((names.get(name) ?? address) !== address) ambiguous.add(name);
      names.set(name, address);
    }
  }
  for (const name of ambiguous) names.delete(name);
  return names;
}

function addressesBelow(master: Extract<Playlist, { readonly kind: "master" }>): readonly string[] {
  return [...new Set([...master.variants, ...master.renditions].flatMap(({ url }) => url ?? []))];
}

/** `720/m.m3u8` of an address below `directory`, else its name alone. */
function placeOf(href: string, directory: string): string {
  const path = href.split("?", 1)[0]!;
  return path.startsWith(directory) ? path.slice(directory.length) : path.slice(path.lastIndexOf("/") + 1);
}

function directoryOf(url: URL): string {
  return url.origin + url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1);
}

function nameOf(url: URL): string {
  return url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
}
