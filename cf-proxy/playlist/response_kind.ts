// Decides whether a response is a playlist or an MPD, which has to be rewritten, or media, which is streamed unchanged.
import { parseContentRange } from "../../core/http/range.ts";
import { extension } from "../http/headers.ts";
import { isOctetStream, isPlaylistType, isXmlType, mediaType } from "../http/media_type.ts";
import type { Upstream } from "../http/upstream.ts";

/** Asset lists and steering manifests are small; larger JSON is not parsed. */
export const MAX_JSON_BYTES = 256 * 1024;

/** Files with these extensions are not sniffed for a playlist. */
export const MEDIA_EXTENSIONS: ReadonlySet<string> = new Set(
  "mp4 m4s m4v m4a ts aac mp3 mkv webm vtt srt ass key jpg jpeg png webp cmfv cmfa".split(" "),
);

/** Whether the URL alone names a playlist or an MPD: it is then requested without Range and conditions. */
export function isPlaylistUrl(url: URL): boolean {
  return ["m3u8", "m3u"].includes(extension(url)) || isMpdUrl(url);
}

export function isMpdUrl(url: URL): boolean {
  return extension(url) === "mpd";
}

/** `playlist`: serve it rewritten or not at all. `maybe`: its first bytes decide. `json`: may contain URLs. */
export type ResponseKind = "playlist" | "maybe" | "json" | "other";

export function kindOf({ response, url }: Upstream, request: Request, signed: URL): ResponseKind {
  if (response.status !== 200 && response.status !== 206) return "other";
  const type = mediaType(response.headers.get("content-type"));
  if (isPlaylistType(type) || isPlaylistUrl(signed)) return "playlist";
  const range = request.headers.get("range");
  if (!isWhole(response) || (range !== null && range !== "bytes=0-")) return "other";
  if (isPlaylistUrl(url) || /m3u8/i.test(signed.search)) return "maybe";
  if (type === "application/json") return isSmall(response) ? "json" : "other";
  const isUnspecific = type === "" || isOctetStream(type) || type === "text/plain" || isXmlType(type);
  return isUnspecific && !MEDIA_EXTENSIONS.has(extension(signed)) ? "maybe" : "other";
}

function isSmall(response: Response): boolean {
  return Number(response.headers.get("content-length") ?? 0) <= MAX_JSON_BYTES;
}

/** A 200, or a 206 whose range is the whole representation. */
function isWhole(response: Response): boolean {
  if (response.status === 200) return true;
  const range = parseContentRange(response.headers.get("content-range"));
  return range !== null && range.span !== null && range.span.start === 0 && range.size === range.span.end + 1;
}
