// What the Worker records while a playlist plays, to recognize it after its URLs have expired: fingerprints of its playlists, and
// validators of a few of its segments.
import { MAX_URL_LENGTH } from "../../core/url_policy.ts";
import type { VerifiedLink } from "../../core/link.ts";
import * as cache from "../cache/two_tier_cache.ts";
import { type Validators, validatorsOf } from "../http/validators.ts";
import { type EpisodeServer, serverKey } from "./api.ts";
import type { OriginRequest } from "./origin_fetch.ts";
import { groupOf, isMultivariant, nameOf, playlistFingerprint } from "./playlist_fingerprint.ts";

const RECORD_SECONDS = 6 * 3600;
/** Variants and renditions may share one directory. */
const MAX_FINGERPRINTS = 16;
/** Enough for the initialization sections of a video and an audio rendition, and a segment or two of each. */
const MAX_SAMPLES = 6;

export const MULTIVARIANT = "multivariant";

/** The playlist that a URL has served. */
export interface RecordedPlaylist {
  /** Of a media playlist; `MULTIVARIANT` for a multivariant playlist. */
  readonly fingerprint: string;
  /** The URL it was read from, after redirects and failover. */
  readonly baseUrl: string;
}

/** A segment that was served. */
export interface SampleSegment {
  readonly name: string;
  readonly validators: Validators;
}

/** Segments are recorded by server, directory and query. */
export function segmentGroup(server: EpisodeServer, url: URL): string {
  return serverKey(server, groupOf(url));
}

export async function recordPlaylist(
  text: string,
  url: URL,
  { link, server, waitUntil }: {
    readonly link: VerifiedLink;
    readonly server: EpisodeServer;
    readonly waitUntil: (work: Promise<unknown>) => void;
  },
): Promise<void> {
  const key = serverKey(server, link.url.href);
  if (cache.getLocal<RecordedPlaylist>("playlist", key)?.baseUrl === url.href) return;
  const fingerprint = isMultivariant(text) ? MULTIVARIANT : await playlistFingerprint(text);
  if (fingerprint === null) return;
  const playlist: RecordedPlaylist = { fingerprint, baseUrl: url.href };
  waitUntil(cache.put("playlist", key, playlist, RECORD_SECONDS));
  if (fingerprint === MULTIVARIANT) return;
  const first = firstUrl(text);
  if (first === null || !URL.canParse(first, url.href)) return;
  const group = segmentGroup(server, new URL(first, url));
  await cache.get("fingerprints", group);
  // Video and audio playlists are recorded concurrently: no await between this read and the write.
  const fingerprints = cache.getLocal<readonly string[]>("fingerprints", group) ?? [];
  if (fingerprints.includes(fingerprint) || fingerprints.length >= MAX_FINGERPRINTS) return;
  waitUntil(cache.put("fingerprints", group, [...fingerprints, fingerprint], RECORD_SECONDS));
}

/** The first URL line; null if it is longer than any URL that is fetched. */
function firstUrl(text: string): string | null {
  const line = /(?:^|\n)([^#\s][^\n]*)/.exec(text)?.[1];
  return line === undefined || line.length > MAX_URL_LENGTH ? null : line.trim();
}

/** Records the validators of a group's first segments. */
export function recordSample(response: Response, { link, invocation }: OriginRequest, server: EpisodeServer): void {
  const group = segmentGroup(server, link.url);
  const samples = cache.getLocal<readonly SampleSegment[]>("samples", group) ?? [];
  const name = nameOf(link.url);
  if (samples.length >= MAX_SAMPLES || samples.some((sample) => sample.name === name)) return;
  const validators = validatorsOf(response);
  if (validators === null) return;
  invocation.context.waitUntil(cache.put("samples", group, [...samples, { name, validators }], RECORD_SECONDS));
}
