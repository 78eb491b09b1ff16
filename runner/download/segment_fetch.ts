/**
 * Fetches the bytes of a segment, init section or key: an optional byte range, a size limit, and a minimum speed.
 * Example: `await streamPiece({ url, byteRange: null }, request, (bytes) => file.write(bytes))`.
 */
import type { ByteSpan } from "../../core/hls/playlist.ts";
import { KeepstreamError } from "../../core/errors.ts";
import { parseContentRange, resourceSize } from "../../core/http/range.ts";
import { redactUrl } from "../../core/redact.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";

export const MAX_SEGMENT_BYTES = 128 * 1024 * 1024;
const HEADERS_TIMEOUT_MS = 8_000;
const SLOW_WINDOW_MS = 3_000;
const SLOW_BYTES_PER_SECOND = 20_000;

export type Piece = { readonly url: string; readonly byteRange: ByteSpan | null };

export type PieceRequest = MediaRequest & {
  readonly onBytes?: (bytes: number) => void;
  /** false in the last attempts: a slow connection is better than none. */
  readonly dropSlow: boolean;
  readonly maxBytes?: number;
};

/** Received bytes, and the duration of the body. */
export type Transfer = { readonly bytes: number; readonly seconds: number };

/** Reads a small resource into memory. */
export async function fetchPiece(piece: Piece, request: PieceRequest): Promise<Uint8Array<ArrayBuffer>> {
  let buffer = new Uint8Array(0);
  let filled = 0;
  await streamPiece(piece, request, (bytes) => {
    if (filled + bytes.length > buffer.length) {
      buffer = grow(buffer, Math.max(filled + bytes.length, piece.byteRange?.length ?? 2 * buffer.length));
    }
    buffer.set(bytes, filled);
    filled += bytes.length;
  });
  return filled === buffer.length ? buffer : buffer.slice(0, filled);
}

/** Passes bytes on as they arrive. The buffer is released once `take` has settled. */
export async function streamPiece(
  piece: Piece,
  request: PieceRequest,
  take: (bytes: Uint8Array) => void | Promise<void>,
): Promise<Transfer> {
  const span = piece.byteRange;
  const maxBytes = request.maxBytes ?? MAX_SEGMENT_BYTES;
  if (span !== null && span.length > maxBytes) throw tooLarge(maxBytes);
  const { response, url, packed } = await openMedia(piece.url, {
    ...request,
    headersTimeoutMs: HEADERS_TIMEOUT_MS,
    range: span === null ? undefined : { start: span.offset, end: span.offset + span.length - 1 },
  });
  const problem = otherPart(response, span) ?? unprovenStart(response, span);
  if (problem !== null) {
    await response.body?.cancel();
    throw new KeepstreamError(problem.code, `${redactUrl(url)} ${problem.reason}`);
  }
  if (packed !== null && response.status === 206) {
    await response.body?.cancel();
    throw new KeepstreamError("unsupported", `${redactUrl(url)} sends ranges of compressed bytes (${packed})`);
  }
  // A host that ignores Range sends the whole resource: skip to the offset and stop after the range.
  const skip = span !== null && response.status === 200 ? span.offset : 0;
  const startedAt = performance.now();
  const bytes = await readBody(response, { request, url, skip, length: span?.length ?? maxBytes + 1, take });
  if (span === null && bytes > maxBytes) throw tooLarge(maxBytes);
  if (span !== null && bytes !== span.length) {
    throw new KeepstreamError("network", `${redactUrl(url)} sent ${bytes} of ${span.length} bytes`);
  }
  return { bytes, seconds: (performance.now() - startedAt) / 1000 };
}

type Problem = { readonly code: "network" | "unsupported"; readonly reason: string };

/** Checks Content-Range: a cache that confuses ranges sends bytes of the right length and format. */
function otherPart(response: Response, span: ByteSpan | null): Problem | null {
  const part = response.status === 206 ? parseContentRange(response.headers.get("content-range")) : null;
  if (!part?.span) return null;
  const { span: { start, end }, size } = part;
  const wanted = span?.offset ?? 0;
  if (start !== wanted) return { code: "network", reason: `sent from byte ${start} on instead of ${wanted}` };
  const cut = span === null && size !== null && end + 1 < size;
  return cut ? { code: "network", reason: `sent up to byte ${end} of ${size}` } : null;
}

/** A range whose start is not in the playlist is right only for one length of the resource. */
function unprovenStart(response: Response, span: ByteSpan | null): Problem | null {
  if (span?.resourceLength === undefined) return null;
  const size = resourceSize(response);
  if (size === span.resourceLength) return null;
  const reason =
    `has ${size ?? "an unknown number of"} bytes: the playlist does not state where its first byte range ` +
    `starts, and only a length of ${span.resourceLength} would prove it`;
  return { code: "unsupported", reason };
}

type BodyOptions = {
  readonly request: PieceRequest;
  readonly url: string;
  readonly skip: number;
  readonly length: number;
  readonly take: (bytes: Uint8Array) => void | Promise<void>;
};

/** Returns the number of bytes passed on, at most `length`. Deno rejects a body shorter than its Content-Length. */
async function readBody(response: Response, { request, url, skip, length, take }: BodyOptions): Promise<number> {
  const reader = response.body?.getReader();
  if (reader === undefined) return 0;
  let taken = 0;
  let skipped = 0;
  const watch = watchSpeed(request.dropSlow, () => void reader.cancel().catch(() => {}));
  const read = async () => {
    try {
      return await reader.read();
    } catch (cause) {
      request.signal.throwIfAborted();
      if (cause instanceof KeepstreamError) throw cause;
      throw new KeepstreamError("network", `${redactUrl(url)} was interrupted after ${taken} bytes`, { cause });
    }
  };
  try {
    while (taken < length) {
      const { done, value } = await read();
      if (watch.cut()) throw new KeepstreamError("timeout", `${redactUrl(url)} went quiet`);
      if (done) break;
      request.onBytes?.(value.length);
      const from = Math.min(value.length, skip - skipped);
      skipped += from;
      const piece = value.subarray(from, from + length - taken);
      taken += piece.length;
      watch.took(value.length, false);
      await take(piece);
      watch.took(0, true);
      giveBack(value);
    }
    return taken;
  } finally {
    watch.stop();
    await reader.cancel().catch(() => {});
  }
}

/** Releases the memory now: left to the garbage collector, ten times as much would be in use. */
export function giveBack(bytes: Uint8Array<ArrayBuffer>): void {
  bytes.buffer.transfer(0);
}

function grow(buffer: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(buffer);
  return larger;
}

/** Measures only while reading: a slow disk is not the connection's fault. */
function watchSpeed(dropSlow: boolean, cancel: () => void) {
  let inWindow = 0;
  let cut = false;
  let quiet = 0;
  let reading = true;
  const timer = setInterval(() => {
    quiet = inWindow === 0 && reading ? quiet + 1 : 0;
    const slow = dropSlow && reading && inWindow < SLOW_BYTES_PER_SECOND * (SLOW_WINDOW_MS / 1000);
    if (slow || quiet >= 4) {
      cut = true;
      cancel();
    }
    inWindow = 0;
  }, SLOW_WINDOW_MS);
  return {
    took: (bytes: number, readingOn: boolean) => {
      inWindow += bytes;
      reading = readingOn;
    },
    cut: () => cut,
    stop: () => clearInterval(timer),
  };
}

function tooLarge(maxBytes: number): KeepstreamError {
  return new KeepstreamError("too_large", `a segment of more than ${maxBytes} bytes`);
}
