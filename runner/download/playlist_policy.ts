/** Which media playlists are archived: complete, clear or AES-128, and every URL of them allowed. Checked before the first segment. Pure. */
import { KeepstreamError } from "../../core/errors.ts";
import type { MediaPlaylist, Segment } from "../../core/hls/playlist.ts";
import { redactUrl } from "../../core/redact.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import { isDataUrl } from "./data_url.ts";

/** Throws if the playlist cannot be archived; `url` is its own. */
export function checkMediaPlaylist(playlist: MediaPlaylist, url: string, policy: UrlPolicy): MediaPlaylist {
  if (playlist.segments.length === 0) throw new KeepstreamError("unsupported", `${redactUrl(url)} has no segment`);
  if (!playlist.endList) {
    throw new KeepstreamError("unsupported", `${redactUrl(url)} is live: it has no #EXT-X-ENDLIST`);
  }
  if (playlist.iFramesOnly) throw new KeepstreamError("unsupported", `${redactUrl(url)} has only key frames`);
  const gap = playlist.segments.findIndex((segment) => segment.gap);
  if (gap !== -1) throw new KeepstreamError("source_expired", `segment ${gap + 1} is marked as missing (EXT-X-GAP)`);
  const checked = new Set<string>();
  for (const segment of playlist.segments) {
    checkKey(segment.key);
    checkKey(segment.map?.key ?? null);
    checkPlaylistUrl(segment.url, policy, checked);
    if (segment.key) checkKeyUrl(segment.key.url, policy, checked);
    if (segment.map) checkPlaylistUrl(segment.map.url, policy, checked);
    if (segment.map?.key) checkKeyUrl(segment.map.key.url, policy, checked);
  }
  return playlist;
}

function checkKey(key: Segment["key"]): void {
  if (key === null || (key.method === "AES-128" && key.keyFormat === "identity")) return;
  throw new KeepstreamError("drm", `the playlist is protected with ${key.method.slice(0, 40)}`);
}

/** A `data:` URL contains the key: nothing is fetched. */
function checkKeyUrl(url: string, policy: UrlPolicy, checked: Set<string>): void {
  if (!isDataUrl(url)) checkPlaylistUrl(url, policy, checked);
}

/** Every URL of an untrusted playlist is checked before the first request. */
function checkPlaylistUrl(url: string, policy: UrlPolicy, checked: Set<string>): void {
  if (checked.has(url)) return;
  checked.add(url);
  const target = checkUrl(url, policy);
  if (target.ok) return;
  throw new KeepstreamError("policy_denied", `the playlist names ${redactUrl(url)}: ${target.error.reason}`);
}
