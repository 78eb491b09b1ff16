// Takedowns in workerd: responses to links that were signed before the takedown.
import assert from "node:assert/strict";
import { type DenyList, signDenyList } from "../../core/deny_list.ts";
import type { LinkContext } from "../../core/link.ts";
import {
  codeOf,
  KEYS,
  media,
  pattern,
  type ProxyFixture,
  startProxyFixture,
  text,
} from "../../dev/testing/proxy_fixture.ts";

const FILE = pattern(1000);
const EPISODE = { malId: 55825, episode: 1, provider: "p", server: "https://embed.test/1" };
const NAME = `keepstream-55825/55825/ep1/${"0123456789abcdef".repeat(2)}.mp4`;

async function publish(
  proxy: ProxyFixture,
  list: Partial<DenyList>,
  prefix = "/functions/v1/streaming",
): Promise<void> {
  const full = { issuedAt: Math.floor(Date.now() / 1000), titles: [], episodes: [], ...list };
  proxy.route(`${prefix}/takedowns`, text(await signDenyList(full, KEYS), "application/json"));
}

async function startWithApi(path = "/functions/v1"): Promise<ProxyFixture> {
  const proxy = await startProxyFixture({
    vars: (origin) => ({
      PUBLIC_API_URL: origin + path,
      HF_ENDPOINT: origin,
      S3_ENDPOINT: origin,
      S3_BUCKET: "bucket",
      S3_ACCESS_KEY_ID: "a",
      S3_SECRET_ACCESS_KEY: "b",
      STORAGE_FOLDER_URL: `${origin}/archive`,
      STORAGE_FOLDER_TOKEN: "t",
    }),
  });
  proxy.route("/", media(FILE));
  return proxy;
}

async function statusOf(
  proxy: ProxyFixture,
  path: string,
  context: LinkContext,
  init: RequestInit = {},
): Promise<number> {
  const response = await proxy.get(path, { ...init, sign: { context } });
  await response.body?.cancel();
  return response.status;
}

Deno.test("takedown: title → 451 for its sources and its archive on all targets", async () => {
  await using proxy = await startWithApi();
  await publish(proxy, { titles: [55825] });
  const live = await proxy.get("/a.mp4", { sign: { context: { episode: EPISODE } } });
  assert.equal(live.status, 451);
  assert.equal(live.headers.get("cache-control"), "no-store");
  assert.equal(await codeOf(live), "taken_down");
  assert.equal(await statusOf(proxy, "/a.mp4", { episode: EPISODE }, { method: "HEAD" }), 451);
  for (const base of ["/datasets/alice/", "/bucket/", "/archive/"]) {
    const path = base + (base.startsWith("/datasets") ? NAME.replace("/", "/resolve/main/") : NAME);
    assert.equal(await statusOf(proxy, path, { archive: true }), 451, base);
    // Links of older versions, or signed by hand, contain no episode.
    assert.equal(await statusOf(proxy, path, {}), 451, base);
    assert.equal(await statusOf(proxy, path.replace("/ep1/", "//ep%31/"), {}), 451, `${base}, spelled otherwise`);
    for (const ending of [".m3u8", ".a0.m3u8", ".s0.vtt", ".poster.jpg", ".sprite.vtt"]) {
      const sidecar = path.replace(".mp4", ending);
      assert.equal(
        await statusOf(proxy, sidecar, { archive: true, files: ["0123456789abcdef".repeat(2)] }),
        451,
        sidecar,
      );
    }
  }
  assert.deepEqual(proxy.seen.map(({ target }) => target), ["/functions/v1/streaming/takedowns"]);
});

Deno.test("takedown: episode → 451; other episodes and links without one play", async () => {
  await using proxy = await startWithApi();
  await publish(proxy, { episodes: [[55825, 1]] });
  assert.equal(await statusOf(proxy, "/a.mp4", { episode: EPISODE }), 451);
  assert.equal(await statusOf(proxy, "/a.mp4", { episode: { ...EPISODE, episode: 2 } }), 200);
  assert.equal(await statusOf(proxy, "/a.mp4", { episode: { ...EPISODE, malId: 1 } }), 200);
  assert.equal(await statusOf(proxy, "/a.mp4", {}), 200);
  assert.equal(await statusOf(proxy, `/bucket/${NAME.replace("ep1", "ep2")}`, { archive: true }), 200);
});

Deno.test("takedown: segments, and links without the server → 451", async () => {
  await using proxy = await startWithApi();
  await publish(proxy, {});
  proxy.route("/v/m.m3u8", text("#EXTM3U\n#EXTINF:1,\na.ts\n"));
  const long = { ...EPISODE, server: `https://embed.test/${"x".repeat(4000)}` };
  const links = [];
  for (const episode of [EPISODE, long]) {
    const playlist = await (await proxy.get("/v/m.m3u8", { sign: { context: { episode } } })).text();
    links.push(new URL(playlist.split("\n")[2]!));
  }
  await using later = await startProxyFixture({
    vars: { PUBLIC_API_URL: `${proxy.url}/functions/v1` },
    origins: [proxy.url],
  });
  await publish(proxy, { titles: [55825] });
  for (const link of links) {
    const segment = await fetch(`${later.worker.url}${link.pathname}${link.search}`);
    await segment.body?.cancel();
    assert.equal(segment.status, 451);
  }
});

Deno.test("takedown: no API, an unreachable one, a forged list → all plays", async () => {
  await using bare = await startProxyFixture();
  bare.route("/a.mp4", media(FILE));
  assert.equal(await statusOf(bare, "/a.mp4", { episode: EPISODE }), 200);
  const faults: Record<string, (proxy: ProxyFixture) => unknown> = {
    "not there": (proxy) => proxy.route("/functions/", text("no", "text/plain", 404)),
    "failing": (proxy) => proxy.route("/functions/", text("no", "text/plain", 500)),
    "without a response": (proxy) => proxy.route("/functions/", () => {}),
    "forged": (proxy) => proxy.route("/functions/", text('{"payload":"{}","sig":"k1.x"}', "application/json")),
    "recorded": (proxy) => publish(proxy, { titles: [55825], issuedAt: 1_700_000_000 }),
  };
  for (const [fault, make] of Object.entries(faults)) {
    await using proxy = await startWithApi();
    await make(proxy);
    for (let i = 0; i < 3; i++) assert.equal(await statusOf(proxy, "/a.mp4", { episode: EPISODE }), 200, fault);
    assert.equal(proxy.seen.filter(({ target }) => target.includes("takedowns")).length, 1, fault);
  }
});

Deno.test("takedown: API on Deno Deploy → /api/v1/streaming/takedowns is read", async () => {
  await using proxy = await startWithApi("");
  await publish(proxy, { titles: [55825] }, "/api/v1/streaming");
  assert.equal(await statusOf(proxy, "/a.mp4", { episode: EPISODE }), 451);
});
