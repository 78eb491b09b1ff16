/**
 * Reads a playlist into the list of segments to fetch: one variant by resolution, with all its audio and subtitle renditions. Refuses
 * private addresses, live streams, DRM and excessive sizes.
 * Example: `await planHls(url, { wanted: "720p", … })` → { renditions: [{ role: "video", segments: […] }, …] }.
 */
import { KeepstreamError } from "../../core/errors.ts";
import {
  type MediaPlaylist,
  type MultivariantPlaylist,
  parsePlaylist,
  type Rendition,
  type Segment,
  type Variant,
} from "../../core/hls/playlist.ts";
import { redactUrl } from "../../core/redact.ts";
import { checkUrl } from "../../core/url_policy.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";
import { isDataUrl } from "./data_url.ts";
import { isHlsType } from "./sniff.ts";

export const MAX_PLAYLIST_BYTES = 8 * 1024 * 1024;
const MAX_SEGMENTS = 20_000;
const MAX_AUDIO = 16;
const MAX_SUBTITLES = 48;
const BODY_TIMEOUT_MS = 20_000;

export type Role = "video" | "audio" | "subtitles";

export type PlannedRendition = {
  readonly role: Role;
  readonly name: string | null;
  readonly language: string | null;
  readonly isDefault: boolean;
  readonly segments: readonly Segment[];
  readonly durationSeconds: number;
};

export type HlsPlan = { readonly renditions: readonly PlannedRendition[]; readonly durationSeconds: number };

export async function planHls(address: string, options: MediaRequest & { wanted: string | null }): Promise<HlsPlan> {
  const { playlist, url } = await readPlaylist(address, options);
  if (playlist.kind === "media") {
    return toPlan([{ ...plain("video"), playlist: checkMedia(playlist, url, options) }]);
  }
  const variant = chooseVariant(playlist.variants, options.wanted);
  const wanted = [
    { ...plain("video"), url: variant.url },
    ...renditionsOf(playlist, "AUDIO", variant.audio).slice(0, MAX_AUDIO),
    ...renditionsOf(playlist, "SUBTITLES", variant.subtitles).slice(0, MAX_SUBTITLES),
  ];
  return toPlan(
    await Promise.all(wanted.map(async (rendition) => {
      const read = await readPlaylist(rendition.url, options, playlist);
      // Following nested multivariant playlists could loop.
      if (read.playlist.kind === "multivariant") {
        throw new KeepstreamError("unsupported", "a multivariant playlist lists another multivariant playlist");
      }
      return { ...rendition, playlist: checkMedia(read.playlist, read.url, options) };
    })),
  );
}

/** Prefers the exact height, then the next lower, then the next higher; among equals the highest bit rate. Pure. */
export function chooseVariant(variants: readonly Variant[], wanted: string | null): Variant {
  const height = Number(/^(\d{3,4})p?$/i.exec(wanted ?? "")?.[1] ?? Infinity);
  const distance = (variant: Variant) => {
    const own = variant.height ?? 0;
    return own <= height ? height - own : 100_000 + own - height;
  };
  const hasVideo = variants.filter((v) =>
    v.height !== null || v.codecs === null || /avc|hvc|hev|vp|av01|dvh/.test(v.codecs)
  );
  const best =
    [...(hasVideo.length > 0 ? hasVideo : variants)].sort((a, b) =>
      height === Infinity
        ? (b.height ?? 0) - (a.height ?? 0) || b.bandwidth - a.bandwidth
        : distance(a) - distance(b) || b.bandwidth - a.bandwidth
    )[0];
  if (best === undefined) throw new KeepstreamError("unsupported", "the multivariant playlist has no variant");
  return best;
}

type WantedRendition = Omit<PlannedRendition, "segments" | "durationSeconds">;

function plain(role: Role): WantedRendition {
  return { role, name: null, language: null, isDefault: true };
}

/** Renditions without a URL are inside the variant's own segments. */
function renditionsOf(
  master: MultivariantPlaylist,
  type: Rendition["type"],
  group: string | null,
): (WantedRendition & { url: string })[] {
  return master.renditions.flatMap((r) =>
    r.type !== type || r.groupId !== group || r.url === null ? [] : [{
      role: type === "AUDIO" ? "audio" as const : "subtitles" as const,
      name: r.name,
      language: r.language,
      isDefault: r.isDefault,
      url: r.url,
    }]
  );
}

function toPlan(parts: readonly (WantedRendition & { playlist: MediaPlaylist })[]): HlsPlan {
  const renditions = parts.map(({ role, name, language, isDefault, playlist }) => ({
    role,
    name,
    language,
    isDefault,
    segments: playlist.segments,
    durationSeconds: playlist.durationSeconds,
  }));
  return { renditions, durationSeconds: renditions[0]!.durationSeconds };
}

async function readPlaylist(address: string, options: MediaRequest, master?: MultivariantPlaylist) {
  const { response, url } = await openMedia(address, options);
  const text = await readCapped(response, options.signal);
  const parsed = parsePlaylist(text, new URL(url), {
    maxSegments: MAX_SEGMENTS,
    typedAsHls: isHlsType(response.headers.get("content-type")),
    ...(master ? { variables: master.variables } : {}),
  });
  if (parsed.ok) return { playlist: parsed.value, url };
  const { code, reason } = parsed.error;
  if (code === "too_large") throw new KeepstreamError("too_large", `${redactUrl(url)}: ${reason}`);
  throw new KeepstreamError("unsupported", `${redactUrl(url)}: ${reason}`);
}

/** Counts decompressed bytes. */
export async function readCapped(response: Response, signal: AbortSignal): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void reader.cancel().catch(() => {});
  }, BODY_TIMEOUT_MS);
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (late) throw new KeepstreamError("timeout", "the playlist did not arrive in time");
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > MAX_PLAYLIST_BYTES) {
        throw new KeepstreamError("too_large", `a playlist of more than ${MAX_PLAYLIST_BYTES} bytes`);
      }
      text += decoder.decode(value, { stream: true });
    }
  } catch (cause) {
    if (cause instanceof KeepstreamError) throw cause;
    signal.throwIfAborted();
    throw new KeepstreamError("network", "the connection broke inside the playlist", { cause });
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
}

function checkMedia(playlist: MediaPlaylist, url: string, options: MediaRequest): MediaPlaylist {
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
    checkPlaylistUrl(segment.url, options, checked);
    if (segment.key) checkKeyUrl(segment.key.url, options, checked);
    if (segment.map) checkPlaylistUrl(segment.map.url, options, checked);
    if (segment.map?.key) checkKeyUrl(segment.map.key.url, options, checked);
  }
  return playlist;
}

function checkKey(key: Segment["key"]): void {
  if (key === null || (key.method === "AES-128" && key.keyFormat === "identity")) return;
  throw new KeepstreamError("drm", `the playlist is protected with ${key.method.slice(0, 40)}`);
}

/** A `data:` URL contains the key: nothing is fetched. */
function checkKeyUrl(url: string, options: MediaRequest, checked: Set<string>): void {
  if (!isDataUrl(url)) checkPlaylistUrl(url, options, checked);
}

/** Every URL of an untrusted playlist is checked before the first request. */
function checkPlaylistUrl(url: string, options: MediaRequest, checked: Set<string>): void {
  if (checked.has(url)) return;
  checked.add(url);
  const target = checkUrl(url, options.policy);
  if (target.ok) return;
  throw new KeepstreamError("policy_denied", `the playlist names ${redactUrl(url)}: ${target.error.reason}`);
}
