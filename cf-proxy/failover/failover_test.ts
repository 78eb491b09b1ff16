// Failover of files: the fresh URL is used only for bytes of the same file.
import assert from "node:assert/strict";
import type { LinkContext } from "../../core/link.ts";
import { verifyRefresh } from "../../core/refresh_request.ts";
import {
  bytesOf,
  type FixtureOptions,
  KEYS,
  media,
  pattern,
  type ProxyFixture,
  send,
  startProxyFixture,
  text,
} from "../../dev/testing/proxy_fixture.ts";

const FILE = pattern(50_000);
const OTHER = pattern(60_000).subarray(10_000);
const EMBED = "https://embed.test/e/1";
const episode: NonNullable<LinkContext["episode"]> = { malId: 55825, episode: 1, provider: "animasu", server: EMBED };
const sign = { context: { episode } };

const api: FixtureOptions = { vars: (originUrl) => ({ PUBLIC_API_URL: `${originUrl}/functions/v1` }) };

interface Server {
  readonly url: string;
  readonly url_resolved: string | null;
  readonly archived?: boolean;
}

/** The public API's response for the episode, as functions/streaming sends it. */
function respondWith(proxy: ProxyFixture, servers: readonly Server[]): void {
  proxy.route(
    "/functions/v1/streaming/55825/1",
    text(JSON.stringify({ success: true, data: { animasu: servers, other: null } }), "application/json"),
  );
}

function apiCalls(proxy: ProxyFixture): number {
  return proxy.seen.filter((one) => one.target.includes("?refresh=1")).length;
}

async function playFirst(proxy: ProxyFixture): Promise<void> {
  proxy.route("/old.mp4", media(FILE));
  const response = await proxy.get("/old.mp4", { sign, headers: { range: "bytes=0-999" } });
  assert.equal(response.status, 206);
  assert.deepEqual(await bytesOf(response), FILE.slice(0, 1000));
}

function expire(proxy: ProxyFixture, status: number): void {
  proxy.route("/old.mp4", (_request, response) => send(response, status, { "content-type": "text/plain" }, "gone"));
}

for (const status of [401, 403, 404, 410]) {
  Deno.test(`failover: ${status} during playback → same range of the fresh URL`, async () => {
    await using proxy = await startProxyFixture(api);
    await playFirst(proxy);
    expire(proxy, status);
    proxy.route("/new.mp4", media(FILE));
    respondWith(proxy, [{ url: "https://embed.test/e/2", url_resolved: `${proxy.url}/wrong.mp4` }, {
      url: EMBED,
      url_resolved: `${proxy.url}/new.mp4`,
    }]);
    for (const start of [1000, 2000, 3000]) {
      const response = await proxy.get("/old.mp4", {
        sign,
        headers: { range: `bytes=${start}-${start + 999}`, "if-range": '"v1"' },
      });
      assert.equal(response.status, 206);
      assert.equal(response.headers.get("content-range"), `bytes ${start}-${start + 999}/50000`);
      assert.deepEqual(await bytesOf(response), FILE.slice(start, start + 1000));
    }
    assert.equal(apiCalls(proxy), 1);
    const request = proxy.seen.find((one) => one.target.includes("?refresh=1"))!;
    const { pathname, searchParams } = new URL(request.target, proxy.url);
    assert.equal(pathname, "/functions/v1/streaming/55825/1");
    assert.equal(searchParams.get("refresh"), "1");
    assert.equal(await verifyRefresh(searchParams, episode, { keys: KEYS, now: Date.now() / 1000 }), true);
  });
}

const refusals: Record<string, (proxy: ProxyFixture) => void> = {
  "of another size": (proxy) => proxy.route("/new.mp4", media(FILE.subarray(1))),
  "with another tag": (proxy) => proxy.route("/new.mp4", media(OTHER, { etag: '"v2"' })),
  "with no tag and another date": (proxy) =>
    proxy.route(
      "/new.mp4",
      (_request, response) =>
        send(response, 206, {
          "content-type": "video/mp4",
          "content-range": "bytes 1000-1999/50000",
          "last-modified": "Fri, 02 Jan 2026 00:00:00 GMT",
        }, OTHER.slice(1000, 2000)),
    ),
  "with no validator at all": (proxy) =>
    proxy.route(
      "/new.mp4",
      (_request, response) =>
        send(
          response,
          206,
          { "content-type": "video/mp4", "content-range": "bytes 1000-1999/50000" },
          OTHER.slice(1000, 2000),
        ),
    ),
  "that has expired, too": (proxy) => proxy.route("/new.mp4", (_request, response) => send(response, 403, {})),
};

for (const [what, route] of Object.entries(refusals)) {
  Deno.test(`failover: fresh URL ${what} → 410, none of its bytes`, async () => {
    await using proxy = await startProxyFixture(api);
    await playFirst(proxy);
    expire(proxy, 403);
    route(proxy);
    respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/new.mp4` }]);
    const response = await proxy.get("/old.mp4", { sign, headers: { range: "bytes=1000-1999" } });
    assert.equal(response.status, 410);
    assert.match(response.headers.get("content-type")!, /problem\+json/);
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    const problem = await response.json();
    assert.equal(problem.code, "source_expired");
    assert.equal(problem.episode_url, `${proxy.url}/functions/v1/streaming/55825/1`);
  });
}

const noAddress: Record<string, (proxy: ProxyFixture) => void> = {
  "has only the archive's copy": (proxy) =>
    respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/new.mp4`, archived: true }]),
  "has the expired URL": (proxy) => respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/old.mp4` }]),
  "has no URL": (proxy) => respondWith(proxy, [{ url: EMBED, url_resolved: null }]),
  "names a private host": (proxy) =>
    respondWith(proxy, [{ url: EMBED, url_resolved: "http://169.254.169.254/new.mp4" }]),
  "fails": (proxy) => proxy.route("/functions/", (_request, response) => send(response, 500, {}, "no")),
  "sends no JSON": (proxy) => proxy.route("/functions/", text("<html>", "text/html")),
};

for (const [what, route] of Object.entries(noAddress)) {
  Deno.test(`failover: API ${what} → 410 source_expired`, async () => {
    await using proxy = await startProxyFixture(api);
    await playFirst(proxy);
    expire(proxy, 403);
    proxy.route("/new.mp4", media(FILE));
    route(proxy);
    const response = await proxy.get("/old.mp4", { sign, headers: { range: "bytes=1000-1999" } });
    assert.equal(response.status, 410);
    assert.equal((await response.json()).code, "source_expired");
    assert.equal(apiCalls(proxy), 1);
  });
}

for (const what of ["has no URL", "fails", "names a private host"]) {
  Deno.test(`failover: API ${what}, several ranges → one request a minute`, async () => {
    await using proxy = await startProxyFixture(api);
    await playFirst(proxy);
    expire(proxy, 403);
    noAddress[what]!(proxy);
    for (const start of [1000, 2000, 3000]) {
      const response = await proxy.get("/old.mp4", { sign, headers: { range: `bytes=${start}-${start + 999}` } });
      assert.equal(response.status, 410);
      assert.equal((await response.json()).code, "source_expired");
    }
    assert.equal(apiCalls(proxy), 1);
  });
}

Deno.test("failover: another file → one request a minute and server", async () => {
  await using proxy = await startProxyFixture(api);
  await playFirst(proxy);
  expire(proxy, 403);
  proxy.route("/new.mp4", media(OTHER, { etag: '"v2"' }));
  const other = { ...episode, server: "https://embed.test/e/2" };
  respondWith(proxy, [
    { url: EMBED, url_resolved: `${proxy.url}/new.mp4` },
    { url: other.server, url_resolved: `${proxy.url}/other.mp4` },
  ]);
  for (const start of [1000, 2000]) {
    const response = await proxy.get("/old.mp4", { sign, headers: { range: `bytes=${start}-${start + 999}` } });
    assert.equal(response.status, 410);
    await response.body?.cancel();
  }
  assert.equal(apiCalls(proxy), 1);
  proxy.route("/other.mp4", media(FILE));
  const whole = await proxy.get("/old.mp4", { sign: { context: { episode: other } } });
  assert.equal(whole.status, 200);
  assert.deepEqual(await bytesOf(whole), FILE);
  assert.equal(apiCalls(proxy), 2);
});

Deno.test("failover: two servers with one URL → relocated separately", async () => {
  await using proxy = await startProxyFixture(api);
  await playFirst(proxy);
  expire(proxy, 403);
  proxy.route("/new.mp4", media(FILE));
  const other = { ...episode, server: "https://embed.test/e/2" };
  respondWith(proxy, [
    { url: EMBED, url_resolved: `${proxy.url}/new.mp4` },
    { url: other.server, url_resolved: null },
  ]);
  const range = { headers: { range: "bytes=1000-1999" } };
  const response = await proxy.get("/old.mp4", { sign, ...range });
  assert.deepEqual(await bytesOf(response), FILE.slice(1000, 2000));
  const others = await proxy.get("/old.mp4", { sign: { context: { episode: other } }, ...range });
  assert.equal(others.status, 410);
  await others.body?.cancel();
});

Deno.test("failover: expired before playback → whole GET served, range → 410", async () => {
  await using proxy = await startProxyFixture(api);
  expire(proxy, 403);
  proxy.route("/new.mp4", media(FILE));
  respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/new.mp4` }]);
  const range = await proxy.get("/old.mp4", { sign, headers: { range: "bytes=1000-1999" } });
  assert.equal(range.status, 410);
  await range.body?.cancel();
  const whole = await proxy.get("/old.mp4", { sign });
  assert.equal(whole.status, 200);
  assert.deepEqual(await bytesOf(whole), FILE);
});

Deno.test("failover: playlist → read from the fresh URL; unknown segment → 410", async () => {
  await using proxy = await startProxyFixture(api);
  proxy.route("/old/", (_request, response) => send(response, 403, {}));
  proxy.route("/new/m.m3u8", text("#EXTM3U\n#EXTINF:1,\na.ts\n"));
  respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/new/m.m3u8` }]);
  const playlist = await proxy.get("/old/m.m3u8", { sign: { ...sign, scopeDirectories: 1 } });
  assert.equal(playlist.status, 200);
  assert.match(await playlist.text(), /url=http%3A%2F%2F127\.0\.0\.1%3A\d+%2Fnew%2Fa\.ts/);
  const calls = apiCalls(proxy);
  const segment = await proxy.get("/old/a.ts", { sign: { ...sign, scopeDirectories: 1 } });
  assert.equal(segment.status, 410);
  await segment.body?.cancel();
  assert.equal(apiCalls(proxy), calls);
});

Deno.test("failover: link without an episode → the source's own status", async () => {
  await using proxy = await startProxyFixture(api);
  expire(proxy, 403);
  const response = await proxy.get("/old.mp4");
  assert.equal(response.status, 403);
  assert.equal(await response.text(), "gone");
  assert.equal(apiCalls(proxy), 0);
});
