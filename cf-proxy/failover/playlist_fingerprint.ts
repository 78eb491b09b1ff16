// By what a playlist is known again when its addresses have moved, and where each of its files lies then.
// Example: /old-token/m.m3u8 and /new-token/m.m3u8 have one mark when they list the same names with the same durations.
// Runs on: workerd.
import { encodeBase64Url } from "../../core/base64url.ts";
import type { MediaPlaylist } from "../../core/hls/playlist.ts";
import { utf8 } from "../../core/link.ts";

/** Names and tags are compared in the head alone: each name that is asked for is looked up in the fresh list anyway. */
const [HEAD_LENGTH, HEAD_LINES] = [32 * 1024, 64];

/** No longer list is parsed to find a segment in it. */
const MAX_DURATIONS = 20_000;

/**
 * What stays of a playlist when its addresses move: the durations of all segments in their order, where it is discontinuous, and
 * the head without directories and queries. Null while it still grows, for it is never the same again, and for a list too long to
 * be looked through. The rungs of one video may share a mark; which of them a list is, only its files can tell.
 */
export async function listMark(text: string): Promise<string | null> {
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

export function isMaster(text: string): boolean {
  return text.includes("#EXT-X-STREAM-INF");
}

export interface ListedFiles {
  /** Name → address of every segment, initialisation section and key. */
  readonly all: ReadonlyMap<string, string>;
  /** The names of segments. An initialisation section or a key may be that of many lists. */
  readonly segments: ReadonlySet<string>;
}

/** A name that stands for two addresses is left out. */
export function listedFiles({ segments }: MediaPlaylist): ListedFiles {
  const all = new Map<string, string>();
  const own = new Set<string>();
  const ambiguous = new Set<string>();
  for (const { url, key, map } of segments) {
    own.add(nameOf(new URL(url)));
    for (const address of [url, key?.url, map?.url]) {
      if (address === undefined) continue;
      const name = nameOf(new URL(address));
      if ((all.get(name) ?? address) !== address) ambiguous.add(name);
      all.set(name, address);
    }
  }
  for (const name of ambiguous) all.delete(name);
  return { all, segments: own };
}

export function directoryOf(url: URL): string {
  return url.origin + url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1);
}

export function nameOf(url: URL): string {
  return url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
}

/** An address without its file's name. Rungs may differ by nothing but their query: its files are other files. */
export function groupOf(url: URL): string {
  return directoryOf(url) + url.search;
}
