/**
 * PUTs a range of a file over our own HTTP/1.1 connection, which is kept for the next part. It needs half the CPU of fetch, which copies
 * every chunk of a body through JavaScript streams, and it reports when a chunk was sent.
 */

import { linkedAbort } from "./fetch_once.ts";

const RESPONSE_PIECE_BYTES = 1 << 14;
const MAX_RESPONSE_BYTES = 1 << 16;
/** Headers of an upload that the store must not set. */
const OUR_HEADERS = ["host", "connection", "transfer-encoding", "expect"];

export interface FileRange {
  readonly path: string;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

export interface PutRangeOptions {
  readonly headers?: HeadersInit;
  readonly signal?: AbortSignal;
  /** Buffer for the file's chunks; free again when `put` has settled. */
  readonly buffer: Uint8Array;
  /** Without progress for this long, or without a response after the last byte, the connection is closed. */
  readonly idleTimeoutMs: number;
  readonly onBytes: (count: number) => void;
}

export class PartSocket implements Disposable {
  readonly #buffer = new Uint8Array(RESPONSE_PIECE_BYTES);
  #conn: Deno.Conn | null = null;
  #origin = "";

  /** Sends the range and returns the response, whatever its status. One call at a time. */
  async put(url: string, range: FileRange, options: PutRangeOptions): Promise<Response> {
    const reused = this.#conn !== null && this.#origin === new URL(url).origin;
    try {
      return await this.#putOnce(url, range, options);
    } catch (error) {
      // The server may have closed the kept connection; a PUT of the same bytes can be repeated.
      if (!reused || options.signal?.aborted || !(error instanceof ConnectionLost)) throw error;
      return await this.#putOnce(url, range, options);
    }
  }

  [Symbol.dispose](): void {
    this.#drop();
  }

  async #putOnce(url: string, range: FileRange, options: PutRangeOptions): Promise<Response> {
    options.signal?.throwIfAborted();
    using over = linkedAbort(options.signal);
    using silence = new IdleTimer(options.idleTimeoutMs, () => over.abort());
    over.signal.addEventListener("abort", () => this.#drop());
    let writing: Promise<void> | undefined;
    try {
      const conn = await this.#connect(new URL(url), over.signal);
      const received = readResponse(conn, this.#buffer);
      writing = writeRange(conn, url, range, { ...options, silence });
      // A server may respond early and stop reading; its response has the reason.
      const first = await Promise.race([
        writing.then(() => "written" as const, (error) => {
          if (error instanceof ConnectionLost) return "broken" as const;
          throw error;
        }),
        received.then(() => "answered" as const, () => "broken" as const),
      ]);
      const { response, keep } = await received;
      if (!keep || first !== "written") this.#drop();
      return response;
    } catch (error) {
      this.#drop();
      options.signal?.throwIfAborted();
      if (over.signal.aborted) {
        throw new DOMException(`no byte taken for ${options.idleTimeoutMs / 1000} s`, "TimeoutError");
      }
      throw error;
    } finally {
      await writing?.catch(() => {}); // handled above; until it settles, the buffer is in use
    }
  }

  async #connect(url: URL, signal: AbortSignal): Promise<Deno.Conn> {
    if (this.#conn !== null && this.#origin === url.origin) return this.#conn;
    this.#drop();
    const hostname = url.hostname.replace(/^\[|\]$/g, "");
    const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
    const plain = await Deno.connect({ hostname, port, signal });
    this.#conn = plain;
    this.#origin = url.origin;
    if (url.protocol === "https:") this.#conn = await Deno.startTls(plain, { hostname, alpnProtocols: ["http/1.1"] });
    signal.throwIfAborted();
    return this.#conn;
  }

  #drop(): void {
    try {
      this.#conn?.close();
    } catch { /* closed by the runtime already */ }
    this.#conn = null;
  }
}

class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}

/** Includes the cause: a refused certificate shows only here, because the handshake happens with the first write. */
function lost(what: string, cause: unknown): ConnectionLost {
  return new ConnectionLost(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}

/** Calls back after `ms` without a reset. Resetting is cheap: it happens with every write. */
class IdleTimer implements Disposable {
  readonly #timer: ReturnType<typeof setInterval>;
  #heardAt = performance.now();

  constructor(ms: number, onOver: () => void) {
    this.#timer = setInterval(() => {
      if (performance.now() - this.#heardAt >= ms) onOver();
    }, ms / 4);
  }

  reset(): void {
    this.#heardAt = performance.now();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

async function writeRange(
  conn: Deno.Conn,
  address: string,
  range: FileRange,
  options: PutRangeOptions & { silence: IdleTimer },
): Promise<void> {
  const { buffer } = options;
  const url = new URL(address);
  const headers = new Headers(options.headers); // rejects invalid headers, such as those with line breaks
  for (const name of OUR_HEADERS) headers.delete(name);
  headers.set("content-length", String(range.end - range.start));
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  await write(
    conn,
    new TextEncoder().encode(`PUT ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\n${lines}\r\n`),
  );
  using file = await Deno.open(range.path);
  await file.seek(range.start, Deno.SeekMode.Start);
  for (let left = range.end - range.start; left > 0;) {
    const count = await file.read(buffer.subarray(0, Math.min(left, buffer.length)));
    if (count === null) throw new Deno.errors.UnexpectedEof("the file became shorter");
    await write(conn, buffer.subarray(0, count), () => options.silence.reset());
    options.onBytes(count);
    left -= count;
  }
}

async function write(conn: Deno.Conn, bytes: Uint8Array, onWritten?: () => void): Promise<void> {
  try {
    for (let at = 0; at < bytes.length;) {
      at += await conn.write(bytes.subarray(at));
      onWritten?.();
    }
  } catch (cause) {
    throw lost("the connection broke while a part was sent", cause);
  }
}

/** Reads a small response, and whether the connection can be reused. */
async function readResponse(conn: Deno.Conn, buffer: Uint8Array): Promise<{ response: Response; keep: boolean }> {
  let bytes = new Uint8Array(0);
  for (;;) {
    const response = parseResponse(bytes);
    if (response) return response;
    if (bytes.length > MAX_RESPONSE_BYTES) throw new ConnectionLost("the response to a part is too long");
    let count: number | null;
    try {
      count = await conn.read(buffer);
    } catch (cause) {
      throw lost("the connection broke before the response", cause);
    }
    if (count === null) {
      const rest = parseResponse(bytes, { ended: true });
      if (rest) return rest;
      throw new ConnectionLost("the connection was closed before the response");
    }
    const longer = new Uint8Array(bytes.length + count);
    longer.set(bytes);
    longer.set(buffer.subarray(0, count), bytes.length);
    bytes = longer;
  }
}

/** The response in these bytes, or null if it is incomplete (RFC 9112 §6). */
export function parseResponse(
  bytes: Uint8Array,
  { ended = false }: { ended?: boolean } = {},
): { response: Response; keep: boolean } | null {
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return null;
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  if (!(status >= 100)) throw new ConnectionLost("the server did not respond with HTTP");
  const rest = text.slice(end + 4);
  if (status < 200) return parseResponse(bytes.subarray(end + 4), { ended }); // 100 Continue, 103 Early Hints
  const headers = new Headers();
  for (const line of lines) headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
  const length = status === 204 || status === 304 ? "0" : headers.get("content-length");
  const chunked = /chunked/i.test(headers.get("transfer-encoding") ?? "");
  const complete = chunked ? /(^|\r\n)0\r\n\r\n$/.test(rest) : length !== null && rest.length >= Number(length);
  if (!complete && !ended) return null;
  headers.delete("transfer-encoding");
  const body = rest === "" || status === 204 || status === 304 ? null : rest;
  const keep = complete && !ended && !/close/i.test(headers.get("connection") ?? "");
  return { response: new Response(body, { status: status < 600 ? status : 502, headers }), keep };
}
