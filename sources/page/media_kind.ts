// The kind of media, by the extension of a URL's path or by a content type.
// Example: mediaKind("https://a.test/v/master.m3u8?t=1") → "hls". Runs on: Deno, edge runtime.

export const MEDIA_KINDS = ["mp4", "hls", "dash", "mkv", "webm", "mega"] as const;
export type MediaKind = typeof MEDIA_KINDS[number];

const BY_EXTENSION: Readonly<Record<string, MediaKind>> = {
  mp4: "mp4",
  m4v: "mp4",
  mov: "mp4",
  mkv: "mkv",
  webm: "webm",
  m3u8: "hls",
  mpd: "dash",
};

const BY_TYPE: Readonly<Record<string, MediaKind>> = {
  "video/mp4": "mp4",
  "video/x-m4v": "mp4",
  "video/quicktime": "mp4",
  "video/x-matroska": "mkv",
  "video/webm": "webm",
  "application/vnd.apple.mpegurl": "hls",
  "application/x-mpegurl": "hls",
  "audio/mpegurl": "hls",
  "audio/x-mpegurl": "hls",
  "application/dash+xml": "dash",
};

/** Kind by the extension of the path, or null. */
export function mediaKind(url: string): MediaKind | null {
  if (!URL.canParse(url)) return null;
  const extension = /\.([a-z0-9]{2,5})$/i.exec(new URL(url).pathname)?.[1];
  return BY_EXTENSION[extension?.toLowerCase() ?? ""] ?? null;
}

/** Kind by content type, or null. */
export function mediaKindOfType(contentType: string | null): MediaKind | null {
  return BY_TYPE[contentType?.split(";")[0]?.trim().toLowerCase() ?? ""] ?? null;
}
