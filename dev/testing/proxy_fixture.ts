/**
 * A running Worker with an origin server whose routes are written by the test.
 * `conformance("GET with a range → 206", async (proxy) => { proxy.route("/a.mp4", media(bytes)); … })`
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { parseSigningKeys, signLink, type SignLinkOptions } from "../../core/link.ts";
import { parseRange, resolveRange } from "../../core/http/range.ts";
import { unwrap } from "../../core/result.ts";
import { type RunningWorker, startWorker, type WorkerOptions } from "../emulators/workerd/workerd.ts";

export interface Seen {
  readonly method: string;
  /** The request target as sent. */
  readonly target: string;
  readonly headers: Headers;
}

export type Route = (request: Seen, response: ServerResponse) => void | Promise<void>;

export interface Origin extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Every request so far, in order. */
  readonly seen: Seen[];
  /** Adds a handler for requests whose path begins with `prefix`; the longest prefix wins. */
  route(prefix: string, handler: Route): void;
}

export const KEY_TEXT = `k1:${"A".repeat(43)}`;
export const KEYS = unwrap(parseSigningKeys(KEY_TEXT));
/** Far in the future, so that links in tests do not expire. */
export const EXPIRES_AT = 4_000_000_000;

export async function startOrigin(): Promise<Origin> {
  const routes = new Map<string, Route>();
  const seen: Seen[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const entry = { method: request.method!, target: request.url!, headers: headersOf(request) };
    seen.push(entry);
    const path = entry.target.split("?")[0]!;
    const prefix = [...routes.keys()].filter((one) => path.startsWith(one)).sort((a, b) => b.length - a.length)[0];
    response.on("error", () => {});
    if (prefix === undefined) return send(response, 404, { "content-type": "text/plain" }, "no such route");
    Promise.resolve(routes.get(prefix)!(entry, response)).catch((error) => response.destroy(error));
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    route: (prefix, handler) => void routes.set(prefix, handler),
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((done) => server.close(() => done()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) headers.set(name, String(value));
  return headers;
}

export function send(
  response: ServerResponse,
  status: number,
  headers: Record<string, string>,
  body: string | Uint8Array = "",
): void {
  response.writeHead(status, {
    "content-length": String(typeof body === "string" ? new TextEncoder().encode(body).length : body.length),
    ...headers,
  });
  response.end(body);
}

export interface MediaOptions {
  readonly type?: string;
  readonly etag?: string;
  readonly lastModified?: string;
  readonly headers?: Record<string, string>;
}

/** A file from a correct server: ranges, If-Range, If-None-Match, If-Modified-Since, HEAD (RFC 9110). */
export function media(bytes: Uint8Array, options: MediaOptions = {}): Route {
  const etag = options.etag ?? '"v1"';
  const lastModified = options.lastModified ?? "Thu, 01 Jan 2026 00:00:00 GMT";
  return ({ method, headers }, response) => {
    const common = {
      "accept-ranges": "bytes",
      etag,
      "last-modified": lastModified,
      "content-type": options.type ?? "video/mp4",
      ...options.headers,
    };
    const write = (status: number, extra: Record<string, string>, body: Uint8Array) => {
      response.writeHead(status, { ...common, "content-length": String(body.length), ...extra });
      response.end(method === "HEAD" ? undefined : body);
    };
    const none = headers.get("if-none-match");
    if (none === etag || (none === null && headers.get("if-modified-since") === lastModified)) {
      response.writeHead(304, { etag, "last-modified": lastModified });
      return void response.end();
    }
    const ifRange = headers.get("if-range");
    const range = parseRange(headers.get("range"));
    if (
      range.kind !== "ranges" || method === "HEAD" || (ifRange !== null && ifRange !== etag && ifRange !== lastModified)
    ) {
      return write(200, {}, bytes);
    }
    const parts = range.ranges.map((one) => resolveRange(one, bytes.length));
    const good = parts.flatMap((part) => part.ok ? [part.value] : []);
    if (good.length === 0) return write(416, { "content-range": `bytes */${bytes.length}` }, new Uint8Array());
    if (good.length === 1) {
      const [{ start, end }] = good as [{ start: number; end: number }];
      return write(206, { "content-range": `bytes ${start}-${end}/${bytes.length}` }, bytes.subarray(start, end + 1));
    }
    const text =
      good.map(({ start, end }) =>
        `--B\r\nContent-Range: bytes ${start}-${end}/${bytes.length}\r\n\r\n${
          new TextDecoder("latin1").decode(bytes.subarray(start, end + 1))
        }\r\n`
      ).join("") + "--B--\r\n";
    write(206, { "content-type": "multipart/byteranges; boundary=B" }, Uint8Array.from(text, (c) => c.charCodeAt(0)));
  };
}

export function text(body: string, type = "application/vnd.apple.mpegurl", status = 200): Route {
  return (_request, response) => send(response, status, { "content-type": type }, body);
}

/** Bytes that differ from their neighbours, so that a wrong offset is detected. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = 1; i < length; i++) bytes[i] = (x = (x * 1103515245 + 12345) & 0x7fffffff) >>> 16;
  return bytes;
}

export interface ProxyFixture extends AsyncDisposable, Origin {
  readonly worker: RunningWorker;
  /** A signed link to a path of the origin, or to any URL. */
  link(target: string, options?: Partial<SignLinkOptions>): Promise<string>;
  /** Fetches a signed link without following redirects. */
  get(target: string, init?: RequestInit & { readonly sign?: Partial<SignLinkOptions> }): Promise<Response>;
}

export interface FixtureOptions extends Omit<WorkerOptions, "vars"> {
  /** Variables of the Worker; a function receives the origin's URL. */
  readonly vars?: Readonly<Record<string, string>> | ((originUrl: string) => Readonly<Record<string, string>>);
  /** Additional origins that the Worker may fetch from. */
  readonly origins?: readonly string[];
  /** Default context of links. */
  readonly sign?: Partial<SignLinkOptions>;
}

export async function startProxyFixture(options: FixtureOptions = {}): Promise<ProxyFixture> {
  const origin = await startOrigin();
  try {
    const worker = await startWorker({
      ...options,
      allowedOrigins: [origin.url, ...(options.origins ?? [])],
      vars: {
        STREAM_SIGNING_KEYS: KEY_TEXT,
        ...(typeof options.vars === "function" ? options.vars(origin.url) : options.vars),
      },
    });
    const link = (target: string, sign: Partial<SignLinkOptions> = {}) =>
      signLink({
        proxyBaseUrl: worker.url,
        url: /^[a-z]+:/i.test(target) ? target : origin.url + target,
        expiresAt: EXPIRES_AT,
        keys: KEYS,
        ...options.sign,
        ...sign,
      });
    return {
      ...origin,
      worker,
      link,
      async get(target, { sign, ...init } = {}) {
        return await fetch(await link(target, sign), { redirect: "manual", ...init });
      },
      async [Symbol.asyncDispose]() {
        await worker.stop();
        await origin[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await origin[Symbol.asyncDispose]();
    throw error;
  }
}

/** A test with the Worker's bundle in real workerd, and a scripted origin. */
export function proxyTest(
  title: string,
  run: (proxy: ProxyFixture) => Promise<void>,
  options?: FixtureOptions,
): void {
  Deno.test(`proxy: ${title}`, async () => {
    await using proxy = await startProxyFixture(options);
    await run(proxy);
  });
}

export async function bytesOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

/** The code of a problem document. */
export async function codeOf(response: Response): Promise<string> {
  return (await response.json()).code;
}
