/**
 * One small ranged request before a download: what it really is, how large, and by which ETag it can be recognised later.
 * Example: `await look(url, request)` → `{ sniffed: "mp4", sizeBytes: 8018963, etag: '"7a5b…"', … }`. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { redactUrl } from "../../core/redact.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";
import { sniff, type Sniffed } from "./sniff.ts";

const LOOK_BYTES = 16 * 1024;
const FIRST_BYTES_TIMEOUT_MS = 15_000;
const ONCE_MORE_MS = 500;

export type Look = {
  readonly url: string;
  readonly sniffed: Sniffed;
  /** null: the host does not say. */
  readonly sizeBytes: number | null;
  readonly etag: string | null;
  readonly ranges: boolean;
};

export async function look(address: string, request: MediaRequest): Promise<Look> {
  const { response, url } = await openMedia(address, { ...request, range: { start: 0, end: LOOK_BYTES - 1 } });
  const start = await readStart(response, request.signal);
  if (start.length === 0) throw new KeepstreamError("source_expired", `${redactUrl(url)} is empty`);
  return {
    url,
    sniffed: sniff(start),
    sizeBytes: totalSize(response),
    etag: strongEtag(response.headers.get("etag")),
    ranges: response.status === 206,
  };
}

/** Where a host may still count a connection that has just ended: a refusal is asked about once more. */
export async function lookAgain(address: string, request: MediaRequest): Promise<Look> {
  try {
    return await look(address, request);
  } catch (error) {
    if (!(error instanceof KeepstreamError && error.retryable)) throw error;
    await new Promise((done) => setTimeout(done, ONCE_MORE_MS));
    request.signal.throwIfAborted();
    return await look(address, request);
  }
}

async function readStart(response: Response, signal: AbortSignal): Promise<Uint8Array> {
  // Some hosts compress playlists whether they were asked to or not.
  const zipped = response.headers.get("content-encoding") === "gzip";
  const body = zipped ? response.body?.pipeThrough(new DecompressionStream("gzip")) : response.body;
  const reader = body?.getReader();
  if (reader === undefined) return new Uint8Array(0);
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), FIRST_BYTES_TIMEOUT_MS);
  const buffer = new Uint8Array(LOOK_BYTES);
  let filled = 0;
  try {
    while (filled < LOOK_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      const piece = value.subarray(0, LOOK_BYTES - filled);
      buffer.set(piece, filled);
      filled += piece.length;
    }
    return buffer.subarray(0, filled);
  } catch (cause) {
    signal.throwIfAborted();
    throw new KeepstreamError("network", "the connection broke in the first bytes", { cause });
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
}

function totalSize(response: Response): number | null {
  const total = response.status === 206
    ? /\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]
    : response.headers.get("content-length");
  return total === null || total === undefined ? null : Number(total);
}

/** A weak ETag does not promise equal bytes, which is all that matters here. */
function strongEtag(etag: string | null): string | null {
  return etag === null || etag.startsWith("W/") ? null : etag;
}
