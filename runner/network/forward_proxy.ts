/**
 * An HTTP forward proxy on loopback (CONNECT and absolute-form), the only way out for downloads by aria2c and fetch. It resolves a host
 * name once, refuses private addresses, connects to the checked address, and limits the bytes of a job.
 * Example: `const session = proxy.openSession({ policy, maxBytes })`; `fetch(url, { client: session.client })`.
 * docs/decisions/0019-own-forward-proxy.md compares it with proxy-chain.
 */
import { CookieJar } from "../../core/cookies.ts";
import type { UrlPolicy } from "../../core/url_policy.ts";
import { ByteSocket } from "./byte_socket.ts";
import { dial, DialRefused, type Lookup, systemLookup } from "./dial.ts";
import { parseRequestHead, parseResponseHead, type RequestHead, type ResponseHead } from "./http_head.ts";

/** Idle timeout of a connection, in both directions. */
const IDLE_MS = 60_000;

export type Refusal = { readonly code: "policy_denied" | "too_large"; readonly reason: string };

/** A job's access to the proxy. Closing it closes all its connections. */
export type ProxySession = {
  /** `http://127.0.0.1:PORT`, for programs that take the credentials separately. */
  readonly proxyUrl: string;
  readonly username: string;
  readonly password: string;
  readonly client: Deno.HttpClient;
  /** The cookies of the job's requests. */
  readonly cookies: CookieJar;
  /** Bytes received from hosts. */
  readonly received: () => number;
  /** The first refusal, if there was one. */
  readonly refusal: () => Refusal | null;
  readonly close: () => void;
};

export type ForwardProxy = AsyncDisposable & {
  readonly port: number;
  readonly openSession: (options: { policy: UrlPolicy; maxBytes: number }) => ProxySession;
};

type SessionState = {
  readonly password: string;
  readonly policy: UrlPolicy;
  readonly maxBytes: number;
  readonly sockets: Set<ByteSocket>;
  received: number;
  refusal: Refusal | null;
  closed: boolean;
};

export function startForwardProxy(options: { lookup?: Lookup; connect?: typeof Deno.connect } = {}): ForwardProxy {
  const lookup = options.lookup ?? systemLookup;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = listener.addr.port;
  const sessions = new Map<string, SessionState>();
  const sockets = new Set<ByteSocket>();
  const serving = acceptAll();

  function openSession(request: { policy: UrlPolicy; maxBytes: number }): ProxySession {
    const username = `job-${crypto.randomUUID().slice(0, 8)}`;
    const state: SessionState = {
      ...request,
      password: crypto.randomUUID(),
      sockets: new Set(),
      received: 0,
      refusal: null,
      closed: false,
    };
    sessions.set(username, state);
    const proxyUrl = `http://127.0.0.1:${port}`;
    const client = Deno.createHttpClient({
      proxy: { url: proxyUrl, basicAuth: { username, password: state.password } },
      http2: false, // all segments would share one HTTP/2 connection, which hosts throttle
      poolMaxIdlePerHost: 64,
    });
    return {
      proxyUrl,
      username,
      password: state.password,
      cookies: new CookieJar(),
      client,
      received: () => state.received,
      refusal: () => state.refusal,
      close: () => {
        if (state.closed) return;
        state.closed = true;
        sessions.delete(username);
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
    const connection = new ClientConnection(client, { sessions, lookup, connect: options.connect });
    try {
      while (await connection.next());
    } catch {
      // The client sees its connection close, and retries or reports it.
    } finally {
      connection.close();
      sockets.delete(client);
    }
  }

  async function stop(): Promise<void> {
    listener.close();
    for (const socket of sockets) socket.close();
    for (const state of sessions.values()) for (const socket of state.sockets) socket.close();
    await serving;
  }
  return { port, openSession, [Symbol.asyncDispose]: stop };
}

/** A client connection: sequential requests; the upstream connection is kept while the host stays the same. */
class ClientConnection {
  readonly #client: ByteSocket;
  readonly #options: { sessions: Map<string, SessionState>; lookup: Lookup; connect?: typeof Deno.connect | undefined };
  #upstream: { readonly host: string; readonly socket: ByteSocket; session: SessionState } | null = null;
  #session: SessionState | null = null;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(
    client: ByteSocket,
    options: { sessions: Map<string, SessionState>; lookup: Lookup; connect?: typeof Deno.connect | undefined },
  ) {
    this.#client = client;
    this.#options = options;
  }

  /** Serves one request; returns whether another one may follow. */
  async next(): Promise<boolean> {
    clearTimeout(this.#idle);
    const text = await this.#client.readHead();
    if (text === null) return false;
    this.#touch();
    const request = parseRequestHead(text);
    if (request === null) return await this.#refuse(400, "malformed request");
    const session = this.#options.sessions.get(request.username ?? "");
    if (session === undefined || session.password !== request.password) {
      return await this.#refuse(407, "no such job", 'Proxy-Authenticate: Basic realm="runner"\r\n');
    }
    this.#session = session;
    session.sockets.add(this.#client);
    try {
      return request.method === "CONNECT"
        ? await this.#tunnel(request, session)
        : await this.#forward(request, session);
    } catch (error) {
      if (error instanceof DialRefused) {
        session.refusal ??= { code: "policy_denied", reason: error.message };
        return await this.#refuse(403, error.message);
      }
      throw error;
    }
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#closeUpstream();
    this.#session?.sockets.delete(this.#client);
    this.#client.close();
  }

  async #tunnel(request: RequestHead, session: SessionState): Promise<boolean> {
    const upstream = await this.#connect(`https://${request.target}`, request.target, session);
    await this.#client.write(encode("HTTP/1.1 200 Connection established\r\n\r\n"));
    const closeBoth = () => {
      upstream.close();
      this.#client.close();
    };
    await Promise.all([
      this.#client.copyTo(upstream, Infinity, () => this.#touch()).finally(closeBoth),
      upstream.copyTo(this.#client, Infinity, (bytes) => this.#count(bytes, session)).finally(closeBoth),
    ]);
    return false;
  }

  async #forward(request: RequestHead, session: SessionState): Promise<boolean> {
    const host = new URL(request.target).host;
    const kept = this.#upstream !== null && this.#upstream.host === host && !this.#upstream.socket.closed;
    let response = kept ? await this.#ask(this.#upstream!.socket, request).catch(() => null) : null;
    if (response === null) { // the host may have closed the kept connection: try a new one
      if (kept && request.bodyLength > 0) throw new Deno.errors.ConnectionReset("kept connection closed");
      response = await this.#ask(await this.#connect(request.target, host, session), request);
    }
    if (response === null) throw new Deno.errors.UnexpectedEof("host closed without a response");
    const upstream = this.#upstream!.socket;
    await this.#client.write(encode(response.text));
    const length = response.bodyLength(request.method);
    const count = (bytes: number) => this.#count(bytes, session);
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
      if (response === null) throw new Deno.errors.InvalidData("host sent no HTTP response");
      if (response.status >= 200) return response; // skip 100 and 103
    }
  }

  async #connect(target: string, host: string, session: SessionState): Promise<ByteSocket> {
    this.#closeUpstream();
    // Its kept connection was closed by this proxy, not by the host.
    if (session.closed) throw new Deno.errors.ConnectionAborted("the job has ended");
    const conn = await dial(target, {
      policy: session.policy,
      lookup: this.#options.lookup,
      ...(this.#options.connect ? { connect: this.#options.connect } : {}),
    });
    const socket = new ByteSocket(conn);
    if (session.closed) { // meanwhile
      socket.close();
      throw new Deno.errors.ConnectionAborted("the job has ended");
    }
    this.#upstream = { host, socket, session };
    session.sockets.add(socket);
    return socket;
  }

  #closeUpstream(): void {
    if (this.#upstream === null) return;
    this.#upstream.socket.close();
    this.#upstream.session.sockets.delete(this.#upstream.socket);
    this.#upstream = null;
  }

  #count(bytes: number, session: SessionState): void {
    this.#touch();
    session.received += bytes;
    if (session.received <= session.maxBytes) return;
    session.refusal ??= { code: "too_large", reason: `more than ${session.maxBytes} bytes` };
    throw new Deno.errors.InvalidData("quota exceeded");
  }

  #lastTouch = 0;
  #touch(): void {
    const now = performance.now();
    if (now - this.#lastTouch < 1000) return; // a timer per chunk would be expensive
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

/** Heads are Latin-1. */
function encode(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
