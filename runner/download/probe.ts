/**
 * A small ranged request before a download: the real file type, the size, and an ETag to recognise the file later.
 * Example: `await probe(url, request)` → `{ sniffed: "mp4", sizeBytes: 8018963, etag: '"7a5b…"', … }`.
 */
import { isRetryable, KeepstreamError } from "../../core/errors.ts";
import { resourceSize } from "../../core/http/range.ts";
import { redactUrl } from "../../core/redact.ts";
import { retry } from "../../core/retry.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";
import { PROBE } from "../retry_policies.ts";
import { sniff, type Sniffed } from "./sniff.ts";

const LOOK_BYTES = 16 * 1024;
const FIRST_BYTES_TIMEOUT_MS = 15_000;

export type Probe = {
  readonly url: string;
  readonly sniffed: Sniffed;
  /** null if the host does not send it. */
  readonly sizeBytes: number | null;
  readonly etag: string | null;
  readonly ranges: boolean;
};

/** A broken connection is repeated once: the host may have closed a kept one. */
export async function probe(url: string, request: MediaRequest): Promise<Probe> {
  return await retry(() => probeOnce(url, request), PROBE, {
    signal: request.signal,
    retryable: (error) => error instanceof KeepstreamError && error.code === "network",
  });
}

async function probeOnce(requestedUrl: string, request: MediaRequest): Promise<Probe> {
  const range = { start: 0, end: LOOK_BYTES - 1 };
  const { response, url, packed } = await openMedia(requestedUrl, { ...request, range });
  const start = await readStart(response, request.signal);
  if (start.length === 0) throw new KeepstreamError("source_expired", `${redactUrl(url)} is empty`);
  return {
    url,
    sniffed: sniff(start, response.headers.get("content-type")),
    sizeBytes: packed === null ? resourceSize(response) : null,
    etag: strongEtag(response.headers.get("etag")),
    ranges: packed === null && response.status === 206,
  };
}

/** For a host that may still count a connection that has just ended: repeats a refused probe once. */
export async function probeWithRetry(url: string, request: MediaRequest): Promise<Probe> {
  return await retry(() => probeOnce(url, request), PROBE, { signal: request.signal, retryable: isRetryable });
}

async function readStart(response: Response, signal: AbortSignal): Promise<Uint8Array> {
  const reader = response.body?.getReader();
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
    // The first bytes of a packed file cannot be unpacked to their end.
    if (cause instanceof KeepstreamError && response.status === 206 && filled > 0) return buffer.subarray(0, filled);
    if (cause instanceof KeepstreamError) throw cause;
    throw new KeepstreamError("network", "the connection broke in the first bytes", { cause });
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
}

/** A weak ETag does not promise equal bytes. */
function strongEtag(etag: string | null): string | null {
  return etag === null || etag.startsWith("W/") ? null : etag;
}
