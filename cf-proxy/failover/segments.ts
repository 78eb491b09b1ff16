// Finds a segment under a new URL after its own has expired: in the server's fresh playlist, if that is the playlist that was served.
// Example: /old-token/seg-7.ts gets 403 → the API names /new-token/m.m3u8 → its fingerprint is the recorded one, and its seg-3.ts has
// the validators of the seg-3.ts that was served → seg-7.ts is read from there. With any less evidence, the response is 410.
import { parsePlaylist } from "../../core/hls/playlist.ts";
import { LruCache } from "../../core/lru_cache.ts";
import { checkUrl } from "../../core/url_policy.ts";
import * as cache from "../cache/two_tier_cache.ts";
import { sameRepresentation, type Validators, validatorsOf } from "../http/validators.ts";
import { type EpisodeServer, FRESH_URL_SECONDS } from "./api.ts";
import { fetchFresh, freshPlaylists } from "./fresh_playlists.ts";
import type { OriginRequest } from "./origin_fetch.ts";
import { type ListedFiles, listedFiles, nameOf, playlistFingerprint } from "./playlist_fingerprint.ts";
import { type SampleSegment, segmentGroup } from "./recorded.ts";

/** Where the segments of a group are now. */
interface Relocation {
  /** The server's fresh URL, at or below which the segments were found. */
  readonly freshUrl: string;
  /** Segment name → URL. */
  readonly urls: ReadonlyMap<string, string>;
  /** All playlists were read: a name that is not in `urls` is in none of them. */
  readonly isComplete: boolean;
  /** Milliseconds; the fresh playlists are not read again before. */
  readonly searchAgainAt: number;
}

/** By segment group. In the isolate only: a long playlist's URLs would be a megabyte in the shared cache. */
const relocations = new LruCache<Relocation>({ maxWeight: 8 * 1024 * 1024 });

/** The segment's new URL, if this isolate has found it already. */
export function relocatedSegment({ link, options }: OriginRequest, server: EpisodeServer): URL | null {
  const found = relocations.get(segmentGroup(server, link.url))?.urls.get(nameOf(link.url));
  const url = found === undefined ? null : checkUrl(found, options.policy);
  return url?.ok ? url.value : null;
}

/** The segment's URL in the server's fresh playlist; null unless that is verified to be the playlist that was served. */
export async function findRelocatedSegment(
  fresh: URL,
  origin: OriginRequest,
  server: EpisodeServer,
): Promise<URL | null> {
  const group = segmentGroup(server, origin.link.url);
  const name = nameOf(origin.link.url);
  const known = relocations.get(group);
  const current = known?.freshUrl === fresh.href ? known : undefined;
  const isSearched = current !== undefined && (current.isComplete || current.urls.has(name));
  if (isSearched && Date.now() < current.searchAgainAt) return relocatedSegment(origin, server);
  const found = await verifiedSegmentUrls(fresh, origin, group);
  // Video and audio may share a directory and have a playlist each: a search adds to what earlier ones found.
  const urls = found.size === 0 ? known?.urls ?? found : new Map([...current?.urls ?? [], ...found]);
  const relocation: Relocation = {
    freshUrl: fresh.href,
    urls,
    isComplete: !found.has(name),
    searchAgainAt: Date.now() + 1000 * FRESH_URL_SECONDS,
  };
  relocations.set(group, relocation, weightOf(group, urls));
  return relocatedSegment(origin, server);
}

function weightOf(group: string, urls: ReadonlyMap<string, string>): number {
  let weight = group.length;
  for (const [name, url] of urls) weight += name.length + url.length;
  return weight;
}

/**
 * Name → URL of the segments in those fresh playlists that are verified to be the group's: the same fingerprint, and the sample
 * segments have their recorded validators at the new URLs. Stops at the playlist that has the requested segment.
 */
async function verifiedSegmentUrls(
  fresh: URL,
  origin: OriginRequest,
  group: string,
): Promise<ReadonlyMap<string, string>> {
  const verified = new Map<string, string>();
  const fingerprints = await cache.get<readonly string[]>("fingerprints", group);
  const samples = await cache.get<readonly SampleSegment[]>("samples", group);
  if (fingerprints === null || samples === null) return verified;
  for await (const { text, url } of freshPlaylists(fresh, origin)) {
    // The fingerprint first: a source can list many long playlists, and only the matching one is parsed.
    const fingerprint = await playlistFingerprint(text);
    if (fingerprint === null || !fingerprints.includes(fingerprint)) continue;
    const playlist = parsePlaylist(text, url);
    if (!playlist.ok || playlist.value.kind !== "media") continue;
    const files = listedFiles(playlist.value);
    if (!await matchesSamples(files, samples, origin)) continue;
    for (const [name, fileUrl] of files.all) verified.set(name, fileUrl);
    if (files.all.has(nameOf(origin.link.url))) break;
  }
  return verified;
}

/** Whether at least one sample is a segment of the playlist, and every one that is has its recorded validators there. */
async function matchesSamples(
  files: ListedFiles,
  samples: readonly SampleSegment[],
  origin: OriginRequest,
): Promise<boolean> {
  let matched = 0;
  for (const { name, validators } of samples) {
    const url = files.segments.has(name) ? files.all.get(name) : undefined;
    if (url === undefined) continue;
    if (!await hasValidators(url, validators, origin)) return false;
    matched++;
  }
  return matched > 0;
}

async function hasValidators(url: string, recorded: Validators, origin: OriginRequest): Promise<boolean> {
  const upstream = await fetchFresh(url, origin, "bytes=0-0");
  if (upstream === null) return false;
  await upstream.response.body?.cancel();
  const validators = validatorsOf(upstream.response);
  return validators !== null && sameRepresentation(recorded, validators);
}
