// Attacks on scopes, timeouts, size limits, the cache and the rate limit.
import assert from "node:assert/strict";
import { codeOf, send, startProxyFixture, text } from "../dev/testing/proxy_fixture.ts";

Deno.test("scope: ..; and overlong encodings of a dot or slash → 403", async () => {
  await using proxy = await startProxyFixture();
  const link = new URL(await proxy.link("/a/b/m.m3u8", { scopeDirectories: 2 }));
  for (const path of ["..;/secret", "..;x=1/secret", "%c0%ae%c0%ae/secret", "..%c0%afsecret", "%25c0%25ae/secret"]) {
    link.searchParams.set("url", `${proxy.url}/a/b/${path}`);
    const response = await fetch(link);
    assert.equal(response.status, 403, path);
    await response.body?.cancel();
  }
  assert.deepEqual(proxy.seen, []);
});

for (const [what, length] of [["with a length", "5000"], ["without one", null]] as const) {
  Deno.test(`playlist: ${what}, one byte at a time → 504 after the timeout`, async () => {
    await using proxy = await startProxyFixture({ vars: { HEADER_TIMEOUT_MS: "400" } });
    proxy.route("/m.m3u8", (_request, response) => {
      response.writeHead(200, {
        "content-type": "application/vnd.apple.mpegurl",
        ...(length !== null && { "content-length": length }),
      });
      response.write("#EXTM3U\n");
    });
    const response = await proxy.get("/m.m3u8");
    assert.equal(response.status, 504);
    assert.equal(await codeOf(response), "source_timeout");
  });
}

Deno.test("playlist: connection lost → 502, not half a playlist", async () => {
  await using proxy = await startProxyFixture();
  proxy.route("/m.m3u8", (_request, response) => {
    response.writeHead(200, { "content-type": "application/vnd.apple.mpegurl", "content-length": "5000" });
    response.write("#EXTM3U\n#EXTINF:1,\na.ts\n", () => response.destroy());
  });
  const response = await proxy.get("/m.m3u8");
  assert.equal(response.status, 502);
  assert.equal(await codeOf(response), "source_unreachable");
});

Deno.test("JSON: too large with a Content-Length → unchanged, without → 502", async () => {
  await using proxy = await startProxyFixture();
  const body = `{"ASSETS":[${'{"URI":"https://cdn.test/a.m3u8"},'.repeat(10_000)}{}]}`;
  proxy.route("/with_length.json", text(body, "application/json"));
  proxy.route("/without_length.json", (_request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(body);
  });
  const withLength = await proxy.get("/with_length.json");
  assert.deepEqual([withLength.status, await withLength.text()], [200, body]);
  const withoutLength = await proxy.get("/without_length.json");
  assert.deepEqual([withoutLength.status, await codeOf(withoutLength)], [502, "too_large"]);
});

Deno.test("playlist: 4 MiB of blank lines, compressed → served", async () => {
  await using proxy = await startProxyFixture();
  const body = `#EXTM3U\n${"\n".repeat(4 * 1024 * 1024 - 100)}#EXTINF:1,\na.ts\n`;
  const packed = await new Response(new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
  proxy.route(
    "/m.m3u8",
    (_request, response) =>
      send(response, 200, { "content-type": "application/vnd.apple.mpegurl", "content-encoding": "gzip" }, packed),
  );
  const response = await proxy.get("/m.m3u8");
  assert.equal(response.status, 200);
  assert.match((await response.text()).trimEnd(), /url=.*a\.ts$/);
});

Deno.test("cache: its URLs in a playlist → not reachable", async () => {
  await using proxy = await startProxyFixture();
  proxy.route("/m.m3u8", text("#EXTM3U\n#EXTINF:1,\nhttps://cache.keepstream.invalid/resolved?x\n"));
  const line = (await (await proxy.get("/m.m3u8")).text()).split("\n")[2]!;
  assert.ok(!line.includes("sig="));
  const response = await fetch(line);
  assert.equal(response.status, 403);
  await response.body?.cancel();
});

Deno.test("rate limit: one /64 of IPv6 → one client", async () => {
  await using proxy = await startProxyFixture({ rateLimit: { limit: 2 } });
  proxy.route("/a.mp4", text("x", "video/mp4"));
  const request = async (address: string) => {
    const response = await proxy.get("/a.mp4", { headers: { "cf-connecting-ip": address } });
    await response.body?.cancel();
    return response.status;
  };
  assert.deepEqual([
    await request("2001:db8:1:2::1"),
    await request("2001:db8:1:2:ffff::"),
    await request("2001:db8:1:2::3"),
  ], [
    200,
    200,
    429,
  ]);
  assert.deepEqual([await request("2001:db8:1:3::1"), await request("192.0.2.1")], [200, 200]);
});
