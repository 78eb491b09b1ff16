// Hostile URLs, responses and playlists, sent to the running Worker and to the playlist parser that it shares with the runner.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { parsePlaylist } from "../core/hls/playlist.ts";
import { checkUrl } from "../core/url_policy.ts";
import {
  bytesOf,
  codeOf,
  KEY_TEXT,
  media,
  pattern,
  type ProxyFixture,
  proxyTest,
  send,
  startProxyFixture,
  text,
} from "../dev/testing/proxy_fixture.ts";
import { startWorker } from "../dev/emulators/workerd/workerd.ts";

const FILE = pattern(1000);
const BASE = new URL("https://cdn.test/v/m.m3u8");

/** Requests a URL without and, if it can be signed, with a valid signature. */
async function refused(proxy: ProxyFixture, url: string, status: number): Promise<void> {
  const unsigned = `${proxy.worker.url}/proxy?url=${encodeURIComponent(url)}`;
  const links = [unsigned];
  if (URL.canParse(url)) {
    const signed = new URL(await proxy.link(new URL(url).href));
    signed.searchParams.set("url", url);
    links.push(signed.href);
  }
  for (const link of links) {
    const response = await fetch(link);
    assert.equal(response.status, status, url);
    assert.equal(response.headers.get("cache-control"), "no-store");
    await response.body?.cancel();
  }
  assert.equal(proxy.seen.length, 0);
}

const PRIVATE: readonly string[] = [
  "http://127.1/",
  "http://0x7f.1/",
  "http://2130706433/",
  "http://0177.0.0.1/",
  "http://①②⑦.⓪.⓪.①/",
  "http:127.0.0.1",
  "http:\\\\127.0.0.1\\",
  "ht\ntp://127.0.0.1",
  "http://[::ffff:127.0.0.1]/",
  "http://[::]/",
  "http://0/",
  "http://[64:ff9b::7f00:1]/",
  "http://[2002:7f00:1::]/",
  "http://[fd00:ec2::254]/",
  "http://169.254.169.254/latest/meta-data/",
  "http://metadata.google.internal/",
  "http://localhost./",
  "http://good.test@169.254.169.254/",
];

Deno.test("private host: in every spelling → 403", async (test) => {
  await using proxy = await startProxyFixture();
  for (const url of PRIVATE) {
    await test.step(`${JSON.stringify(url)} → 403`, () => refused(proxy, url, 403));
  }
});

Deno.test("private host: a name that resolves to one → 502 when connecting", async () => {
  await using proxy = await startProxyFixture();
  proxy.route("/a.mp4", media(FILE));
  // The URL policy allows the name, so that only the runtime's own network rule refuses it.
  const named = proxy.url.replace("127.0.0.1", "localhost");
  const vars = { STREAM_SIGNING_KEYS: KEY_TEXT };
  const link = await proxy.link(`${named}/a.mp4`);
  await using open = await startWorker({ vars, allowedOrigins: [named] });
  const reached = await fetch(link.replace(proxy.worker.url, open.url));
  assert.deepEqual(await bytesOf(reached), FILE, "allowed without the rule");
  await using closed = await startWorker({ vars, allowedOrigins: [named], allowNetworks: ["public"] });
  for (let attempt = 0; attempt < 2; attempt++) {
    const response = await fetch(link.replace(proxy.worker.url, closed.url));
    assert.equal(response.status, 502);
    assert.equal(await codeOf(response), "source_unreachable");
  }
  assert.equal(proxy.seen.length, 1);
});

Deno.test("ALLOWED_HOSTS: good.test.evil.test, notgood.test, evil.test → 403", async () => {
  await using proxy = await startProxyFixture({ vars: { ALLOWED_HOSTS: "good.test" } });
  for (const host of ["good.test.evil.test", "notgood.test", "evil.test"]) {
    await refused(proxy, `https://${host}/a.mp4`, 403);
  }
});

proxyTest("file:, data:, javascript:, ftp:, blob: and magnet: → 400", async (proxy) => {
  for (
    const url of [
      "file:///etc/passwd",
      "data:,x",
      "javascript:alert(1)",
      "ftp://a.test/x",
      "blob:https://a.test/1",
      "magnet:?xt=urn:btih:1",
    ]
  ) {
    await refused(proxy, url, 400);
  }
});

proxyTest("ports 25, 5432 and 0 → 403", async (proxy) => {
  for (const port of [25, 5432, 0]) await refused(proxy, `http://good.test:${port}/`, 403);
});

proxyTest("CR, LF and NUL in a URL → 400", async (proxy) => {
  for (const url of ["https://good.test/\r\nHost: evil.test", "https://good.test/a\nb", "https://good.test/a\0b"]) {
    await refused(proxy, url, 400);
  }
});

proxyTest("URL of 20 kB → 414; of 5 MB → refused before a fetch", async (proxy) => {
  await refused(proxy, `https://good.test/${"a".repeat(20_000)}`, 414);
  const response = await fetch(`${proxy.worker.url}/proxy?url=https://good.test/${"a".repeat(5_000_000)}`).catch(() =>
    null
  );
  // workerd itself closes the connection for a request line of that size, or responds with an error.
  assert.ok(response === null || response.status >= 400);
  await response?.body?.cancel();
  assert.equal(proxy.seen.length, 0);
  assert.equal((await fetch(`${proxy.worker.url}/health`)).status, 200, "still running");
});

proxyTest("redirect to a private address → 403, a sixth redirect → 502", async (proxy) => {
  proxy.route("/private.mp4", (_request, response) => send(response, 302, { location: "http://127.0.0.1:1/" }));
  proxy.route(
    "/hop/",
    ({ target }, response) => send(response, 302, { location: `/hop/${Number(target.slice(5)) + 1}` }),
  );
  const denied = await proxy.get("/private.mp4");
  assert.deepEqual([denied.status, await codeOf(denied)], [403, "redirect_denied"]);
  const hops = await proxy.get("/hop/0");
  assert.deepEqual([hops.status, await codeOf(hops)], [502, "too_many_redirects"]);
});

proxyTest("link unsigned, expired, of another key, altered → 403, no fetch", async (proxy) => {
  const link = await proxy.link("/a.mp4");
  const rows: [string, string][] = [
    [link.replace(/&sig=.*/, ""), "unsigned"],
    [await proxy.link("/a.mp4", { expiresAt: 1 }), "expired"],
    [link.replace("sig=k1.", "sig=k9."), "unknown_key"],
    [link.replace("a.mp4", "b.mp4"), "bad_signature"],
  ];
  for (const [link, code] of rows) {
    const response = await fetch(link);
    assert.deepEqual([response.status, await codeOf(response)], [403, code]);
  }
  assert.equal(proxy.seen.length, 0);
});

proxyTest("%252F and %2B in a signed URL → sent unchanged", async (proxy) => {
  proxy.route("/", media(FILE));
  await (await proxy.get("/a%252Fb.mp4?x=%2B&y=%252F")).body?.cancel();
  assert.equal(proxy.seen[0]!.target, "/a%252Fb.mp4?x=%2B&y=%252F");
});

proxyTest("URL of the proxy itself → 403", async (proxy) => {
  await refused(proxy, `${proxy.worker.url}/proxy?url=https://good.test/`, 403);
  await refused(proxy, `${proxy.worker.url}/health`, 403);
});

proxyTest("Range 5-1, 1000 ranges and 2^64 → 416", async (proxy) => {
  proxy.route("/", media(FILE));
  for (const range of ["bytes=5-1", `bytes=${"0-0,".repeat(1000)}`, "bytes=18446744073709551616-"]) {
    const response = await proxy.get("/a.mp4", { headers: { range } });
    assert.equal(response.status, 416);
    await response.body?.cancel();
  }
  assert.equal(proxy.seen.length, 0);
});

proxyTest("HTML named .mp4, also in errors → no page, no cookie, nosniff", async (proxy) => {
  const page = "<script>alert(document.domain)</script>";
  proxy.route(
    "/ok.mp4",
    (_request, response) => send(response, 200, { "content-type": "text/html", "set-cookie": "a=b" }, page),
  );
  proxy.route(
    "/err.mp4",
    (_request, response) => send(response, 404, { "content-type": "text/html; charset=x", "set-cookie": "a=b" }, page),
  );
  proxy.route(
    "/svg.mp4",
    (_request, response) => send(response, 500, { "content-type": "image/svg+xml" }, "<svg onload=alert(1)>"),
  );
  proxy.route(
    "/liar.mp4",
    (_request, response) => send(response, 200, { "content-type": "video/mp4", "set-cookie": "a=b" }, page),
  );
  for (
    const [path, status] of [["/ok.mp4", 502], ["/err.mp4", 404], ["/svg.mp4", 500], ["/liar.mp4", 200]] as const
  ) {
    const response = await proxy.get(path);
    assert.equal(response.status, status);
    assert.equal(response.headers.get("set-cookie"), null);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.doesNotMatch(response.headers.get("content-type")!, /html|svg|xml/);
    await response.body?.cancel();
  }
});

proxyTest("media sent as text/html → served with a media type; text → refused", async (proxy) => {
  const random = crypto.getRandomValues(new Uint8Array(4096)); // as an encrypted segment
  random[3] = 0;
  const ts = Uint8Array.from({ length: 1880 }, (_, i) => i % 188 === 0 ? 0x47 : i % 188 < 4 ? 0 : 0xff);
  const bodies: Record<string, [Uint8Array<ArrayBuffer> | string, number, string]> = {
    "/0.ts": [ts, 200, "video/mp2t"],
    "/0.jpg": [ts, 200, "image/jpeg"],
    "/0.mp4": [random, 200, "video/mp4"],
    "/0": [random, 200, "application/octet-stream"],
    "/0.vtt": ["WEBVTT\n\n00:01.000 --> 00:02.000\nOne\n", 200, "text/vtt"],
    "/page.ts": ["<!doctype html><title>Blocked</title>", 502, "application/problem+json"],
    "/word.ts": ["Gateway timeout", 502, "application/problem+json"],
  };
  for (const [path, [body, status, type]] of Object.entries(bodies)) {
    for (const declared of ["text/html", "image/svg+xml", "application/javascript"]) {
      proxy.route(path, (_request, response) => send(response, 200, { "content-type": declared }, body));
      const response = await proxy.get(path);
      assert.deepEqual([response.status, response.headers.get("content-type")], [status, type], `${path} ${declared}`);
      if (status === 200 && typeof body !== "string") assert.deepEqual(await response.bytes(), body);
      else await response.body?.cancel();
    }
  }
});

proxyTest("errors of the source and our own → no-store", async (proxy) => {
  proxy.route(
    "/gone.mp4",
    (_request, response) =>
      send(response, 404, { "cache-control": "public, max-age=999", "content-type": "text/plain" }, "no"),
  );
  for (const path of ["/gone.mp4", "http://127.0.0.1:1/", "https://nowhere.invalid/a.mp4"]) {
    const response = await proxy.get(path);
    assert.ok(response.status >= 400);
    assert.equal(response.headers.get("cache-control"), "no-store");
    await response.body?.cancel();
  }
});

proxyTest("playlist with file:, concat:, data: segments → unsigned, refused", async (proxy) => {
  const body =
    "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXTINF:1,\nconcat:a.ts|file:///etc/passwd\n#EXTINF:1,\nsubfile,,start,0,end,9,,:/etc/passwd\n#EXTINF:1,\ndata:video/mp2t;base64,AA==\n";
  proxy.route("/m.m3u8", text(body));
  const playlist = await (await proxy.get("/m.m3u8")).text();
  const lines = playlist.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  // "subfile,…" has no scheme: it is a file name in the playlist's directory.
  for (const line of lines) {
    assert.ok(
      !line.includes("sig=") ||
        line.endsWith(`${encodeURIComponent(proxy.url)}%2Fsubfile%2C%2Cstart%2C0%2Cend%2C9%2C%2C%3A%2Fetc%2Fpasswd`),
      line,
    );
  }
  const parsed = parsePlaylist(body, BASE);
  assert.ok(parsed.ok && parsed.value.kind === "media");
  const codes = parsed.value.segments.map(({ url }) => {
    const target = checkUrl(url, {});
    return target.ok ? "ok" : target.error.code;
  });
  assert.deepEqual(codes, ["invalid_input", "invalid_input", "ok", "invalid_input"]);
});

proxyTest("KEY, MAP or MEDIA on a private host → unsigned, 403", async (proxy) => {
  const tags = [
    '#EXT-X-KEY:METHOD=AES-128,URI="http://10.0.0.1/k"',
    '#EXT-X-MAP:URI="http://[::1]/i"',
    '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="http://192.168.0.1/a.m3u8"',
  ];
  proxy.route("/m.m3u8", text(`#EXTM3U\n${tags.join("\n")}\n`));
  const playlist = await (await proxy.get("/m.m3u8")).text();
  const links = [...playlist.matchAll(/URI="([^"]+)"/g)].map((match) => match[1]!);
  assert.equal(links.length, 3);
  for (const link of links) {
    assert.ok(!link.includes("sig="));
    const response = await fetch(link);
    assert.equal(response.status, 403);
    await response.body?.cancel();
  }
});

proxyTest("multivariant playlist that lists itself → no loop", async (proxy) => {
  proxy.route("/m.m3u8", text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nm.m3u8\n"));
  const master = await (await proxy.get("/m.m3u8")).text();
  const again = await fetch(master.trim().split("\n").at(-1)!);
  assert.equal(again.status, 200);
  await again.body?.cancel();
  assert.equal(proxy.seen.length, 2);
});

proxyTest("over 20,000 segments, 100 MB, a gzip bomb → too_large", async (proxy) => {
  const line = "#EXTINF:1,\na.ts\n";
  const parsed = parsePlaylist("#EXTM3U\n" + line.repeat(20_001), BASE);
  assert.ok(!parsed.ok && parsed.error.code === "too_large");
  let sent = 0;
  const chunk = new TextEncoder().encode(line.repeat(4096));
  proxy.route("/large.m3u8", (_request, response) => {
    response.writeHead(200, { "content-type": "application/vnd.apple.mpegurl" });
    response.write("#EXTM3U\n");
    const feed = () => {
      if (response.destroyed || sent > 100e6) return void response.end();
      sent += chunk.length;
      response.write(chunk, () => setTimeout(feed, 0));
    };
    feed();
  });
  const large = await proxy.get("/large.m3u8");
  assert.deepEqual([large.status, await codeOf(large)], [502, "too_large"]);
  const bomb = gzipSync(new Uint8Array(200e6).fill(10), { level: 1 });
  proxy.route(
    "/bomb.m3u8",
    (_request, response) =>
      send(response, 200, { "content-type": "application/vnd.apple.mpegurl", "content-encoding": "gzip" }, bomb),
  );
  const response = await proxy.get("/bomb.m3u8");
  assert.deepEqual([response.status, await codeOf(response)], [502, "too_large"]);
  assert.ok(sent < 100e6, `${sent} bytes were read`);
});

Deno.test("playlist: without ENDLIST → parsed as live", () => {
  const live = parsePlaylist("#EXTM3U\n#EXTINF:1,\na.ts\n", BASE);
  assert.ok(live.ok && live.value.kind === "media" && live.value.endList === false);
});

proxyTest('URI attribute with " or a newline → written again, not copied', async (proxy) => {
  proxy.route(
    "/m.m3u8",
    text(
      '#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM="p"\n#EXT-X-KEY:METHOD=AES-128,URI="k?{$p}"\n#EXT-X-KEY:METHOD=AES-128,URI="skd://a b\'c"\n#EXTINF:1,\na.ts\n',
    ),
  );
  for (const evil of ['x",METHOD=NONE,Y="', "x\n#EXT-X-KEY:METHOD=NONE"]) {
    const response = await proxy.get(`/m.m3u8?p=${encodeURIComponent(evil)}`);
    assert.deepEqual([response.status, await codeOf(response)], [502, "playlist_malformed"]);
  }
  const good = await (await proxy.get("/m.m3u8?p=a%3Cb%3E")).text();
  assert.equal(good.split("\n").filter((line) => line.startsWith("#EXT-X-KEY")).length, 2);
  assert.match(good, /k%3Fa%253Cb%253E"/);
});

proxyTest("wrong Content-Length → disconnected; endless body → streamed", async (proxy) => {
  proxy.route("/short.mp4", (_request, response) => {
    response.writeHead(200, { "content-type": "video/mp4", "content-length": "5000" });
    response.write(FILE, () => response.destroy());
  });
  const short = await proxy.get("/short.mp4");
  await assert.rejects(short.arrayBuffer());
  proxy.route("/endless.mp4", (_request, response) => {
    response.writeHead(200, { "content-type": "video/mp4" });
    const feed = () => response.destroyed || response.write(FILE, () => setTimeout(feed, 0));
    feed();
  });
  const endless = await proxy.get("/endless.mp4");
  const reader = endless.body!.getReader();
  assert.ok((await reader.read()).value!.length > 0);
  await reader.cancel();
});
