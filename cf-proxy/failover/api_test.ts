// Playback that outlives its source: the fresh address is used only for bytes of the same file.
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

/** The public API's answer for the episode, as functions/streaming gives it. */
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
  const answer = await proxy.get("/old.mp4", { sign, headers: { range: "bytes=0-999" } });
  assert.equal(answer.status, 206);
  assert.deepEqual(await bytesOf(answer), FILE.slice(0, 1000));
}

function die(proxy: ProxyFixture, status: number): void {
  proxy.route("/old.mp4", (_request, response) => send(response, status, { "content-type": "text/plain" }, "gone"));
}

for (const status of [401, 403, 404, 410]) {
  Deno.test(`a source that answers ${status} mid-play: the fresh address goes on with the same range, and the API is asked once`, async () => {
    await using proxy = await startProxyFixture(api);
    await playFirst(proxy);
    die(proxy, status);
    proxy.route("/new.mp4", media(FILE));
    respondWith(proxy, [{ url: "https://embed.test/e/2", url_resolved: `${proxy.url}/wrong.mp4` }, {
      url: EMBED,
      url_resolved: `${proxy.url}/new.mp4`,
    }]);
    for (const start of [1000, 2000, 3000]) {
      const answer = await proxy.get("/old.mp4", {
        sign,
        headers: { range: `bytes=${start}-${start + 999}`, "if-range": '"v1"' },
      });
      assert.equal(answer.status, 206);
      assert.equal(answer.headers.get("content-range"), `bytes ${start}-${start + 999}/50000`);
      assert.deepEqual(await bytesOf(answer), FILE.slice(start, start + 1000));
    }
    assert.equal(apiCalls(proxy), 1);
    const asked = proxy.seen.find((one) => one.target.includes("?refresh=1"))!;
    const { pathname, searchParams } = new URL(asked.target, proxy.url);
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
  "that is dead, too": (proxy) => proxy.route("/new.mp4", (_request, response) => send(response, 403, {})),
};

for (const [what, route] of Object.entries(refusals)) {
  Deno.test(`a fresh address ${what} → 410 source_expired, and none of its bytes`, async () => {
    await using proxy = await startProxyFixture(api);
    await playFirst(proxy);
    die(proxy, 403);
    route(proxy);
    respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/new.mp4` }]);
    const answer = await proxy.get("/old.mp4", { sign, headers: { range: "bytes=1000-1999" } });
    assert.equal(answer.status, 410);
    assert.match(answer.headers.get("content-type")!, /problem\+json/);
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    const problem = await answer.json();
    assert.equal(problem.code, "source_expired");
    assert.equal(problem.episode_url, `${proxy.url}/functions/v1/streaming/55825/1`);
  });
}

const noAddress: Record<string, (proxy: ProxyFixture) => void> = {
  "knows only the archive's copy": (proxy) =>
    respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/new.mp4`, archived: true }]),
  "knows the dead address": (proxy) => respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/old.mp4` }]),
  "knows no address": (proxy) => respondWith(proxy, [{ url: EMBED, url_resolved: null }]),
  "names a private host": (proxy) =>
    respondWith(proxy, [{ url: EMBED, url_resolved: "http://169.254.169.254/new.mp4" }]),
  "fails": (proxy) => proxy.route("/functions/", (_request, response) => send(response, 500, {}, "no")),
  "answers nonsense": (proxy) => proxy.route("/functions/", text("<html>", "text/html")),
};

for (const [what, route] of Object.entries(noAddress)) {
  Deno.test(`an API that ${what} → 410 source_expired`, async () => {
    await using proxy = await startProxyFixture(api);
    await playFirst(proxy);
    die(proxy, 403);
    proxy.route("/new.mp4", media(FILE));
    route(proxy);
    const answer = await proxy.get("/old.mp4", { sign, headers: { range: "bytes=1000-1999" } });
    assert.equal(answer.status, 410);
    assert.equal((await answer.json()).code, "source_expired");
    assert.equal(apiCalls(proxy), 1);
  });
}

for (const what of ["knows no address", "fails", "names a private host"]) {
  Deno.test(`an API that ${what} is asked once a minute, however many ranges the dead link is asked for`, async () => {
    await using proxy = await startProxyFixture(api);
    await playFirst(proxy);
    die(proxy, 403);
    noAddress[what]!(proxy);
    for (const start of [1000, 2000, 3000]) {
      const answer = await proxy.get("/old.mp4", { sign, headers: { range: `bytes=${start}-${start + 999}` } });
      assert.equal(answer.status, 410);
      assert.equal((await answer.json()).code, "source_expired");
    }
    assert.equal(apiCalls(proxy), 1);
  });
}

Deno.test("a server that moved to another file is asked for once a minute, and other servers of the episode are still asked for", async () => {
  await using proxy = await startProxyFixture(api);
  await playFirst(proxy);
  die(proxy, 403);
  proxy.route("/new.mp4", media(OTHER, { etag: '"v2"' }));
  const other = { ...episode, server: "https://embed.test/e/2" };
  respondWith(proxy, [
    { url: EMBED, url_resolved: `${proxy.url}/new.mp4` },
    { url: other.server, url_resolved: `${proxy.url}/other.mp4` },
  ]);
  for (const start of [1000, 2000]) {
    const answer = await proxy.get("/old.mp4", { sign, headers: { range: `bytes=${start}-${start + 999}` } });
    assert.equal(answer.status, 410);
    await answer.body?.cancel();
  }
  assert.equal(apiCalls(proxy), 1);
  proxy.route("/other.mp4", media(FILE));
  const whole = await proxy.get("/old.mp4", { sign: { context: { episode: other } } });
  assert.equal(whole.status, 200);
  assert.deepEqual(await bytesOf(whole), FILE);
  assert.equal(apiCalls(proxy), 2);
});

Deno.test("where one server's file moved to is not where another's did, though both named one address", async () => {
  await using proxy = await startProxyFixture(api);
  await playFirst(proxy);
  die(proxy, 403);
  proxy.route("/new.mp4", media(FILE));
  const other = { ...episode, server: "https://embed.test/e/2" };
  respondWith(proxy, [
    { url: EMBED, url_resolved: `${proxy.url}/new.mp4` },
    { url: other.server, url_resolved: null },
  ]);
  const range = { headers: { range: "bytes=1000-1999" } };
  const answer = await proxy.get("/old.mp4", { sign, ...range });
  assert.deepEqual(await bytesOf(answer), FILE.slice(1000, 2000));
  const others = await proxy.get("/old.mp4", { sign: { context: { episode: other } }, ...range });
  assert.equal(others.status, 410);
  await others.body?.cancel();
});

Deno.test("a link that was dead before it played: a whole GET begins at the fresh address, a range does not", async () => {
  await using proxy = await startProxyFixture(api);
  die(proxy, 403);
  proxy.route("/new.mp4", media(FILE));
  respondWith(proxy, [{ url: EMBED, url_resolved: `${proxy.url}/new.mp4` }]);
  const range = await proxy.get("/old.mp4", { sign, headers: { range: "bytes=1000-1999" } });
  assert.equal(range.status, 410);
  await range.body?.cancel();
  const whole = await proxy.get("/old.mp4", { sign });
  assert.equal(whole.status, 200);
  assert.deepEqual(await bytesOf(whole), FILE);
});

Deno.test("a playlist whose address died is read anew from the fresh one; a segment of it is not guessed → 410", async () => {
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

Deno.test("a dead source of a link that names no episode keeps its own status", async () => {
  await using proxy = await startProxyFixture(api);
  die(proxy, 403);
  const answer = await proxy.get("/old.mp4");
  assert.equal(answer.status, 403);
  assert.equal(await answer.text(), "gone");
  assert.equal(apiCalls(proxy), 0);
});
