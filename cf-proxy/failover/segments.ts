// A segment whose address has died lies at another one below the server's fresh playlist – if that is the same playlist.
// Example: /old-token/seg-7.ts answers 403 → the API names /new-token/m.m3u8 → its list is the one that was served, its seg-3.ts
// is the file that was served → seg-7.ts from there. Anything less than that proves nothing: 410.
// Runs on: workerd. Which lists a directory's segments stood in and what some of them look like is remembered (memo.ts).
import { parsePlaylist, type Playlist } from "../../core/hls/playlist.ts";
import { directoryCount, MAX_SCOPE_DIRECTORIES, type VerifiedLink } from "../../core/link.ts";
import { checkUrl, MAX_URL_LENGTH } from "../../core/url_policy.ts";
import { type Episode, type FileMark, isSameFile, markOf, memoName, RESPONSE_SECONDS } from "./api.ts";
import { sourceRequestHeaders } from "../http/headers.ts";
import {
  directoryOf,
  groupOf,
  isMaster,
  type ListedFiles,
  listedFiles,
  listMark,
  nameOf,
} from "./playlist_fingerprint.ts";
import * as cache from "../cache/two_tier_cache.ts";
import { readText } from "../playlist/playlist.ts";
import type { Target } from "./origin_fetch.ts";
import { fetchUpstream } from "../http/upstream.ts";

const REMEMBER_SECONDS = 6 * 3600;
/** Variants and renditions may lie in one directory. */
const MAX_LISTS = 16;
/** Enough for a picture, a sound, their initialisation sections, and a segment or two of both. */
const MAX_WITNESSES = 6;
/** Playlists below a fresh master that are read to find the one. */
const MAX_CANDIDATES = 12;

/** What a playlist's address has given: a list of segments, known by its mark, or a master. */
interface Noted {
  readonly list: string;
  /** Where it came from, after redirects and moves. */
  readonly base: string;
}
const MASTER = "master";

/** A segment that was served, and what it looked like. */
interface Witness {
  readonly name: string;
  readonly mark: FileMark;
}

interface Move {
  /** The server's fresh address, below which the names were found. */
  readonly fresh: string;
  /** Name → address. */
  readonly names: ReadonlyMap<string, string>;
}

/** Group of dead addresses → where they are now. Kept by the isolate: a long playlist's would be a megabyte in the cache. */
const moves = new Map<string, Move>();
const MAX_MOVES = 4;

/** What came of reading the fresh playlists for a group: the name was found, all were read, or none proved to be the one. */
type Searched = "found" | "all" | "none";

/** Keeps what a playlist's address has given, and which lists were served for the segments of a group. */
export async function noteList(
  text: string,
  base: URL,
  { link, episode, waitUntil }: {
    readonly link: VerifiedLink;
    readonly episode: Episode;
    readonly waitUntil: (work: Promise<unknown>) => void;
  },
): Promise<void> {
  const name = memoName(episode, link.url.href);
  if (cache.getLocal<Noted>("noted", name)?.base === base.href) return;
  const list = isMaster(text) ? MASTER : await listMark(text);
  if (list === null) return;
  const noted: Noted = { list, base: base.href };
  waitUntil(cache.put("noted", name, noted, REMEMBER_SECONDS));
  if (list === MASTER) return;
  const first = firstUrl(text);
  if (first === null || !URL.canParse(first, base.href)) return;
  const group = memoName(episode, groupOf(new URL(first, base)));
  await cache.get("lists", group);
  // Picture and sound are noted at the same time: nothing may come between reading and writing.
  const lists = cache.getLocal<readonly string[]>("lists", group) ?? [];
  if (lists.includes(list) || lists.length >= MAX_LISTS) return;
  waitUntil(cache.put("lists", group, [...lists, list], REMEMBER_SECONDS));
}

/** The first line that names one; null where that is longer than any that is fetched. */
function firstUrl(text: string): string | null {
  const line = /(?:^|\n)([^#\s][^\n]*)/.exec(text)?.[1];
  return line === undefined || line.length > MAX_URL_LENGTH ? null : line.trim();
}

/** Keeps what the first files of a group look like. */
export function noteWitness(response: Response, { link, invocation }: Target, episode: Episode): void {
  const group = memoName(episode, groupOf(link.url));
  const known = cache.getLocal<readonly Witness[]>("witnesses", group) ?? [];
  const name = nameOf(link.url);
  if (known.length >= MAX_WITNESSES || known.some((one) => one.name === name)) return;
  const mark = markOf(response);
  if (mark === null) return;
  invocation.context.waitUntil(cache.put("witnesses", group, [...known, { name, mark }], REMEMBER_SECONDS));
}

/** Where a segment of a list that has moved lies now, if this isolate knows. */
export function movedSegment({ link, options }: Target, episode: Episode): URL | null {
  const address = moves.get(memoName(episode, groupOf(link.url)))?.names.get(nameOf(link.url));
  const url = address === undefined ? null : checkUrl(address, options.policy);
  return url?.ok ? url.value : null;
}

/** Where the segment lies by the server's fresh playlist; null unless it provably is the playlist that was served. */
export async function findMovedSegment(fresh: URL, target: Target, episode: Episode): Promise<URL | null> {
  const { link, invocation } = target;
  const group = memoName(episode, groupOf(link.url));
  const attempt = `${group} ${fresh.href}`;
  const move = moves.get(group);
  const known = move?.fresh === fresh.href ? move.names : new Map<string, string>();
  // The fresh playlists are not read again for every segment: neither for one that is missing there, too, nor for a name in none.
  const searched = cache.getLocal<Searched>("searched", attempt);
  const isKnown = known.has(nameOf(link.url));
  if (searched === "none" || (searched === "all" && known.size > 0) || (searched === "found" && isKnown)) {
    return movedSegment(target, episode);
  }
  const names = await provenNames(fresh, target, group);
  const came: Searched = names.has(nameOf(link.url)) ? "found" : names.size > 0 ? "all" : "none";
  invocation.context.waitUntil(cache.put("searched", attempt, came, RESPONSE_SECONDS));
  if (names.size === 0) return null;
  moves.delete(group);
  if (moves.size >= MAX_MOVES) moves.delete(moves.keys().next().value!);
  // A picture and its sound may lie in one directory, in lists of their own.
  moves.set(group, { fresh: fresh.href, names: new Map([...known, ...names]) });
  return movedSegment(target, episode);
}

/**
 * Where the names of the group's playlists lie now, by those at or below the server's fresh address that are provably the ones
 * that were served: the same list, and in it, at their new addresses, the segments that were served. Up to the one that has the link's name.
 */
async function provenNames(fresh: URL, target: Target, group: string): Promise<ReadonlyMap<string, string>> {
  const proven = new Map<string, string>();
  const lists = await cache.get<readonly string[]>("lists", group);
  const witnesses = await cache.get<readonly Witness[]>("witnesses", group);
  if (lists === null || witnesses === null) return proven;
  for await (const { text, url } of playlistsAt(fresh, target)) {
    // A source can name long playlists: only the one is parsed.
    const list = await listMark(text);
    if (list === null || !lists.includes(list)) continue;
    const playlist = parsePlaylist(text, url);
    if (!playlist.ok || playlist.value.kind !== "media") continue;
    const files = listedFiles(playlist.value);
    if (!await isProven(files, witnesses, target)) continue;
    for (const [name, address] of files.all) proven.set(name, address);
    if (files.all.has(nameOf(target.link.url))) break;
  }
  return proven;
}

/** Whether the segments that were served are in the list, and look there as they did. */
async function isProven(files: ListedFiles, witnesses: readonly Witness[], target: Target): Promise<boolean> {
  let seen = 0;
  for (const { name, mark } of witnesses) {
    const address = files.segments.has(name) ? files.all.get(name) : undefined;
    if (address === undefined) continue;
    if (!await looksLike(mark, address, target)) return false;
    seen++;
  }
  return seen > 0;
}

/**
 * The address that stands at or below the server's fresh one where a playlist's dead address stood: variants lie below their
 * master as they did. Null when none does, or more than one; and a master is nobody's variant.
 */
export async function playlistInPlace(fresh: URL, target: Target, episode: Episode): Promise<URL | null> {
  const { url, scope } = target.link;
  const noted = await cache.get<Noted>("noted", memoName(episode, url.href));
  if (noted?.list === MASTER) return fresh;
  const top = await readFresh(fresh, target);
  const playlist = top === null ? null : parsePlaylist(top.text, top.url);
  if (top === null || !playlist?.ok) return null;
  const below = playlist.value.kind === "master" ? addressesBelow(playlist.value) : [];
  const place = placeOf(url.href, scope ?? directoryOf(url));
  // A scope has so many directories at most: below it, the master's own cannot be told from the variant's.
  const isCut = scope !== null && directoryCount(new URL(scope)) === MAX_SCOPE_DIRECTORIES;
  const isPlace = (one: string) => one === place || (isCut && place.endsWith(`/${one}`));
  const alike = below.filter((address) => isPlace(placeOf(address, directoryOf(fresh))));
  if (alike.length > 0) return alike.length === 1 ? new URL(alike[0]!) : null;
  if (noted !== null && playlist.value.kind === "master") return null;
  if (isPlace(nameOf(fresh))) return fresh;
  return noted !== null && noted.list === await listMark(top.text) ? fresh : null;
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
  if (!isMaster(top.text)) return;
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
  const url = checkUrl(address, options.policy);
  if (!url.ok) return null;
  const headers = sourceRequestHeaders({ client: new Headers(), context: link.context.headers, whole: true });
  if (range !== null) headers.range = range;
  const upstream = await fetchUpstream({ url: url.value, method: "GET", headers }, options);
  if (!upstream.ok) return null;
  if (upstream.value.response.status < 300) return upstream.value;
  await upstream.value.response.body?.cancel();
  return null;
}

function addressesBelow(master: Extract<Playlist, { readonly kind: "master" }>): readonly string[] {
  return [...new Set([...master.variants, ...master.renditions].flatMap(({ url }) => url ?? []))];
}

/** `720/m.m3u8` of an address below `directory`, else its name alone. */
function placeOf(href: string, directory: string): string {
  const path = href.split("?", 1)[0]!;
  return path.startsWith(directory) ? path.slice(directory.length) : path.slice(path.lastIndexOf("/") + 1);
}
