/**
 * The one way out for every download: an HTTP forward proxy on loopback (CONNECT and absolute-form) that resolves once, refuses private
 * addresses, dials what it checked and counts bytes against the job's quota. aria2c and our own fetch both go through it.
 * Example: `const line = proxy.openLine({ policy, maxBytes })`; `fetch(url, { client: line.client })`. Runs on: Deno.
 */
import type { UrlPolicy } from "../../core/url_policy.ts";
import { ByteSocket } from "./byte_socket.ts";
import { dial, DialRefused, type Lookup, systemLookup } from "./dial.ts";
import { parseRequestHead, parseResponseHead, type RequestHead, type ResponseHead } from "./http_head.ts";

/** A peer that neither sends nor takes a byte for so long is cut. */
const IDLE_MS = 60_000;

export type Refusal = { readonly code: "policy_denied" | "too_large"; readonly reason: string };

/** One job's way through the proxy. Closing it cuts every connection the job still has. */
export type Line = {
  /** `http://127.0.0.1:PORT`, for programs that take the credentials apart from the address. */
  readonly proxyUrl: string;
  readonly username: string;
  readonly password: string;
  readonly client: Deno.HttpClient;
  /** Bytes that came from outside so far. */
  readonly received: () => number;
  /** The first thing the proxy refused this job, if it did. */
  readonly refusal: () => Refusal | null;
  readonly close: () => void;
};

export type ForwardProxy = AsyncDisposable & {
  readonly port: number;
  readonly openLine: (options: { policy: UrlPolicy; maxBytes: number }) => Line;
};

type LineState = {
  readonly password: string;
  readonly policy: UrlPolicy;
  readonly maxBytes: number;
  readonly sockets: Set<ByteSocket>;
  received: number;
  refusal: Refusal | null;
};

export function startForwardProxy(options: { lookup?: Lookup; connect?: typeof Deno.connect } = {}): ForwardProxy {
  const lookup = options.lookup ?? systemLookup;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = listener.addr.port;
  const lines = new Map<string, LineState>();
  const sockets = new Set<ByteSocket>();
  const serving = acceptAll();

  function openLine(request: { policy: UrlPolicy; maxBytes: number }): Line {
    const username = `job-${crypto.randomUUID().slice(0, 8)}`;
    const state: LineState = {
      ...request,
      password: crypto.randomUUID(),
      sockets: new Set(),
      received: 0,
      refusal: null,
    };
    lines.set(username, state);
    const proxyUrl = `http://127.0.0.1:${port}`;
    const client = Deno.createHttpClient({
      proxy: { url: proxyUrl, basicAuth: { username, password: state.password } },
      http2: false, // one HTTP/2 connection for all segments would be one capped connection
      poolMaxIdlePerHost: 64,
    });
    let closed = false;
    return {
      proxyUrl,
      username,
      password: state.password,
      client,
      received: () => state.received,
      refusal: () => state.refusal,
      close: () => {
        if (closed) return;
        closed = true;
        lines.delete(username);
        for (const socket of state.sockets) socket.close();
        client.close();
      },
    };
  }

  async function acceptAll(): Promise<void> {
    const open = new Set<Promise<void>>();
    for await (const conn of listener) {
      conn.setNoDelay(true);
      const task: Promise<void> = serve(new ByteSocket(conn)).finally(() => open.delete(task));
      open.add(task);
    }
    await Promise.all(open);
  }

  async function serve(client: ByteSocket): Promise<void> {
    sockets.add(client);
    const session = new Session(client, { lines, lookup, connect: options.connect });
    try {
      while (await session.next());
    } catch {
      // Either side went away, or the line was closed: the client sees its connection end, and retries or reports.
    } finally {
      session.close();
      sockets.delete(client);
    }
  }

  async function stop(): Promise<void> {
    listener.close();
    for (const socket of sockets) socket.close();
    for (const state of lines.values()) for (const socket of state.sockets) socket.close();
    await serving;
  }
  return { port, openLine, [Symbol.asyncDispose]: stop };
}

/** One client connection: requests one after the other, with the upstream connection kept while the host stays the same. */
class Session {
  readonly #client: ByteSocket;
  readonly #options: { lines: Map<string, LineState>; lookup: Lookup; connect?: typeof Deno.connect | undefined };
  #upstream: { readonly host: string; readonly socket: ByteSocket; line: LineState } | null = null;
  #line: LineState | null = null;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(
    client: ByteSocket,
    options: { lines: Map<string, LineState>; lookup: Lookup; connect?: typeof Deno.connect | undefined },
  ) {
    this.#client = client;
    this.#options = options;
  }

  /** Serves one request; true when another may follow on this connection. */
  async next(): Promise<boolean> {
    clearTimeout(this.#idle);
    const text = await this.#client.readHead();
    if (text === null) return false;
    this.#touch();
    const request = parseRequestHead(text);
    if (request === null) return await this.#refuse(400, "not a request");
    const line = this.#options.lines.get(request.username ?? "");
    if (line === undefined || line.password !== request.password) {
      return await this.#refuse(407, "no such job", 'Proxy-Authenticate: Basic realm="runner"\r\n');
    }
    this.#line = line;
    line.sockets.add(this.#client);
    try {
      return request.method === "CONNECT" ? await this.#tunnel(request, line) : await this.#forward(request, line);
    } catch (error) {
      if (error instanceof DialRefused) {
        line.refusal ??= { code: "policy_denied", reason: error.message };
        return await this.#refuse(403, error.message);
      }
      throw error;
    }
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#closeUpstream();
    this.#line?.sockets.delete(this.#client);
    this.#client.close();
  }

  async #tunnel(request: RequestHead, line: LineState): Promise<boolean> {
    const upstream = await this.#connect(`https://${request.target}`, request.target, line);
    await this.#client.write(encode("HTTP/1.1 200 Connection established\r\n\r\n"));
    const closeBoth = () => {
      upstream.close();
      this.#client.close();
    };
    await Promise.all([
      this.#client.copyTo(upstream, Infinity, () => this.#touch()).finally(closeBoth),
      upstream.copyTo(this.#client, Infinity, (bytes) => this.#count(bytes, line)).finally(closeBoth),
    ]);
    return false;
  }

  async #forward(request: RequestHead, line: LineState): Promise<boolean> {
    const host = new URL(request.target).host;
    const kept = this.#upstream !== null && this.#upstream.host === host && !this.#upstream.socket.closed;
    let response = kept ? await this.#ask(this.#upstream!.socket, request).catch(() => null) : null;
    if (response === null) { // a kept connection may have been closed by the host meanwhile: ask once more on a new one
      if (kept && request.bodyLength > 0) throw new Deno.errors.ConnectionReset("kept connection closed");
      response = await this.#ask(await this.#connect(request.target, host, line), request);
    }
    if (response === null) throw new Deno.errors.UnexpectedEof("host closed without an answer");
    const upstream = this.#upstream!.socket;
    await this.#client.write(encode(response.text));
    const length = response.bodyLength(request.method);
    const count = (bytes: number) => this.#count(bytes, line);
    const whole = length === "chunked"
      ? await upstream.copyChunkedTo(this.#client, count)
      : await upstream.copyTo(this.#client, length, count);
    return whole && length !== Infinity && response.keepAlive && request.keepAlive;
  }

  async #ask(upstream: ByteSocket, request: RequestHead): Promise<ResponseHead | null> {
    await upstream.write(encode(request.originForm));
    await this.#client.copyTo(upstream, request.bodyLength, () => this.#touch());
    for (;;) {
      const text = await upstream.readHead();
      if (text === null) return null;
      const response = parseResponseHead(text);
      if (response === null) throw new Deno.errors.InvalidData("host sent no HTTP answer");
      if (response.status >= 200) return response; // 100 and 103 are of no use to a download
    }
  }

  async #connect(target: string, host: string, line: LineState): Promise<ByteSocket> {
    this.#closeUpstream();
    const conn = await dial(target, {
      policy: line.policy,
      lookup: this.#options.lookup,
      ...(this.#options.connect ? { connect: this.#options.connect } : {}),
    });
    const socket = new ByteSocket(conn);
    this.#upstream = { host, socket, line };
    line.sockets.add(socket);
    return socket;
  }

  #closeUpstream(): void {
    if (this.#upstream === null) return;
    this.#upstream.socket.close();
    this.#upstream.line.sockets.delete(this.#upstream.socket);
    this.#upstream = null;
  }

  #count(bytes: number, line: LineState): void {
    this.#touch();
    line.received += bytes;
    if (line.received <= line.maxBytes) return;
    line.refusal ??= { code: "too_large", reason: `more than ${line.maxBytes} bytes` };
    throw new Deno.errors.InvalidData("quota exceeded");
  }

  #lastTouch = 0;
  #touch(): void {
    const now = performance.now();
    if (now - this.#lastTouch < 1000) return; // a timer per piece would cost more than the piece
    this.#lastTouch = now;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.close(), IDLE_MS);
  }

  async #refuse(status: number, reason: string, extra = ""): Promise<false> {
    const body = `${reason}\n`;
    await this.#client.write(
      encode(
        `HTTP/1.1 ${status} Refused\r\n${extra}Keepstream-Refused: ${reason}\r\nContent-Type: text/plain\r\n` +
          `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      ),
    );
    return false;
  }
}

/** Header text is bytes; Latin-1 out as it came in. */
function encode(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
