/**
 * Fetches the bytes of one segment, init section or key: a byte range where one is named, a cap, and a line that went quiet is cut.
 * Example: `await fetchPiece({ url, byteRange: null }, request)`. Runs on: Deno.
 */
import type { ByteSpan } from "../../core/hls.ts";
import { KeepstreamError } from "../../core/errors.ts";
import { redactUrl } from "../../core/redact.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";

export const MAX_SEGMENT_BYTES = 128 * 1024 * 1024;
const HEADERS_TIMEOUT_MS = 8_000;
/** Set aside for a body that does not say how long it is. */
const UNKNOWN_BYTES = 4 * 1024 * 1024;
const SLOW_WINDOW_MS = 3_000;
const SLOW_BYTES_PER_SECOND = 20_000;

export type Piece = { readonly url: string; readonly byteRange: ByteSpan | null };

export type PieceRequest = MediaRequest & {
  readonly onBytes?: (bytes: number) => void;
  /** Waits until there is memory for so many bytes. */
  readonly need?: ((bytes: number) => Promise<void>) | undefined;
  /** false on the last tries: a slow line is better than none. */
  readonly dropSlow: boolean;
};

export async function fetchPiece(piece: Piece, request: PieceRequest): Promise<Uint8Array<ArrayBuffer>> {
  const span = piece.byteRange;
  if (span !== null && span.length > MAX_SEGMENT_BYTES) throw tooLarge();
  const { response, url } = await openMedia(piece.url, {
    ...request,
    headersTimeoutMs: HEADERS_TIMEOUT_MS,
    range: span === null ? undefined : { start: span.offset, end: span.offset + span.length - 1 },
  });
  // A host that ignores Range sends the whole resource: skip to the place and stop behind it.
  const skip = span !== null && response.status === 200 ? span.offset : 0;
  const bytes = await readBody(response, { request, url, skip, take: span?.length ?? MAX_SEGMENT_BYTES + 1 });
  if (span === null && bytes.length > MAX_SEGMENT_BYTES) throw tooLarge();
  if (span !== null && bytes.length !== span.length) {
    throw new KeepstreamError("network", `${redactUrl(url)} sent ${bytes.length} of ${span.length} bytes`);
  }
  return bytes;
}

async function readBody(
  response: Response,
  options: { request: PieceRequest; url: string; skip: number; take: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const { request, url } = options;
  const reader = response.body?.getReader();
  if (reader === undefined) return new Uint8Array(0);
  const announced = Number(response.headers.get("content-length") ?? NaN);
  const size = Math.min(announced > 0 ? announced : UNKNOWN_BYTES, options.take, MAX_SEGMENT_BYTES);
  await request.need?.(size);
  let buffer = new Uint8Array(size);
  let filled = 0;
  let skipped = 0;
  const watch = watchSpeed(request.dropSlow, () => void reader.cancel().catch(() => {}));
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (watch.cut()) throw new KeepstreamError("timeout", `${redactUrl(url)} went quiet`);
      if (done) break;
      watch.count(value.length);
      request.onBytes?.(value.length);
      const from = Math.min(value.length, options.skip - skipped);
      skipped += from;
      const piece = value.subarray(from, from + options.take - filled);
      if (filled + piece.length > buffer.length) buffer = grow(buffer, filled + piece.length);
      buffer.set(piece, filled);
      filled += piece.length;
      giveBack(value);
      if (filled === options.take) break;
    }
  } catch (cause) {
    request.signal.throwIfAborted();
    if (cause instanceof KeepstreamError) throw cause;
    throw new KeepstreamError("network", `${redactUrl(url)} broke off after ${filled} bytes`, { cause });
  } finally {
    watch.stop();
    await reader.cancel().catch(() => {});
  }
  // Deno refuses a body shorter than Content-Length by itself; a skipped head may still have left nothing.
  return filled === buffer.length ? buffer : buffer.slice(0, filled);
}

/** Frees the memory now: left to the garbage collector, ten times as much as is in use lies about. The bytes are gone. */
export function giveBack(bytes: Uint8Array<ArrayBuffer>): void {
  bytes.buffer.transfer(0);
}

function grow(buffer: Uint8Array<ArrayBuffer>, needed: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(needed, buffer.length * 2));
  larger.set(buffer);
  return larger;
}

function watchSpeed(dropSlow: boolean, cancel: () => void) {
  let inWindow = 0;
  let cut = false;
  let quiet = 0;
  const timer = setInterval(() => {
    quiet = inWindow === 0 ? quiet + 1 : 0;
    const slow = dropSlow && inWindow < SLOW_BYTES_PER_SECOND * (SLOW_WINDOW_MS / 1000);
    if (slow || quiet >= 4) {
      cut = true;
      cancel();
    }
    inWindow = 0;
  }, SLOW_WINDOW_MS);
  return {
    count: (bytes: number) => inWindow += bytes,
    cut: () => cut,
    stop: () => clearInterval(timer),
  };
}

function tooLarge(): KeepstreamError {
  return new KeepstreamError("too_large", `a segment of more than ${MAX_SEGMENT_BYTES} bytes`);
}
