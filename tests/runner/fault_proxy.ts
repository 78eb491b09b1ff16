/**
 * A proxy between one runner and a server. It sees every call before and after, and may drop the request, drop the response, or respond
 * itself. Dropped means that the connection breaks. Example: `startFaultProxy({ upstream, nameOf, strike })`.
 */
import { listenBreakable } from "../../dev/emulators/hub/breakable_listener.ts";

export type Call = {
  readonly name: string;
  /** before: the server has not received it; after: the server has executed it. */
  readonly when: "before" | "after";
  /** The request (before) or the response (after). */
  readonly text: string;
};

export type Verdict =
  | "pass"
  | "lose"
  /** Only before: the server executes it, and the response is dropped. */
  | "lose_response"
  | { readonly status: number; readonly body: string };

export type FaultProxy = AsyncDisposable & { readonly url: string };

export function startFaultProxy(options: {
  upstream: string;
  nameOf: (method: string, path: string) => string;
  strike: (call: Call) => Verdict | Promise<Verdict>;
  /** Rewrites JSON responses, for example URLs that would bypass this proxy. */
  rewrite?: (text: string) => string;
}): FaultProxy {
  const server = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen: () => {},
    onError: () => new Response(null, { status: 502 }),
  }, async (request, info) => {
    const lost = () => {
      breakable.breakConnection(info.remoteAddr.port);
      return new Response(null, { status: 502 }); // never received
    };
    const { pathname, search } = new URL(request.url);
    const name = options.nameOf(request.method, pathname);
    const body = request.body === null ? null : await request.bytes();
    const before = await options.strike({ name, when: "before", text: textOf(body, request.headers) });
    if (before === "lose") return lost();
    if (typeof before === "object") return jsonResponse(before);
    const headers = new Headers(request.headers);
    for (const own of ["host", "content-length", "accept-encoding", "connection"]) headers.delete(own);
    using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 }); // dropped requests must not be repeated here
    const init = { method: request.method, headers, body, redirect: "manual", client } as const;
    const response = await fetch(`${options.upstream}${pathname}${search}`, init);
    const bytes = await response.bytes();
    const after = await options.strike({ name, when: "after", text: textOf(bytes, response.headers) });
    if (before === "lose_response" || after === "lose" || after === "lose_response") return lost();
    if (typeof after === "object") return jsonResponse(after);
    const kept = new Headers(response.headers);
    for (const own of ["content-length", "content-encoding", "connection"]) kept.delete(own);
    if (response.body === null || [204, 304].includes(response.status)) {
      return new Response(null, { status: response.status, headers: kept });
    }
    const text = textOf(bytes, response.headers);
    return new Response(options.rewrite && text ? options.rewrite(text) : bytes, {
      status: response.status,
      headers: kept,
    });
  });
  const breakable = listenBreakable({ port: 0, innerPort: server.addr.port });
  return {
    url: `http://127.0.0.1:${breakable.port}`,
    async [Symbol.asyncDispose]() {
      await breakable.stop();
      await server.shutdown();
    },
  };
}

function textOf(bytes: Uint8Array | null, headers: Headers): string {
  return bytes !== null && /json/.test(headers.get("content-type") ?? "") ? new TextDecoder().decode(bytes) : "";
}

function jsonResponse(verdict: { status: number; body: string }): Response {
  return new Response(verdict.body, { status: verdict.status, headers: { "content-type": "application/json" } });
}
