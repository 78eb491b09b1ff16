/**
 * Maps a source's Content-Type to one that browsers only play, show or save; every other type becomes `text/plain`.
 * `servedType("Video/MP4; codecs=\"avc1,mp4a\"")` → `video/mp4`; `servedType("image/png, text/html")` → `text/plain; charset=utf-8`
 */

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAMETER = `${TOKEN}=(?:${TOKEN}|"(?:[^"\\\\]|\\\\.)*")`;
const MEDIA_TYPE = new RegExp(`[ \\t]*(${TOKEN}/${TOKEN})((?:[ \\t]*;(?:[ \\t]*${PARAMETER})?)*)[ \\t]*(?:,|$)`, "y");
const MAX_LENGTH = 1024;
const TEXT = "text/plain; charset=utf-8";

export const PLAYLIST_TYPE = "application/vnd.apple.mpegurl";
export const MPD_TYPE = "application/dash+xml";
const PLAYLIST_TYPES: ReadonlySet<string> = new Set([
  PLAYLIST_TYPE,
  "application/x-mpegurl",
  "audio/mpegurl",
  "audio/x-mpegurl",
]);
const OCTET_STREAMS: ReadonlySet<string> = new Set([
  "application/octet-stream",
  "binary/octet-stream",
  "application/force-download",
]);
/** Media containers with an `application/` type. */
const MEDIA_CONTAINERS: ReadonlySet<string> = new Set([
  "application/mp4",
  "application/ogg",
  "application/x-matroska",
]);
/** Allowed in addition to audio, video, pictures and playlists. No browser treats them as a page, style sheet or script. */
const DATA_TYPES: ReadonlySet<string> = new Set([
  "application/json",
  "application/pgp-keys", // Apache's type for .key
  "application/x-key",
  "application/x-subrip",
  "text/plain",
  "text/vtt",
  "text/x-ass",
  "text/x-ssa",
]);

/**
 * `video/mp4` for `Video/MP4; codecs=…`; `""` for a missing header. `text/plain` for a header with several types, because browsers
 * differ in which of them they use; the same type repeated counts as one.
 */
export function mediaType(header: string | null): string {
  return parse(header ?? "")?.essence ?? "text/plain";
}

export function isOctetStream(type: string): boolean {
  return OCTET_STREAMS.has(type);
}

/** HLS or MPEG-DASH. */
export function isPlaylistType(type: string): boolean {
  return PLAYLIST_TYPES.has(type) || type === MPD_TYPE;
}

/** Types that servers send for an MPD, and for web pages. */
export function isXmlType(type: string): boolean {
  return type === "text/xml" || type === "application/xml";
}

/** Types that a browser runs as a page or script: hosts that block or rate-limit send them instead of media. */
export function isActive(type: string): boolean {
  return /^(?:text\/html|application\/xhtml\+xml|image\/svg\+xml|(?:text|application)\/xml|multipart\/x-mixed-replace)$/
    .test(type) || /^(?:text|application)\/(?:x-)?(?:java|ecma|j|live)script/.test(type);
}

/** Audio, video, a picture or an HLS playlist. Browsers treat any `+xml` type, such as SVG, as a document. */
export function isPlayable(type: string): boolean {
  return PLAYLIST_TYPES.has(type) || MEDIA_CONTAINERS.has(type) ||
    (/^(?:audio|video|image)\//.test(type) && !type.endsWith("+xml"));
}

/**
 * The Content-Type of the response. `fallback` replaces a missing type, `application/octet-stream` and, for media and WebVTT, the
 * `text/plain` that servers send for unknown extensions: browsers do not play cross-origin media with that type.
 */
export function servedType(header: string | null, fallback: string): string {
  const type = parse(header ?? "");
  if (type === null) return TEXT;
  const { essence, charset, boundary } = type;
  if (essence === "" || isOctetStream(essence)) return fallback;
  if (essence === "text/plain" && (isPlayable(fallback) || fallback === "text/vtt")) return fallback;
  if (essence === "multipart/byteranges" && boundary !== undefined) return `${essence}; boundary=${boundary}`;
  if (isPlayable(essence)) return essence;
  if (!DATA_TYPES.has(essence)) return TEXT;
  return charset === undefined ? essence : `${essence}; charset=${charset}`;
}

interface ParsedType {
  readonly essence: string;
  readonly charset?: string | undefined;
  readonly boundary?: string | undefined;
}

/** Null for a header that is not one media type. */
function parse(header: string): ParsedType | null {
  if (header.trim() === "") return { essence: "" };
  if (header.length > MAX_LENGTH) return null;
  let first: ParsedType | null = null;
  MEDIA_TYPE.lastIndex = 0;
  while (MEDIA_TYPE.lastIndex < header.length) {
    const match = MEDIA_TYPE.exec(header);
    if (match === null) return null;
    const essence = match[1]!.toLowerCase();
    if (first !== null && first.essence !== essence) return null;
    first ??= { essence, charset: tokenOf("charset", match[2]!), boundary: tokenOf("boundary", match[2]!) };
  }
  return first;
}

function tokenOf(name: string, parameters: string): string | undefined {
  return new RegExp(`;[ \\t]*${name}="?([A-Za-z0-9._-]+)"?[ \\t]*(?:;|$)`, "i").exec(parameters)?.[1];
}
