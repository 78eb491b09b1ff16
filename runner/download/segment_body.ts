/**
 * From the bytes a host sent to the bytes of a segment: decrypt, take off the image that some hosts put in front, and refuse what is
 * not whole. Example: `await readSegmentBody(bytes, { key, iv, durationSeconds: 4 })` → { container: "ts", bytes }. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { isTransportStream } from "./sniff.ts";
import { tsSpanSeconds } from "./ts_span.ts";

/** Where to look for the first TS packet behind a disguise; the images in use are a few hundred bytes. */
const MAX_DISGUISE_BYTES = 64 * 1024;
/** A segment may hold less than its EXTINF (the last one, audio priming); half of it is no rounding. */
const MIN_SPAN_RATIO = 0.55;
const MIN_CHECKED_SECONDS = 1;

export type SegmentContainer = "ts" | "fmp4" | "vtt" | "audio";
export type SegmentBody = { readonly container: SegmentContainer; readonly bytes: Uint8Array<ArrayBuffer> };

export async function readSegmentBody(
  received: Uint8Array<ArrayBuffer>,
  options: { key: CryptoKey | null; iv: Uint8Array<ArrayBuffer>; durationSeconds: number },
): Promise<SegmentBody> {
  if (received.length === 0) throw damaged("is empty");
  const clear = options.key === null ? received : await decrypt(received, options.key, options.iv);
  const body = classify(clear);
  if (body.container === "ts") checkTransportStream(body.bytes, options.durationSeconds);
  if (body.container === "fmp4") checkBoxes(body.bytes);
  return body;
}

/** A fault of this one transfer: worth another try. */
export class DamagedSegment extends KeepstreamError {
  constructor(message: string) {
    super("network", message, { retryable: true });
  }
}

function damaged(reason: string): DamagedSegment {
  return new DamagedSegment(`the segment ${reason}`);
}

async function decrypt(
  bytes: Uint8Array<ArrayBuffer>,
  key: CryptoKey,
  iv: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes.length % 16 !== 0) throw damaged("is not a whole number of cipher blocks");
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, key, bytes));
  } catch {
    throw damaged("cannot be decrypted: it is cut, or the key or IV is wrong");
  }
}

function classify(bytes: Uint8Array<ArrayBuffer>): SegmentBody {
  if (isTransportStream(bytes)) return { container: "ts", bytes };
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 16));
  if (/^(?:ftyp|styp|moof|sidx|moov|emsg|prft|mdat|free|skip|uuid)$/.test(text.slice(4, 8))) {
    return { container: "fmp4", bytes };
  }
  if (/^(?:\xEF\xBB\xBF)?WEBVTT/.test(text)) return { container: "vtt", bytes };
  if (text.startsWith("ID3") || (bytes[0] === 0xff && (bytes[1]! & 0xe0) === 0xe0)) {
    return { container: "audio", bytes };
  }
  const start = disguisedStart(bytes);
  if (start !== -1) return { container: "ts", bytes: bytes.slice(start) };
  throw damaged(/^\s*</.test(text) ? "is an HTML page" : "is neither MPEG-TS nor fragmented MP4");
}

/** Some hosts keep segments as images: a small PNG, JPEG, GIF or BMP in front of the first TS packet. */
function disguisedStart(bytes: Uint8Array): number {
  const image = (bytes[0] === 0x89 && bytes[1] === 0x50) || (bytes[0] === 0xff && bytes[1] === 0xd8) ||
    (bytes[0] === 0x47 && bytes[1] === 0x49) || (bytes[0] === 0x42 && bytes[1] === 0x4d);
  if (!image) return -1;
  const end = Math.min(bytes.length - 377, MAX_DISGUISE_BYTES);
  for (let at = 1; at < end; at++) if (bytes[at] === 0x47 && isTransportStream(bytes, at)) return at;
  return -1;
}

function checkTransportStream(bytes: Uint8Array, durationSeconds: number): void {
  if (bytes.length % 188 !== 0) throw damaged("ends inside a TS packet");
  const span = tsSpanSeconds(bytes);
  if (span === null || durationSeconds < MIN_CHECKED_SECONDS) return;
  if (span < durationSeconds * MIN_SPAN_RATIO) {
    throw damaged(`covers ${span.toFixed(1)} s of the ${durationSeconds.toFixed(1)} s it was announced with`);
  }
}

/** Boxes must end exactly where the bytes do. */
function checkBoxes(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + 8 <= bytes.length) {
    const short = view.getUint32(at);
    if (short === 0) return; // "to the end"
    const size = short === 1 ? (at + 16 <= bytes.length ? Number(view.getBigUint64(at + 8)) : NaN) : short;
    if (!(size >= 8)) throw damaged("holds a box of no length");
    at += size;
  }
  if (at !== bytes.length) throw damaged("ends inside an MP4 box");
}
