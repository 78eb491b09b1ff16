/**
 * One attempt of a request to a storage target, with an idle timeout. Redirects are returned, not followed.
 * Example: `await fetchOnce(url, { method: "PUT", body }, { fetch, times })`.
 */
import { StorageError } from "./storage_error.ts";

export interface FetchTimes {
  /** Until the response's headers arrive, or until the next bytes of an upload are taken. */
  readonly idleTimeoutMs: number;
  /** Until a response ends whose server sends white space to keep the connection alive, as S3 does for a completion. */
  readonly keptAliveMs: number;
}

export interface FetchParts {
  readonly fetch: typeof fetch;
  readonly times: FetchTimes;
}

/** Room for ten thousand presigned URLs. */
const MAX_RESPONSE_BYTES = 32 * 1024 * 1024;

/**
 * For requests with small responses, which are read into memory: a body that never ends is limited in time and size. `onAlive` receives
 * a function that restarts the idle timeout, for the body being sent. With `keptAlive`, received bytes restart it, too.
 */
export async function fetchOnce(
  input: RequestInfo | URL,
  init: RequestInit & { onAlive?: (alive: () => void) => void; keptAlive?: boolean },
  parts: FetchParts,
): Promise<Response> {
  const { onAlive, keptAlive = false, ...rest } = init;
  const { idleTimeoutMs, keptAliveMs } = parts.times;
  using own = linkedAbort(init.signal);
  const timeOut = (message: string) => own.abort(new DOMException(message, "TimeoutError"));
  let idle: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(idle);
    idle = setTimeout(() => timeOut(`no response for ${idleTimeoutMs / 1000} s`), idleTimeoutMs);
  };
  alive();
  onAlive?.(alive);
  const end = keptAlive
    ? setTimeout(() => timeOut(`the response has not ended after ${keptAliveMs / 1000} s`), keptAliveMs)
    : undefined;
  try {
    const response = await parts.fetch(input, { ...rest, redirect: "manual", signal: own.signal });
    const body = await readAll(response.body, MAX_RESPONSE_BYTES, keptAlive ? alive : undefined);
    return new Response(body.size > 0 ? body : null, { status: response.status, headers: response.headers });
  } finally {
    clearTimeout(idle);
    clearTimeout(end);
  }
}

/**
 * fetchOnce on a connection of its own. `fetch` repeats a request, even a POST, when a kept-alive connection breaks (Deno 2.9); for a
 * call that must not be executed twice, that would hide a first one that succeeded.
 */
export async function fetchUnpooled(input: RequestInfo | URL, init: RequestInit, parts: FetchParts): Promise<Response> {
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const options: RequestInit & { client: Deno.HttpClient } = { ...init, client };
  return await fetchOnce(input, options, parts);
}

/** The body is streamed; the idle timeout applies to the headers and to every chunk. */
export async function fetchStreaming(
  input: RequestInfo | URL,
  init: RequestInit,
  parts: FetchParts,
): Promise<Response> {
  const idle = new AbortController();
  const signal = init.signal ? AbortSignal.any([init.signal, idle.signal]) : idle.signal;
  const withTimeout = async <T>(wait: Promise<T>): Promise<T> => {
    const { idleTimeoutMs } = parts.times;
    const timeOut = () => idle.abort(new DOMException(`no byte for ${idleTimeoutMs / 1000} s`, "TimeoutError"));
    const timer = setTimeout(timeOut, idleTimeoutMs);
    try {
      return await wait;
    } finally {
      clearTimeout(timer);
    }
  };
  const response = await withTimeout(parts.fetch(input, { ...init, signal }));
  const reader = response.body?.getReader();
  const body = reader && new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { done, value } = await withTimeout(reader.read());
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return new Response(body ?? null, { status: response.status, headers: response.headers });
}

/** The whole body. @throws {StorageError} if it is longer than `maxBytes`. */
export async function readAll(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  onChunk?: () => void,
): Promise<Blob> {
  const chunks: BlobPart[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    onChunk?.();
    bytes += chunk.byteLength;
    if (bytes > maxBytes) {
      throw new StorageError("transient", `the response is longer than ${maxBytes} bytes`, { code: "storage_5xx" });
    }
    chunks.push(chunk as Uint8Array<ArrayBuffer>);
  }
  return new Blob(chunks);
}

/** An AbortController that also aborts with `parent`, until it is disposed. AbortSignal.any would keep listening. */
export function linkedAbort(
  parent: AbortSignal | null | undefined,
): Disposable & Pick<AbortController, "abort" | "signal"> {
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
