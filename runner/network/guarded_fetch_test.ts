import assert from "node:assert/strict";
import { startForwardProxy } from "./forward_proxy.ts";
import { createGuardedFetch, type MediaRequest, openMedia } from "./guarded_fetch.ts";

type Asked = { readonly url: string; readonly range: string | null; readonly encoding: string | null };

/** Opens `url` on a host whose responses are given by path. */
function open(
  url: string,
  responses: Readonly<Record<string, () => Response>>,
  more: Partial<MediaRequest> = {},
) {
  const asked: Asked[] = [];
  const fetch = (requested: string, init?: RequestInit) => {
    const headers = new Headers(init?.headers);
    asked.push({ url: requested, range: headers.get("range"), encoding: headers.get("accept-encoding") });
    const found = responses[new URL(requested).pathname];
    return Promise.resolve(found === undefined ? new Response("media") : found());
  };
  const request = { fetch, policy: {}, headers: {}, signal: new AbortController().signal, ...more };
  const opened = openMedia(url, request);
  return { opened, asked };
}

function redirect(location: string, status = 302): () => Response {
  return () => new Response(null, { status, headers: { location } });
}

const REDIRECTS: readonly (readonly [title: string, location: string, url: string])[] = [
  ["relative", "b.ts?x=1", "https://a.test/v/b.ts?x=1"],
  ["from the root", "/b.ts", "https://a.test/b.ts"],
  ["up a directory", "../b.ts", "https://a.test/b.ts"],
  ["another host", "//b.test/b.ts", "https://b.test/b.ts"],
  ["absolute, another scheme", "http://b.test/b.ts", "http://b.test/b.ts"],
  ["a query only", "?token=1", "https://a.test/v/a.ts?token=1"],
];

for (const [title, location, url] of REDIRECTS) {
  Deno.test(`openMedia: redirect, ${title} → followed, with its Range`, async () => {
    for (const status of [301, 302, 303, 307, 308]) {
      let first = true;
      const once = () => {
        const response = first ? redirect(location, status)() : new Response("media");
        first = false;
        return response;
      };
      const { opened, asked } = open("https://a.test/v/a.ts", { "/v/a.ts": once }, {
        range: { start: 5, end: 9 },
      });
      assert.equal((await opened).url, url);
      assert.deepEqual(asked.map(({ range }) => range), ["bytes=5-9", "bytes=5-9"]);
    }
  });
}

Deno.test("openMedia: redirect to a private host, too many, unreadable → refused", async () => {
  const cases: [string, string, RegExp][] = [
    ["http://127.0.0.1/x", "policy_denied", /refused/],
    ["file:///etc/passwd", "invalid_input", /refused/],
    ["https://[broken", "unsupported", /cannot be parsed/],
    ["/a.ts", "unsupported", /redirects more than 5 times/],
  ];
  for (const [location, code, message] of cases) {
    const { opened, asked } = open("https://a.test/a.ts", { "/a.ts": redirect(location) });
    await assert.rejects(opened, { code, message });
    assert.ok(asked.length <= 6);
  }
});

Deno.test("openMedia: a redirect without Location → its status", async () => {
  const { opened } = open("https://a.test/a.ts", { "/a.ts": () => new Response(null, { status: 302 }) });
  await assert.rejects(opened, { code: "source_expired", message: /responded with 302/ });
});

const IN_A_MINUTE = () => new Date(Date.now() + 60_000).toUTCString();

const REFUSALS:
  readonly (readonly [status: number, headers: HeadersInit, code: string, message: RegExp, after?: number])[] = [
    [404, {}, "source_expired", /a\.ts\?… responded with 404$/],
    [401, { "set-cookie": "session=secret" }, "source_expired", /401: the host requires a cookie$/],
    [403, { "set-cookie": "session=secret" }, "source_expired", /403: the host requires a cookie$/],
    [403, {}, "source_expired", /403$/],
    [404, { "set-cookie": "session=secret" }, "source_expired", /404$/],
    [408, {}, "upstream_5xx", /408/],
    [429, { "retry-after": "7" }, "rate_limited", /429/, 7],
    [509, { "retry-after": IN_A_MINUTE() }, "rate_limited", /509/, 60],
    [503, { "retry-after": IN_A_MINUTE() }, "upstream_5xx", /503/, 60],
    [503, { "retry-after": "0" }, "upstream_5xx", /503/],
    [503, { "retry-after": "soon" }, "upstream_5xx", /503/],
    [429, { "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }, "rate_limited", /429/],
  ];

for (const [status, headers, code, message, after] of REFUSALS) {
  const what = Object.entries(headers).map(([name, value]) => `${name} ${String(value).slice(0, 12)}`).join();
  Deno.test(`openMedia: ${status} ${what} → ${code}`, async () => {
    const { opened } = open("https://a.test/a.ts?token=secret", {
      "/a.ts": () => new Response("x", { status, headers }),
    });
    await assert.rejects(opened, (error) => {
      const { retryAfterSeconds, ...rest } = error as { code: string; message: string; retryAfterSeconds?: number };
      assert.equal(rest.code, code);
      assert.match((error as Error).message, message);
      assert.doesNotMatch((error as Error).message, /secret/);
      if (after === undefined) assert.equal(retryAfterSeconds, undefined);
      else assert.ok(retryAfterSeconds! > after - 10 && retryAfterSeconds! <= after, `${retryAfterSeconds}`);
      return true;
    });
  });
}

Deno.test("openMedia: 403 with the required cookie → repeated with it", async () => {
  const asked: (string | null)[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ headers }) => {
    asked.push(headers.get("cookie"));
    if (headers.get("cookie") === "pass=1") return new Response("media");
    return new Response("no", { status: 403, headers: { "set-cookie": "pass=1; Path=/" } });
  });
  await using proxy = startForwardProxy();
  const url = `http://127.0.0.1:${server.addr.port}`;
  const policy = { allowedOrigins: [url] };
  const session = proxy.openSession({ policy, maxBytes: 1e6 });
  const request = { fetch: createGuardedFetch(session), policy, headers: {}, signal: new AbortController().signal };
  assert.equal(await (await openMedia(`${url}/a.ts`, request)).response.text(), "media");
  assert.deepEqual(asked, [null, "pass=1"]);
  session.close();
  await server.shutdown();
});

Deno.test("openMedia: 416 → repeated without a range; then refused", async () => {
  let first = true;
  const once = () => {
    const response = first ? new Response(null, { status: 416 }) : new Response("media");
    first = false;
    return response;
  };
  const small = open("https://a.test/a.ts", { "/a.ts": once }, { range: { start: 0, end: 9 } });
  assert.equal(await (await small.opened).response.text(), "media");
  assert.deepEqual(small.asked.map(({ range }) => range), ["bytes=0-9", null]);
  const always = { "/a.ts": () => new Response(null, { status: 416 }) };
  for (const more of [{}, { range: { start: 0, end: 9 } }]) {
    await assert.rejects(open("https://a.test/a.ts", always, more).opened, { message: /416/ });
  }
});

Deno.test("openMedia: always asks for an uncompressed body", async () => {
  const { opened, asked } = open("https://a.test/a.ts", {}, { headers: { "accept-encoding": "br" } });
  await opened;
  assert.equal(asked[0]!.encoding, "identity");
});

/** A host that closes a kept connection when the second request arrives, `resets` times. */
function resettingHost(resets: number) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let left = resets;
  const serving = (async () => {
    for await (const conn of listener) void serve(conn).catch(() => {});
  })();
  async function serve(conn: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(4096);
    for (let request = 0; await conn.read(buffer) !== null; request++) {
      if (request > 0 && left-- > 0) break;
      await conn.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nmedia"));
    }
    conn.close();
  }
  return {
    url: `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await serving;
    },
  };
}

Deno.test("openMedia: kept connection closed by the host → repeated on a new one", async () => {
  await using host = resettingHost(3);
  await using proxy = startForwardProxy();
  const policy = { allowedOrigins: [host.url] };
  const session = proxy.openSession({ policy, maxBytes: 1e6 });
  const request = { fetch: createGuardedFetch(session), policy, headers: {}, signal: new AbortController().signal };
  for (let i = 0; i < 6; i++) {
    assert.equal(await (await openMedia(`${host.url}/${i}`, request)).response.text(), "media");
  }
  session.close();
});

Deno.test("openMedia: [::1] → through the forward proxy; not allowed → refused", async () => {
  const server = Deno.serve({ hostname: "::1", port: 0, onListen: () => {} }, () => new Response("media"));
  await using proxy = startForwardProxy();
  const url = `http://[::1]:${server.addr.port}`;
  const policy = { allowedOrigins: [url] };
  const session = proxy.openSession({ policy, maxBytes: 1e6 });
  const request = { fetch: createGuardedFetch(session), headers: {}, signal: new AbortController().signal };
  assert.equal(await (await openMedia(`${url}/a.ts`, { ...request, policy })).response.text(), "media");
  await assert.rejects(openMedia(`${url}/a.ts`, { ...request, policy: {} }), { code: "policy_denied" });
  session.close();
  await server.shutdown();
});
