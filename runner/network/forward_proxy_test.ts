import assert from "node:assert/strict";
import { startForwardProxy } from "./forward_proxy.ts";
import { createGuardedFetch, openMedia } from "./guarded_fetch.ts";

Deno.test("forward proxy: session closed during a request → not sent again", async () => {
  const requests: string[] = [];
  const held = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    requests.push(pathname);
    if (pathname !== "/held") return new Response("media");
    request.signal.addEventListener("abort", () => ended.resolve());
    held.resolve();
    await ended.promise;
    return new Response("late");
  });
  await using proxy = startForwardProxy();
  const url = `http://127.0.0.1:${server.addr.port}`;
  const policy = { allowedOrigins: [url] };
  const session = proxy.openSession({ policy, maxBytes: 1e6 });
  const request = { fetch: createGuardedFetch(session), policy, headers: {}, signal: new AbortController().signal };
  await (await openMedia(`${url}/first`, request)).response.text(); // its connection is kept
  const running = openMedia(`${url}/held`, request);
  await held.promise;
  session.close();
  await assert.rejects(running);
  await ended.promise;
  const next = proxy.openSession({ policy, maxBytes: 1e6 });
  await (await openMedia(`${url}/next`, { ...request, fetch: createGuardedFetch(next) })).response.text();
  assert.deepEqual(requests, ["/first", "/held", "/next"]);
  next.close();
  await server.shutdown();
});
