/**
 * A gateway between one runner and the database that can lose a request, lose a reply, or strike at an exact call.
 * Example: `armed.next({ rpc: "upsert_video_store", when: "after", effect: "lose" })`. Runs on: Deno.
 */

export type Effect = "refuse" | "lose" | "kill";

export type Strike = {
  readonly rpc: string;
  /** before: the database never hears of it; after: it has done it. */
  readonly when: "before" | "after";
  readonly effect: Effect;
  /** Looks into the request (before) or the answer (after). */
  readonly where?: (text: string) => boolean;
};

/** At most one strike waits; the first call of any runner that fits takes it. */
export class Armed {
  #strike: { strike: Strike; done: () => void } | null = null;

  /** Resolves when it struck. */
  next(strike: Strike): Promise<void> {
    return new Promise((done) => this.#strike = { strike, done });
  }

  take(call: { rpc: string; when: "before" | "after"; text: string }): Effect | null {
    const waiting = this.#strike;
    if (waiting === null || waiting.strike.rpc !== call.rpc || waiting.strike.when !== call.when) return null;
    if (waiting.strike.where && !waiting.strike.where(call.text)) return null;
    this.#strike = null;
    waiting.done();
    return waiting.strike.effect;
  }

  disarm(): void {
    this.#strike = null;
  }
}

export type FlakyGateway = AsyncDisposable & { readonly url: string };

export function startFlakyGateway(options: {
  upstream: string;
  armed: Armed;
  /** Kills the runner behind this gateway. */
  kill: () => void;
  /** Chance that a call is refused, and that its reply is lost. */
  rate: () => number;
  random: () => number;
}): FlakyGateway {
  const { armed, random } = options;
  const strike = (effect: Effect | null): Response | null => {
    if (effect === "kill") options.kill();
    return effect === null ? null : new Response('{"message":"chaos"}', { status: effect === "refuse" ? 503 : 502 });
  };
  const server = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen: () => {},
    onError: () => new Response(null, { status: 500 }),
  }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const rpc = /\/rpc\/(\w+)$/.exec(pathname)?.[1] ?? "";
    const body = request.method === "GET" ? null : await request.text();
    const before = strike(armed.take({ rpc, when: "before", text: body ?? "" })) ??
      (random() < options.rate() ? strike("refuse") : null);
    if (before !== null) return before;
    const headers = new Headers(request.headers);
    headers.delete("host");
    headers.delete("content-length");
    headers.delete("accept-encoding");
    const answer = await fetch(`${options.upstream}${pathname}${search}`, { method: request.method, headers, body });
    const text = await answer.text();
    const after = strike(armed.take({ rpc, when: "after", text })) ??
      (random() < options.rate() ? strike("lose") : null);
    if (after !== null) return after;
    const kept = new Headers(answer.headers);
    kept.delete("content-length");
    kept.delete("content-encoding");
    const empty = answer.status === 204 || answer.status === 304;
    return new Response(empty ? null : text, { status: answer.status, headers: kept });
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, [Symbol.asyncDispose]: () => server.shutdown() };
}
