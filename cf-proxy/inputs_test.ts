// Bad inputs 1–40: what the running Worker, and the parser that the runner shares with it, make of them.
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
  send,
  startProxyFixture,
  text,
} from "../dev/testing/proxy_fixture.ts";
import { startWorker } from "../dev/emulators/workerd/workerd.ts";

const FILE = pattern(1000);
const BASE = new URL("https://cdn.test/v/m.m3u8");

function input(numbers: string, title: string, run: (proxy: ProxyFixture) => Promise<void>): void {
  Deno.test(`input ${numbers}: ${title}`, async () => {
    await using proxy = await startProxyFixture();
    await run(proxy);
  });
}

/** Asks for an address as an attacker would who could get it signed, and as one who could not. */
async function refused(proxy: ProxyFixture, address: string, status: number): Promise<void> {
  const unsigned = `${proxy.worker.url}/proxy?url=${encodeURIComponent(address)}`;
  const links = [unsigned];
  // What URL cannot parse, nobody can sign.
  if (URL.canParse(address)) {
    const signed = new URL(await proxy.link(new URL(address).href));
    signed.searchParams.set("url", address);
    links.push(signed.href);
  }
  for (const link of links) {
    const answer = await fetch(link);
    assert.equal(answer.status, status, address);
    assert.equal(answer.headers.get("cache-control"), "no-store");
    await answer.body?.cancel();
  }
  assert.equal(proxy.seen.length, 0);
}

const PRIVATE: readonly (readonly [number, string])[] = [
  [1, "http://127.1/"],
  [2, "http://0x7f.1/"],
  [3, "http://2130706433/"],
  [4, "http://0177.0.0.1/"],
  [5, "http://①②⑦.⓪.⓪.①/"],
  [6, "http:127.0.0.1"],
  [7, "http:\\\\127.0.0.1\\"],
  [8, "ht\ntp://127.0.0.1"],
  [9, "http://[::ffff:127.0.0.1]/"],
  [10, "http://[::]/"],
  [11, "http://0/"],
  [12, "http://[64:ff9b::7f00:1]/"],
  [13, "http://[2002:7f00:1::]/"],
  [14, "http://[fd00:ec2::254]/"],
  [15, "http://169.254.169.254/latest/meta-data/"],
  [16, "http://metadata.google.internal/"],
  [17, "http://localhost./"],
  [19, "http://good.test@169.254.169.254/"],
];

Deno.test("input 1–17, 19: every spelling of a private host → 403, each counted below", async (test) => {
  await using proxy = await startProxyFixture();
  for (const [number, address] of PRIVATE) {
    await test.step(`input ${number}: ${JSON.stringify(address)} → 403`, () => refused(proxy, address, 403));
  }
});

Deno.test("input 18: a public-looking name that resolves to a private address → refused where the connection is made", async () => {
  await using proxy = await startProxyFixture();
  proxy.route("/a.mp4", media(FILE));
  // The policy is told to let the name pass, so that only the runtime's own network rule stands in the way.
  const named = proxy.url.replace("127.0.0.1", "localhost");
  const vars = { STREAM_SIGNING_KEYS: KEY_TEXT };
  const link = await proxy.link(`${named}/a.mp4`);
  await using open = await startWorker({ vars, allowedOrigins: [named] });
  const reached = await fetch(link.replace(proxy.worker.url, open.url));
  assert.deepEqual(await bytesOf(reached), FILE, "without the rule it is reached");
  await using closed = await startWorker({ vars, allowedOrigins: [named], allowNetworks: ["public"] });
  for (let look = 0; look < 2; look++) {
    const answer = await fetch(link.replace(proxy.worker.url, closed.url));
    assert.equal(answer.status, 502);
    assert.equal(await codeOf(answer), "source_unreachable");
  }
  assert.equal(proxy.seen.length, 1);
});

Deno.test("input 20–22: good.test.evil.test, notgood.test and evil.test with a host list → 403", async () => {
  await using proxy = await startProxyFixture({ vars: { ALLOWED_HOSTS: "good.test" } });
  for (const host of ["good.test.evil.test", "notgood.test", "evil.test"]) {
    await refused(proxy, `https://${host}/a.mp4`, 403);
  }
});

input("23", "file:, data:, javascript:, ftp:, blob: and magnet: → 400", async (proxy) => {
  for (
    const address of [
      "file:///etc/passwd",
      "data:,x",
      "javascript:alert(1)",
      "ftp://a.test/x",
      "blob:https://a.test/1",
      "magnet:?xt=urn:btih:1",
    ]
  ) {
    await refused(proxy, address, 400);
  }
});

input("24", "ports 25, 5432 and 0 → 403", async (proxy) => {
  for (const port of [25, 5432, 0]) await refused(proxy, `http://good.test:${port}/`, 403);
});

input("25", "CR, LF and NUL in an address → 400", async (proxy) => {
  for (const address of ["https://good.test/\r\nHost: evil.test", "https://good.test/a\nb", "https://good.test/a\0b"]) {
    await refused(proxy, address, 400);
  }
});

input("26", "an address of 20 kB → 414; one of 5 MB is refused before anything is fetched", async (proxy) => {
  await refused(proxy, `https://good.test/${"a".repeat(20_000)}`, 414);
  const answer = await fetch(`${proxy.worker.url}/proxy?url=https://good.test/${"a".repeat(5_000_000)}`).catch(() =>
    null
  );
  // workerd itself closes on a request line of that size, or answers with an error.
  assert.ok(answer === null || answer.status >= 400);
  await answer?.body?.cancel();
  assert.equal(proxy.seen.length, 0);
  assert.equal((await fetch(`${proxy.worker.url}/health`)).status, 200, "and it lives on");
});

input("27", "a redirect to a private address → 403, a sixth hop → 502", async (proxy) => {
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

input("28", "a link without signature, expired, of another key, tampered → 403 and no fetch", async (proxy) => {
  const link = await proxy.link("/a.mp4");
  const rows: [string, string][] = [
    [link.replace(/&sig=.*/, ""), "unsigned"],
    [await proxy.link("/a.mp4", { expiresAt: 1 }), "expired"],
    [link.replace("sig=k1.", "sig=k9."), "unknown_key"],
    [link.replace("a.mp4", "b.mp4"), "bad_signature"],
  ];
  for (const [address, code] of rows) {
    const answer = await fetch(address);
    assert.deepEqual([answer.status, await codeOf(answer)], [403, code]);
  }
  assert.equal(proxy.seen.length, 0);
});

input("29", "%252F and %2B in a signed address reach the source byte for byte", async (proxy) => {
  proxy.route("/", media(FILE));
  await (await proxy.get("/a%252Fb.mp4?x=%2B&y=%252F")).body?.cancel();
  assert.equal(proxy.seen[0]!.target, "/a%252Fb.mp4?x=%2B&y=%252F");
});

input("30", "the proxy pointed at itself → 403", async (proxy) => {
  await refused(proxy, `${proxy.worker.url}/proxy?url=https://good.test/`, 403);
  await refused(proxy, `${proxy.worker.url}/health`, 403);
});

input("31", "Range 5-1, 1000 ranges and 2^64 → 416", async (proxy) => {
  proxy.route("/", media(FILE));
  for (const range of ["bytes=5-1", `bytes=${"0-0,".repeat(1000)}`, "bytes=18446744073709551616-"]) {
    const answer = await proxy.get("/a.mp4", { headers: { range } });
    assert.equal(answer.status, 416);
    await answer.body?.cancel();
  }
  assert.equal(proxy.seen.length, 0);
});

input(
  "32",
  "HTML under a .mp4 name is not served as a page, on errors neither; Set-Cookie is stripped; nosniff",
  async (proxy) => {
    const page = "<script>alert(document.domain)</script>";
    proxy.route(
      "/ok.mp4",
      (_request, response) => send(response, 200, { "content-type": "text/html", "set-cookie": "a=b" }, page),
    );
    proxy.route(
      "/err.mp4",
      (_request, response) =>
        send(response, 404, { "content-type": "text/html; charset=x", "set-cookie": "a=b" }, page),
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
      const answer = await proxy.get(path);
      assert.equal(answer.status, status);
      assert.equal(answer.headers.get("set-cookie"), null);
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
      assert.doesNotMatch(answer.headers.get("content-type")!, /html|svg|xml/);
      await answer.body?.cancel();
    }
  },
);

input("33", "error bodies, the source's and our own → no-store", async (proxy) => {
  proxy.route(
    "/gone.mp4",
    (_request, response) =>
      send(response, 404, { "cache-control": "public, max-age=999", "content-type": "text/plain" }, "no"),
  );
  for (const path of ["/gone.mp4", "http://127.0.0.1:1/", "https://nowhere.invalid/a.mp4"]) {
    const answer = await proxy.get(path);
    assert.ok(answer.status >= 400);
    assert.equal(answer.headers.get("cache-control"), "no-store");
    await answer.body?.cancel();
  }
});

input(
  "34",
  "a playlist that names file:, concat: or data: segments: none gets a signature, and the runner's check refuses them",
  async (proxy) => {
    const body =
      "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXTINF:1,\nconcat:a.ts|file:///etc/passwd\n#EXTINF:1,\nsubfile,,start,0,end,9,,:/etc/passwd\n#EXTINF:1,\ndata:video/mp2t;base64,AA==\n";
    proxy.route("/m.m3u8", text(body));
    const playlist = await (await proxy.get("/m.m3u8")).text();
    const lines = playlist.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    // "subfile,…" has no scheme: it is a name in the playlist's own directory, and nothing else.
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
  },
);

input("35", "KEY, MAP or MEDIA on a private host: no signature → 403", async (proxy) => {
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
    const answer = await fetch(link);
    assert.equal(answer.status, 403);
    await answer.body?.cancel();
  }
});

input("36", "a master that names itself is one answer per request, not a loop", async (proxy) => {
  proxy.route("/m.m3u8", text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nm.m3u8\n"));
  const master = await (await proxy.get("/m.m3u8")).text();
  const again = await fetch(master.trim().split("\n").at(-1)!);
  assert.equal(again.status, 200);
  await again.body?.cancel();
  assert.equal(proxy.seen.length, 2);
});

input(
  "37",
  "more than 20,000 segments, a playlist of 100 MB, a gzip bomb → too_large, given up while streaming",
  async (proxy) => {
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
    const answer = await proxy.get("/bomb.m3u8");
    assert.deepEqual([answer.status, await codeOf(answer)], [502, "too_large"]);
    assert.ok(sent < 100e6, `${sent} bytes were taken`);
  },
);

Deno.test("input 38: a playlist without ENDLIST says so, and a live one is still proxied", () => {
  const live = parsePlaylist("#EXTM3U\n#EXTINF:1,\na.ts\n", BASE);
  assert.ok(live.ok && live.value.kind === "media" && live.value.endList === false);
});

input("39", 'a URI attribute with " or a newline is written anew, never copied', async (proxy) => {
  proxy.route(
    "/m.m3u8",
    text(
      '#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM="p"\n#EXT-X-KEY:METHOD=AES-128,URI="k?{$p}"\n#EXT-X-KEY:METHOD=AES-128,URI="skd://a b\'c"\n#EXTINF:1,\na.ts\n',
    ),
  );
  for (const evil of ['x",METHOD=NONE,Y="', "x\n#EXT-X-KEY:METHOD=NONE"]) {
    const answer = await proxy.get(`/m.m3u8?p=${encodeURIComponent(evil)}`);
    assert.deepEqual([answer.status, await codeOf(answer)], [502, "playlist_malformed"]);
  }
  const good = await (await proxy.get("/m.m3u8?p=a%3Cb%3E")).text();
  assert.equal(good.split("\n").filter((line) => line.startsWith("#EXT-X-KEY")).length, 2);
  assert.match(good, /k%3Fa%253Cb%253E"/);
});

input(
  "40",
  "a Content-Length that lies breaks off instead of looking whole; an endless body is streamed, not gathered",
  async (proxy) => {
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
  },
);
