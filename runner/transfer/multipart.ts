/**
 * Sends the missing parts of a file, a few at a time. A part is written to the journal once it is confirmed. The Hub and S3 differ only
 * in how the URL of a part is made.
 */
import { fetchOnce } from "./fetch_once.ts";
import { PartSocket } from "./part_socket.ts";
import { requestedSeconds, type RetryParts, retryStorageCall } from "./retry.ts";
import type { Permit, Semaphore } from "./semaphore.ts";
import { assertUnchanged, FilePart, type StagedFile } from "./staged_file.ts";
import { asStorageError, StorageError, storageErrorOf } from "./storage_error.ts";

/** Parallel parts of one target; the shared semaphore limits all targets together. */
const STREAMS_PER_TARGET = 3;
const MAX_ETAG_LENGTH = 1024;

export interface PartRequest {
  readonly url: string;
  readonly headers?: HeadersInit;
}

export interface PartsOptions {
  readonly target: string;
  readonly file: StagedFile;
  readonly partBytes: number;
  /** ETags of the confirmed parts (from 1); `sendParts` adds to it. */
  readonly done: Map<number, string>;
  readonly request: (part: number, sizeBytes: number) => Promise<PartRequest>;
  readonly onPart: (part: number, etag: string) => Promise<void>;
  readonly onProgress: (bytes: number) => void;
  readonly semaphore: Semaphore;
  readonly signal?: AbortSignal;
  readonly retry: RetryParts;
  /** false for a single PUT of a whole object, whose hash the target checks. */
  readonly etagNeeded: boolean;
}

/** This upload can no longer succeed (expired URLs, lost parts). Start a new upload instead of repeating the part. */
export class UploadExpiredError extends StorageError {
  constructor(cause: StorageError) {
    super(cause.problem, cause.message, { code: cause.code, cause });
  }
}

/** Sends every part that is not in `done`. The first failure stops the other streams. */
export async function sendParts(options: PartsOptions): Promise<void> {
  const { file, partBytes, done } = options;
  const count = partCount(file.sizeBytes, partBytes);
  for (const part of done.keys()) if (part > count) done.delete(part); // a damaged journal
  const missing = Array.from({ length: count }, (_, index) => index + 1).filter((part) => !done.has(part));
  const inFlight = new Map<number, number>();
  const sizeOf = (part: number) => part === count ? file.sizeBytes - (count - 1) * partBytes : partBytes;
  let confirmed = sum([...done.keys()].map(sizeOf));
  const report = () => options.onProgress(confirmed + sum(inFlight.values()));
  report();

  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  async function stream() {
    using socket = new PartSocket();
    for (let part = missing.shift(); part !== undefined; part = missing.shift()) {
      using permit = await options.semaphore.acquire(signal);
      const etag = await sendPart(part, { ...options, signal, socket, permit }, (bytes) => {
        inFlight.set(part, bytes);
        report();
      });
      inFlight.delete(part);
      done.set(part, etag);
      confirmed += sizeOf(part);
      await options.onPart(part, etag);
    }
  }
  const streams = Array.from({ length: Math.min(STREAMS_PER_TARGET, missing.length) }, () =>
    stream().catch((error) => {
      stop.abort(error);
      throw error;
    }));
  const failed = (await Promise.allSettled(streams)).filter((outcome) => outcome.status === "rejected");
  options.signal?.throwIfAborted();
  const cause = failed.find((outcome) => outcome.reason === stop.signal.reason) ?? failed[0];
  if (cause) throw cause.reason;
}

export function partCount(sizeBytes: number, partBytes: number): number {
  return Math.max(1, Math.ceil(sizeBytes / partBytes));
}

async function sendPart(
  part: number,
  options: PartsOptions & { readonly socket: PartSocket; readonly permit: Permit },
  onBytes: (bytes: number) => void,
): Promise<string> {
  const { file, partBytes, retry, signal } = options;
  const start = (part - 1) * partBytes;
  const range = { start, end: Math.min(file.sizeBytes, start + partBytes) };
  const what = `${options.target}: sending part ${part}`;
  let repeatable: unknown;
  let delayMs: number | undefined;
  const sendOnce = async (): Promise<string> => {
    delayMs = undefined;
    let response: Response;
    try {
      response = await put(await options.request(part, range.end - range.start), { ...options, range, onBytes });
    } catch (error) {
      if (signal?.aborted || error instanceof StorageError) throw error;
      await assertUnchanged(file); // a file that became shorter ends its stream early, which looks like a network failure
      throw repeatable = asStorageError(what, error);
    }
    const text = await response.text();
    const etag = response.headers.get("etag") ?? "";
    if (response.ok && (etag !== "" || !options.etagNeeded) && etag.length <= MAX_ETAG_LENGTH) return etag;
    const refusal = response.ok
      ? new StorageError("transient", `${what}: the response has no ETag`, { code: "storage_5xx" })
      : storageErrorOf(what, { status: response.status, text });
    if (refusal.problem !== "transient") throw new UploadExpiredError(refusal);
    const requestedMs = (requestedSeconds(response.headers) ?? 0) * 1000;
    if (requestedMs > 0) delayMs = Math.min(requestedMs, retry.times.maxWaitMs);
    throw repeatable = refusal;
  };
  return await retryStorageCall(sendOnce, retry, {
    signal,
    retryable: (error) => error === repeatable,
    delayFor: () => delayMs,
    onRetry: () => onBytes(0),
  });
}

async function put(
  request: PartRequest,
  options: PartsOptions & {
    readonly socket: PartSocket;
    readonly permit: Permit;
    readonly range: { start: number; end: number };
    readonly onBytes: (bytes: number) => void;
  },
): Promise<Response> {
  let alive = () => {};
  let sent = 0;
  if (options.retry.sockets) {
    return await options.socket.put(request.url, { path: options.file.path, ...options.range }, {
      headers: request.headers,
      signal: options.signal,
      buffer: options.permit.buffer,
      idleTimeoutMs: options.retry.times.idleTimeoutMs,
      onBytes: (count) => options.onBytes(sent += count),
    });
  }
  const body = new FilePart(options.file.path, options.range, (count) => {
    alive();
    options.onBytes(sent += count);
  });
  return await fetchOnce(request.url, {
    method: "PUT",
    body,
    headers: request.headers,
    signal: options.signal,
    onAlive: (reset) => alive = reset,
  }, options.retry);
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
