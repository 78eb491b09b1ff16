/** The format of a file by its first bytes, whatever its name and type. Pure. Example: `sniff(bytesOf("<!doctype html>"))` → "html". */
import { looksLikeMpd } from "../../core/dash/levels.ts";

export type Sniffed = "hls" | "dash" | "mp4" | "matroska" | "ts" | "html" | "unknown";

/** An XML declaration, a comment of the packager's and the root element. */
const MPD_BYTES = 2048;
const MP4_BOXES = new Set(["ftyp", "moov", "mdat", "moof", "styp", "free", "skip", "wide", "sidx"]);

/** `contentType` decides only for a playlist without #EXTM3U. */
export function sniff(bytes: Uint8Array, contentType: string | null = null): Sniffed {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 4096)).replace(/^\xEF\xBB\xBF/, "");
  const start = text.trimStart();
  if (start.startsWith("#EXTM3U")) return "hls";
  if (looksLikeMpd(new TextDecoder().decode(bytes.subarray(0, MPD_BYTES)))) return "dash";
  if (MP4_BOXES.has(text.slice(4, 8))) return "mp4";
  if (text.startsWith("\x1A\x45\xDF\xA3")) return "matroska";
  if (isTransportStream(bytes)) return "ts";
  if (/^<(?:!doctype|html|head|body|script|\?xml|!--)/i.test(start)) return "html";
  return start.startsWith("#EXT") && isHlsType(contentType) ? "hls" : "unknown";
}

export function isHlsType(contentType: string | null): boolean {
  return /^(?:application|audio)\/(?:vnd\.apple\.mpegurl|x-mpegurl|mpegurl)(?:$|[\s;])/i.test(contentType ?? "");
}

/** Checks several packets: a single sync byte may be a coincidence. */
export function isTransportStream(bytes: Uint8Array, at = 0): boolean {
  return bytes[at] === 0x47 && (bytes[at + 188] === 0x47) && (at + 376 >= bytes.length || bytes[at + 376] === 0x47);
}
