// The Worker's routes, redirect mode, rate limit and configuration.
import assert from "node:assert/strict";
import { bytesOf, codeOf, media, pattern, startProxyFixture, text } from "../dev/testing/proxy_fixture.ts";
import { startWorker } from "../dev/emulators/workerd/workerd.ts";

const FILE = pattern(1000);

Deno.test("routes: /health → 200, an unknown path → 404 problem", async () => {
  await using proxy = await startProxyFixture();
  const health = await fetch(`${proxy.worker.url}/health`);
  assert.deepEqual([health.status, await health.json()], [200, { status: "ok" }]);
  const unknown = await fetch(`${proxy.worker.url}/proxy/x`);
  assert.equal(unknown.status, 404);
  assert.equal(await codeOf(unknown), "not_found");
});

Deno.test("routes: / → 404, no page on the proxy's origin", async () => {
  await using proxy = await startProxyFixture();
  for (const path of ["/", "/index.html", "/watch.js"]) {
    const response = await fetch(`${proxy.worker.url}${path}`);
    assert.equal(response.status, 404);
    assert.equal(await codeOf(response), "not_found");
  }
});

Deno.test("config: no signing key → 500, and a log without secrets", async () => {
  await using worker = await startWorker({ vars: { HF_TOKEN_STORAGE_1: "hf_secret", HF_STORAGE_USERNAME_1: "a" } });
  const response = await fetch(`${worker.url}/proxy?url=https://a.test/`);
  assert.equal(response.status, 500);
  assert.equal(await codeOf(response), "internal");
  assert.match(worker.output(), /STREAM_SIGNING_KEYS/);
  assert.ok(!worker.output().includes("hf_secret"));
});

Deno.test("redirect mode: media → 302; playlists, sealed headers, mega → proxied", async () => {
  await using proxy = await startProxyFixture({ vars: { REDIRECT_MODE: "on" } });
  proxy.route("/a.mp4", media(FILE));
  proxy.route("/m.m3u8", text("#EXTM3U\n#EXTINF:1,\na.ts\n"));
  const media302 = await proxy.get("/a.mp4?t=%2F");
  assert.equal(media302.status, 302);
  assert.equal(media302.headers.get("location"), `${proxy.url}/a.mp4?t=%2F`);
  assert.equal(media302.headers.get("cache-control"), "no-store");
  assert.equal(media302.headers.get("access-control-allow-origin"), "*");
  assert.equal(proxy.seen.length, 0);
  const playlist = await proxy.get("/m.m3u8");
  assert.equal(playlist.status, 200);
  assert.match(await playlist.text(), /\/proxy\?/);
  const sealed = await proxy.get("/a.mp4", { sign: { context: { headers: { referer: "https://p.test/" } } } });
  assert.deepEqual([sealed.status, await bytesOf(sealed)], [200, FILE]);
  const unsigned = await fetch(`${proxy.worker.url}/proxy?url=${encodeURIComponent(`${proxy.url}/a.mp4`)}`, {
    redirect: "manual",
  });
  assert.equal(unsigned.status, 403);
  await unsigned.body?.cancel();
});

Deno.test("rate limit: too many requests → 429 with Retry-After", async () => {
  await using proxy = await startProxyFixture({ rateLimit: { limit: 2 } });
  proxy.route("/a.mp4", media(FILE));
  for (const status of [200, 200, 429]) {
    const response = await proxy.get("/a.mp4");
    assert.equal(response.status, status);
    if (status === 429) assert.equal(response.headers.get("retry-after"), "60");
    await response.body?.cancel();
  }
  assert.equal((await fetch(`${proxy.worker.url}/health`)).status, 200);
});

Deno.test("ALLOWED_HOSTS: another host → 403, even if signed", async () => {
  await using proxy = await startProxyFixture({ vars: { ALLOWED_HOSTS: "good.test" } });
  const response = await proxy.get("https://evil.test/a.mp4");
  assert.equal(response.status, 403);
  assert.equal(await codeOf(response), "policy_denied");
});

Deno.test("DEV_ALLOWED_ORIGINS: applies to requests on loopback only", async () => {
  await using proxy = await startProxyFixture();
  proxy.route("/a.mp4", media(FILE));
  const link = new URL(await proxy.link("/a.mp4"));
  // A request to the Worker's public name: workerd takes the host from the Host header.
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(link.port) });
  const request = `GET ${link.pathname}${link.search} HTTP/1.1\r\nHost: worker.example\r\nConnection: close\r\n\r\n`;
  await connection.write(new TextEncoder().encode(request));
  const response = await new Response(connection.readable).text();
  assert.match(response, /^HTTP\/1\.1 403 /);
  assert.equal(proxy.seen.length, 0);
});
