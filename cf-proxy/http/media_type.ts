/**
 * What a source's Content-Type is served as: one media type that browsers only play, show or save, else `text/plain`.
 * `servedType("Video/MP4; codecs=\"avc1,mp4a\"")` → `video/mp4`; `servedType("image/png, text/html")` → `text/plain; charset=utf-8`
 */

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAMETER = `${TOKEN}=(?:${TOKEN}|"(?:[^"\\\\]|\\\\.)*")`;
const MEDIA_TYPE = new RegExp(`[ \\t]*(${TOKEN}/${TOKEN})((?:[ \\t]*;(?:[ \\t]*${PARAMETER})?)*)[ \\t]*(?:,|$)`, "y");
const MAX_LENGTH = 1024;
const TEXT = "text/plain; charset=utf-8";

export const PLAYLIST_TYPE = "application/vnd.apple.mpegurl";
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
/** Containers that are registered, or named by habit, as applications. */
const MEDIA_CONTAINERS: ReadonlySet<string> = new Set([
  "application/mp4",
  "application/ogg",
  "application/x-matroska",
]);
/** Beside audio, video, pictures and playlists. None of them is a page, a style sheet or a script to any browser. */
const DATA_TYPES: ReadonlySet<string> = new Set([
  "application/json",
  "application/pgp-keys", // what Apache calls .key
  "application/x-key",
  "application/x-subrip",
  "text/plain",
  "text/vtt",
  "text/x-ass",
  "text/x-ssa",
]);

/**
 * `video/mp4` of `Video/MP4; codecs=…`; `""` where there is none. `text/plain` for a header that is not one media type: browsers
 * differ in which of several they believe. The same one repeated is one.
 */
export function mediaType(header: string | null): string {
  return parse(header ?? "")?.essence ?? "text/plain";
}

export function isOctetStream(type: string): boolean {
  return OCTET_STREAMS.has(type);
}

export function isPlaylistType(type: string): boolean {
  return PLAYLIST_TYPES.has(type);
}

/** Types that a browser would run as a page or as a page's script: what blocked or rate-limited hosts answer instead of media. */
export function isActive(type: string): boolean {
  return /^(?:text\/html|application\/xhtml\+xml|image\/svg\+xml|(?:text|application)\/xml|multipart\/x-mixed-replace)$/
    .test(type) || /^(?:text|application)\/(?:x-)?(?:java|ecma|j|live)script/.test(type);
}

/** Audio, video, a picture or a playlist. Any `+xml` is a document to browsers, SVG first. */
export function isPlayable(type: string): boolean {
  return isPlaylistType(type) || MEDIA_CONTAINERS.has(type) ||
    (/^(?:audio|video|image)\//.test(type) && !type.endsWith("+xml"));
}

/**
 * The Content-Type to answer with. `fallback` stands in where the source names none, no more than "bytes", or what servers call
 * everything they do not know: browsers refuse media of another origin that is `text/plain`.
 */
export function servedType(header: string | null, fallback: string): string {
  const type = parse(header ?? "");
  if (type === null) return TEXT;
  const { essence, charset, boundary } = type;
  if (essence === "" || isOctetStream(essence)) return fallback;
  if (essence === "text/plain" && isPlayable(fallback)) return fallback;
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

/** Null for what is not one media type. */
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
