// The fingerprint of a media playlist, which stays the same after its URLs have changed, and the files that the playlist lists.
// Example: /old-token/m.m3u8 and /new-token/m.m3u8 have the same fingerprint if they list the same names with the same durations.
import { encodeBase64Url } from "../../core/base64url.ts";
import type { MediaPlaylist } from "../../core/hls/playlist.ts";
import { utf8 } from "../../core/signing_keys.ts";

/** Names and tags are compared at the start only: each requested name is looked up in the fresh playlist anyway. */
const [HEAD_LENGTH, HEAD_LINES] = [32 * 1024, 64];

/** Longer playlists are not parsed to find a segment. */
const MAX_DURATIONS = 20_000;

/**
 * Covers the parts that do not depend on URLs: the durations of all segments, the positions of discontinuities, and the first lines
 * without directories and queries. Null for a playlist without ENDLIST, which changes on each reload, and for one that is too long.
 * Variants of one video may have the same fingerprint; their segments' validators distinguish them.
 */
export async function playlistFingerprint(text: string): Promise<string | null> {
  if (!text.slice(-1000).includes("#EXT-X-ENDLIST")) return null;
  const durations: string[] = [];
  for (const [one] of text.matchAll(/#EXTINF:[^,\r\n]*|#EXT-X-DISCONTINUITY/g)) {
    if (durations.push(one) > MAX_DURATIONS) return null;
  }
  const head = text.slice(0, HEAD_LENGTH).replace(/\r/g, "").replace(/\?[^\s"]*/g, "")
    .replace(/(^|\n)[^#\n][^\n]*\//g, "$1").replace(/URI="[^"\n]*\//g, 'URI="')
    .split("\n", HEAD_LINES);
  const digest = await crypto.subtle.digest("SHA-256", utf8([...durations, ...head].join("\n")));
  return encodeBase64Url(new Uint8Array(digest));
}

export function isMultivariant(text: string): boolean {
  return text.includes("#EXT-X-STREAM-INF");
}

export interface ListedFiles {
  /** Name → URL of every segment, initialization section and key. */
  readonly all: ReadonlyMap<string, string>;
  /** The names of segments. Several playlists may share an initialization section or a key. */
  readonly segments: ReadonlySet<string>;
}

/** A name with two URLs is left out. */
export function listedFiles({ segments }: MediaPlaylist): ListedFiles {
  const all = new Map<string, string>();
  const names = new Set<string>();
  const ambiguous = new Set<string>();
  for (const { url, key, map } of segments) {
    names.add(nameOf(new URL(url)));
    for (const fileUrl of [url, key?.url, map?.url]) {
      if (fileUrl === undefined) continue;
      const name = nameOf(new URL(fileUrl));
      if ((all.get(name) ?? fileUrl) !== fileUrl) ambiguous.add(name);
      all.set(name, fileUrl);
    }
  }
  for (const name of ambiguous) all.delete(name);
  return { all, segments: names };
}

export function directoryOf(url: URL): string {
  return url.origin + url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1);
}

export function nameOf(url: URL): string {
  return url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
}

/** A URL without its file name. Variants may differ by their query only, so it is part of the group. */
export function groupOf(url: URL): string {
  return directoryOf(url) + url.search;
}
