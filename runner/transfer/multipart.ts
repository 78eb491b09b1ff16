// Sends the missing parts of a file, a few at a time, each confirmed and written down before the next one starts.
// The same loop serves the Hub and S3; they differ in how a part's address is made. Runs on: Deno.

import { PartSocket } from "./part_socket.ts";
import { backoff, once, type RetryParts, waitAsked } from "./retry.ts";
import type { Slot, Slots } from "./slots.ts";
import { assertUnchanged, FilePart, type StagedFile } from "./staged_file.ts";
import { asStorageError, StorageError, storageErrorOf } from "./storage_error.ts";

/** Part streams of one target at once; the shared slots bound all targets together. */
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
  /** Confirmed parts (1-based) and their ETags; this function adds to it. */
  readonly done: Map<number, string>;
  readonly request: (part: number, sizeBytes: number) => Promise<PartRequest>;
  readonly onPart: (part: number, etag: string) => Promise<void>;
  readonly onProgress: (bytes: number) => void;
  readonly slots: Slots;
  readonly signal?: AbortSignal;
  readonly retry: RetryParts;
  /** A single PUT of a whole object needs none: the target checks its hash. */
  readonly etagNeeded: boolean;
}

/** The upload as planned can no longer succeed (an expired address, lost parts): it needs a new plan, not another attempt. */
export class PlanVoidError extends StorageError {
  constructor(cause: StorageError) {
    super(cause.problem, cause.message, { code: cause.code, cause });
  }
}

/** Sends every part that is not done. Whatever fails stops the others, so that nothing is sent for an upload that is lost. */
export async function sendParts(options: PartsOptions): Promise<void> {
  const { file, partBytes, done } = options;
  const count = partCount(file.sizeBytes, partBytes);
  for (const part of done.keys()) if (part > count) done.delete(part); // a journal says so, the file does not
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
      using slot = await options.slots.take(signal);
      const etag = await sendPart(part, { ...options, signal, socket, slot }, (bytes) => {
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
  options: PartsOptions & { readonly socket: PartSocket; readonly slot: Slot },
  onBytes: (bytes: number) => void,
): Promise<string> {
  const { file, partBytes, retry, signal } = options;
  const start = (part - 1) * partBytes;
  const range = { start, end: Math.min(file.sizeBytes, start + partBytes) };
  const what = `${options.target}: sending part ${part}`;
  for (let attempt = 1;; attempt++) {
    let failure: unknown;
    let waitMs = backoff(attempt, retry);
    try {
      const answer = await put(await options.request(part, range.end - range.start), { ...options, range, onBytes });
      const text = await answer.text();
      const etag = answer.headers.get("etag") ?? "";
      if (answer.ok && (etag !== "" || !options.etagNeeded) && etag.length <= MAX_ETAG_LENGTH) return etag;
      const refusal = answer.ok
        ? new StorageError("slow", `${what}: the answer has no ETag`, { code: "storage_5xx" })
        : storageErrorOf(what, { status: answer.status, text });
      if (refusal.problem !== "slow") throw new PlanVoidError(refusal);
      failure = refusal;
      waitMs = Math.min((waitAsked(answer.headers) ?? 0) * 1000 || waitMs, retry.times.maxWaitMs);
    } catch (error) {
      if (signal?.aborted) throw error;
      if (error instanceof StorageError) throw error;
      await assertUnchanged(file); // a file that shrank ends its stream early, which looks like a network failure
      failure = asStorageError(what, error);
    }
    if (attempt >= retry.times.attempts) throw failure;
    onBytes(0);
    await retry.sleep(waitMs, signal);
  }
}

async function put(
  request: PartRequest,
  options: PartsOptions & {
    readonly socket: PartSocket;
    readonly slot: Slot;
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
      buffer: options.slot.buffer,
      silenceMs: options.retry.times.silenceMs,
      onBytes: (count) => options.onBytes(sent += count),
    });
  }
  const body = new FilePart(options.file.path, options.range, (count) => {
    alive();
    options.onBytes(sent += count);
  });
  return await once(request.url, {
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
