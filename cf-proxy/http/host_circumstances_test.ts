// Hosts in the forms that real ones have: resets, compression, ranges, cookies, addresses, lengths.
import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import {
  bytesOf,
  codeOf,
  media,
  pattern,
  type ProxyFixture,
  proxyTest,
  type Route,
  send,
  startProxyFixture,
} from "../../dev/testing/proxy_fixture.ts";

const FILE = pattern(10_000);
const PLAYLIST = "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n";

/** Resets the connection of every request that `isReset` selects by its number. */
function resetting(isReset: (count: number) => boolean, route: Route): { route: Route; count: () => number } {
  let count = 0;
  return {
    count: () => count,
    route: (request, response) => {
      if (!isReset(++count)) return route(request, response);
      (response.socket as unknown as Socket).resetAndDestroy();
    },
  };
}

proxyTest("GET and HEAD: connection reset once → repeated once", async (proxy) => {
  for (const method of ["GET", "HEAD"]) {
    const host = resetting((count) => count === 2, media(FILE));
    proxy.route("/a.mp4", host.route);
    assert.equal((await bytesOf(await proxy.get("/a.mp4"))).length, FILE.length, "keeps the connection");
    const again = await proxy.get("/a.mp4", { method, headers: { range: "bytes=5-9" } });
    assert.equal(again.status, method === "GET" ? 206 : 200);
    await again.body?.cancel();
    assert.equal(host.count(), 3);
  }
});

proxyTest("GET: connection reset every time → 502 after two requests", async (proxy) => {
  const host = resetting(() => true, media(FILE));
  proxy.route("/a.mp4", host.route);
  const response = await proxy.get("/a.mp4");
  assert.deepEqual([response.status, await codeOf(response)], [502, "source_unreachable"]);
  assert.equal(host.count(), 2);
});

proxyTest("GET: reset after the first bytes → not repeated", async (proxy) => {
  let count = 0;
  proxy.route("/a.mp4", (_request, response) => {
    count++;
    response.writeHead(200, { "content-type": "video/mp4", "content-length": "10000" });
    response.write(FILE.subarray(0, 5000), () => (response.socket as unknown as Socket).resetAndDestroy());
  });
  const response = await proxy.get("/a.mp4");
  assert.equal(response.status, 200);
  await assert.rejects(bytesOf(response));
  assert.equal(count, 1);
});

const ENCODINGS = {
  gzip: gzipSync,
  br: brotliCompressSync,
  deflate: deflateSync,
  "deflate (raw)": deflateRawSync,
};

for (const [name, compress] of Object.entries(ENCODINGS)) {
  proxyTest(`playlist always compressed with ${name} → decoded`, async (proxy) => {
    const encoding = name.split(" ")[0]!;
    const headers = { "content-encoding": encoding, "content-type": "application/vnd.apple.mpegurl" };
    for (const [path, type] of [["/v/m.m3u8", headers["content-type"]], ["/v/play", "text/plain"]] as const) {
      proxy.route(
        path,
        (_request, response) => send(response, 200, { ...headers, "content-type": type }, compress(PLAYLIST)),
      );
      const response = await proxy.get(path);
      const body = await response.text();
      assert.equal(response.status, 200, body);
      assert.match(body, /^#EXTM3U\n#EXTINF:1,\nhttp/);
      assert.equal(response.headers.get("content-encoding"), null);
    }
    proxy.route(
      "/a.vtt",
      (_request, response) =>
        send(response, 200, { "content-encoding": encoding, "content-type": "text/vtt" }, compress("WEBVTT\n")),
    );
    assert.equal(await (await proxy.get("/a.vtt")).text(), "WEBVTT\n");
  });
}

proxyTest("playlist in zstd, or in two encodings → 502 that names them", async (proxy) => {
  for (const encoding of ["zstd", "gzip, br", "x-unknown"]) {
    proxy.route(
      "/v/m.m3u8",
      (_request, response) => send(response, 200, { "content-encoding": encoding }, "x".repeat(50)),
    );
    const response = await proxy.get("/v/m.m3u8");
    assert.equal(response.status, 502);
    const { code, detail } = await response.json();
    assert.equal(code, "encoding_unsupported");
    assert.ok(detail.includes(encoding), detail);
  }
});

proxyTest("Content-Encoding none or identity → the body as it is", async (proxy) => {
  for (const encoding of ["identity", "none", "utf-8"]) {
    proxy.route("/v/m.m3u8", (_request, response) => send(response, 200, { "content-encoding": encoding }, PLAYLIST));
    assert.equal((await proxy.get("/v/m.m3u8")).status, 200, encoding);
    proxy.route("/a.mp4", media(FILE, { headers: { "content-encoding": encoding } }));
    const part = await proxy.get("/a.mp4", { headers: { range: "bytes=1-3" } });
    assert.deepEqual([part.status, [...await bytesOf(part)]], [206, [...FILE.subarray(1, 4)]], encoding);
  }
});

proxyTest("Content-Encoding of a body that is not compressed → 502, named", async (proxy) => {
  for (const encoding of ["gzip", "br", "deflate"]) {
    proxy.route("/v/m.m3u8", (_request, response) => send(response, 200, { "content-encoding": encoding }, PLAYLIST));
    const response = await proxy.get("/v/m.m3u8");
    assert.equal(response.status, 502);
    assert.match((await response.json()).detail, new RegExp(encoding));
  }
});

proxyTest("416 for a range that ends after a small file → served", async (proxy) => {
  const strict = (size: string | null): Route => (request, response) => {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "");
    if (range !== null && Number(range[2]) >= FILE.length) {
      return send(response, 416, size === null ? {} : { "content-range": `bytes */${size}` });
    }
    return media(FILE)(request, response);
  };
  proxy.route("/a.mp4", strict(String(FILE.length)));
  const part = await proxy.get("/a.mp4", { headers: { range: "bytes=9000-19999" } });
  assert.deepEqual([part.status, part.headers.get("content-range")], [206, "bytes 9000-9999/10000"]);
  assert.deepEqual(await bytesOf(part), FILE.slice(9000));
  proxy.route("/a.mp4", strict(null));
  const whole = await proxy.get("/a.mp4", { headers: { range: "bytes=0-65535" } });
  assert.equal(whole.status, 200);
  assert.deepEqual(await bytesOf(whole), FILE);
  const beyond = await proxy.get("/a.mp4", { headers: { range: "bytes=10000-19999" } });
  assert.equal(beyond.status, 416);
  await beyond.body?.cancel();
});

proxyTest("IPv6 literal host → fetched; a private one → 403", async (proxy) => {
  for (const host of ["[::1]", "[fd00::1]", "[::ffff:10.0.0.1]"]) {
    const response = await proxy.get(`http://${host}:8080/a.mp4`);
    assert.deepEqual([response.status, await codeOf(response)], [403, "policy_denied"], host);
  }
});

Deno.test("proxy: IPv6 literal host in a playlist's links → media and segments", async () => {
  const server = createServer((socket) => {
    socket.once("data", (data) => {
      const isPlaylist = data.toString().startsWith("GET /v/m.m3u8");
      const body = isPlaylist ? PLAYLIST : "segment";
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    });
  });
  await new Promise<void>((done) => server.listen(0, "::1", done));
  const origin = `http://[::1]:${(server.address() as { port: number }).port}`;
  try {
    await using proxy = await startProxyFixture({ origins: [origin] });
    const playlist = await (await proxy.get(`${origin}/v/m.m3u8`)).text();
    const link = playlist.split("\n")[2]!;
    assert.equal(new URL(link).searchParams.get("url"), `${origin}/v/a.ts`);
    assert.equal(await (await fetch(link)).text(), "segment");
  } finally {
    server.close();
  }
});

Deno.test("proxy: HTTP/1.0 without a length, ended by closing → whole body", async () => {
  await withRawHost("HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n", async (proxy, url) => {
    const response = await proxy.get(`${url}/a.ts`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-length"), null);
    assert.deepEqual(await bytesOf(response), FILE);
    const playlist = await proxy.get(`${url}/m.m3u8`);
    assert.match(await playlist.text(), /^#EXTM3U\n#EXTINF:1,\nhttp/);
  });
});

/** A host that writes `head`, then a playlist for .m3u8 or the file, and closes the connection. */
async function withRawHost(head: string, run: (proxy: ProxyFixture, url: string) => Promise<void>): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (data) => {
      socket.write(head);
      socket.end(/^GET \S*\.m3u8/.test(data.toString()) ? PLAYLIST : FILE);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  try {
    await using proxy = await startProxyFixture({ origins: [url] });
    await run(proxy, url);
  } finally {
    server.close();
  }
}

proxyTest("redirect: relative, to a query, without Location → followed, or 502", async (proxy) => {
  proxy.route("/d/a.mp4", media(FILE));
  for (const location of ["../d/a.mp4", "/d/a.mp4?x=1#f", `//${new URL(proxy.url).host}/d/a.mp4`, " /d/a.mp4 "]) {
    proxy.route("/r/x.mp4", (_request, response) => send(response, 302, { location }));
    const response = await proxy.get("/r/x.mp4", { headers: { range: "bytes=0-1" } });
    assert.equal(response.status, 206, location);
    await response.body?.cancel();
  }
  for (const status of [301, 302, 307]) {
    proxy.route("/r/x.mp4", (_request, response) => send(response, status, {}, "moved"));
    const response = await proxy.get("/r/x.mp4");
    assert.deepEqual([response.status, await codeOf(response)], [502, "bad_redirect"]);
  }
});

proxyTest("429 and 503 with Retry-After on a playlist → passed on", async (proxy) => {
  for (const [status, after] of [[429, "7"], [503, "Wed, 21 Oct 2026 07:28:00 GMT"]] as const) {
    proxy.route("/v/m.m3u8", (_request, response) => send(response, status, { "retry-after": after }, "slow down"));
    const response = await proxy.get("/v/m.m3u8");
    assert.deepEqual([response.status, response.headers.get("retry-after")], [status, after]);
    await response.body?.cancel();
  }
});
