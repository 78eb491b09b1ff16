// fetch that gives up on silence, waits where a server asks for it, and repeats what is safe to repeat.
// Example: `const call = retryingFetch({ fetch, ...})`, then `call(url, init)` answers the last Response. Runs on: Deno.

import { StorageError } from "./storage_error.ts";

export interface RetryTimes {
  /** Attempts of one call, the first included. */
  readonly attempts: number;
  /** Until the answer's headers are there, or until the next bytes of an upload are taken. */
  readonly silenceMs: number;
  /** Until an answer has ended that keeps its connection alive with white space, as S3's to a completion. */
  readonly keptAliveMs: number;
  /** First wait between attempts; doubles, with jitter. */
  readonly backoffMs: number;
  /** A longer wait than this is not sat out: the job goes back to the queue instead. */
  readonly maxWaitMs: number;
}

export const DEFAULT_TIMES: RetryTimes = {
  attempts: 5,
  silenceMs: 60_000,
  keptAliveMs: 3_600_000,
  backoffMs: 500,
  maxWaitMs: 60_000,
};

export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

export interface RetryParts {
  readonly fetch: typeof fetch;
  /** Send the bytes of files over connections of our own; false goes through fetch, as behind an HTTP proxy. */
  readonly sockets?: boolean;
  readonly times: RetryTimes;
  readonly sleep: Sleep;
  readonly random: () => number;
}

/** Ten thousand presigned addresses take a third of it. */
const MAX_RESPONSE_BYTES = 32 * 1024 * 1024;
const MAX_WAIT_SECONDS = 86_400;
const RETRIED = new Set([408, 429, 500, 502, 503, 504]);

/** Answers the first response that is final: success, a refusal, or the last failure. Throws for network failures and time-outs. */
export function retryingFetch(parts: RetryParts): typeof fetch {
  return async (input, init) => {
    const signal = init?.signal ?? undefined;
    for (let attempt = 1;; attempt++) {
      const last = attempt >= parts.times.attempts;
      let waitMs = backoff(attempt, parts);
      try {
        const answer = await once(input, { ...init, signal }, parts);
        if (!RETRIED.has(answer.status)) return answer;
        const asked = waitAsked(answer.headers);
        if (asked !== null) waitMs = asked * 1000;
        if (last || waitMs > parts.times.maxWaitMs || isQuotaOfHours(answer)) return answer;
        await answer.body?.cancel();
      } catch (error) {
        if (last || signal?.aborted || error instanceof StorageError) throw error;
      }
      await parts.sleep(waitMs, signal);
    }
  };
}

/**
 * One attempt with the silence limit, which `alive` resets: give it to the body that is being sent. The answer comes back whole,
 * so that a body that never ends is bounded too, in time and in bytes: for calls with small answers, not for downloads. With `keptAlive`
 * each piece of the answer resets the limit. A redirect is an answer like any other: nothing here is sent on to where a server says.
 */
export async function once(
  input: RequestInfo | URL,
  init: RequestInit & { onAlive?: (alive: () => void) => void; keptAlive?: boolean },
  parts: Pick<RetryParts, "fetch" | "times">,
): Promise<Response> {
  const { onAlive, keptAlive = false, ...rest } = init;
  using silence = follow(init.signal);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      silence.abort(new DOMException(`no answer for ${parts.times.silenceMs / 1000} s`, "TimeoutError"));
    }, parts.times.silenceMs);
  };
  alive();
  onAlive?.(alive);
  const { keptAliveMs } = parts.times;
  const end = keptAlive
    ? setTimeout(() => {
      silence.abort(new DOMException(`the answer has not ended after ${keptAliveMs / 1000} s`, "TimeoutError"));
    }, keptAliveMs)
    : undefined;
  try {
    const answer = await parts.fetch(input, { ...rest, redirect: "manual", signal: silence.signal });
    const body = await readAll(answer.body, MAX_RESPONSE_BYTES, keptAlive ? alive : undefined);
    return new Response(body.size > 0 ? body : null, { status: answer.status, headers: answer.headers });
  } finally {
    clearTimeout(timer);
    clearTimeout(end);
  }
}

/** The whole body, which is small; throws for one that is not. */
export async function readAll(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  onPiece?: () => void,
): Promise<Blob> {
  const chunks: BlobPart[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    onPiece?.();
    bytes += chunk.byteLength;
    if (bytes > maxBytes) {
      throw new StorageError("slow", "the answer is too long to be one", { code: "storage_5xx" });
    }
    chunks.push(chunk as Uint8Array<ArrayBuffer>);
  }
  return new Blob(chunks);
}

/**
 * One attempt on a connection of its own. fetch silently repeats a request, POST too, when a kept-alive connection breaks under it
 * (Deno 2.9); for a call that must not be made twice unseen, that would hide a first one that landed.
 */
export async function onceOnly(
  input: RequestInfo | URL,
  init: RequestInit,
  parts: Pick<RetryParts, "fetch" | "times">,
): Promise<Response> {
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const options: RequestInit & { client: Deno.HttpClient } = { ...init, client };
  return await once(input, options, parts);
}

/** One attempt whose body is read as it comes, with the same limit on silence for headers and every piece of the body. */
export async function openBody(
  input: RequestInfo | URL,
  init: RequestInit,
  parts: Pick<RetryParts, "fetch" | "times">,
): Promise<Response> {
  const silence = new AbortController();
  const signal = init.signal ? AbortSignal.any([init.signal, silence.signal]) : silence.signal;
  const within = async <T>(wait: Promise<T>): Promise<T> => {
    const limit = `no byte for ${parts.times.silenceMs / 1000} s`;
    const timer = setTimeout(() => silence.abort(new DOMException(limit, "TimeoutError")), parts.times.silenceMs);
    try {
      return await wait;
    } finally {
      clearTimeout(timer);
    }
  };
  const answer = await within(parts.fetch(input, { ...init, signal }));
  const reader = answer.body?.getReader();
  const body = reader && new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { done, value } = await within(reader.read());
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return new Response(body ?? null, { status: answer.status, headers: answer.headers });
}

/** A signal of one's own that also aborts when the other does, until it is disposed of. */
export function follow(parent: AbortSignal | null | undefined): Disposable & Pick<AbortController, "abort" | "signal"> {
  const own = new AbortController();
  const abort = () => own.abort(parent?.reason);
  if (parent?.aborted) abort();
  parent?.addEventListener("abort", abort, { once: true });
  return {
    signal: own.signal,
    abort: (reason) => own.abort(reason),
    [Symbol.dispose]: () => parent?.removeEventListener("abort", abort),
  };
}

/** Whole seconds that the answer asks to wait: `RateLimit: "api";r=0;t=55`, else Retry-After (seconds or a date), else null. */
export function waitAsked(headers: Headers, now = Date.now()): number | null {
  const limit = headers.get("ratelimit")?.match(/r=(\d+)\s*;\s*t=(\d+)/);
  const after = headers.get("retry-after")?.trim() ?? "";
  let seconds: number;
  if (limit?.[1] === "0") seconds = Number(limit[2]);
  else if (/^\d+$/.test(after)) seconds = Number(after);
  else seconds = /\d{4}/.test(after) ? Math.max(0, (Date.parse(after) - now) / 1000) : NaN;
  return Number.isNaN(seconds) ? null : Math.min(Math.ceil(seconds), MAX_WAIT_SECONDS);
}

export function backoff(attempt: number, parts: Pick<RetryParts, "times" | "random">): number {
  return parts.times.backoffMs * 2 ** (attempt - 1) * (0.5 + parts.random() / 2);
}

export const sleep: Sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", stop, { once: true });
  });

/** A 429 that says nothing of when: the Hub's hourly commit quota. Repeating it within seconds is pointless. */
function isQuotaOfHours(answer: Response): boolean {
  return answer.status === 429 && waitAsked(answer.headers) === null;
}
