// Which URLs are fetched, and their exact bytes on the wire.
import assert from "node:assert/strict";
import { parseSigningKeys } from "../../core/link.ts";
import { unwrap } from "../../core/result.ts";
import {
  codeOf,
  KEY_TEXT,
  media,
  pattern,
  proxyTest,
  send,
  startOrigin,
  text,
} from "../../dev/testing/proxy_fixture.ts";

const FILE = pattern(100);

proxyTest("%252B, %2520, %26 and 100%25 → sent exactly as signed", async (proxy) => {
  proxy.route("/", media(FILE));
  const target = "/v/a%252Bb%2520c/x%26y.mp4?q=100%25&r=%252F&s=%26";
  const response = await proxy.get(target);
  assert.equal(response.status, 200);
  assert.equal(proxy.seen[0]!.target, target);
  await response.body?.cancel();
});

proxyTest("+, unicode, a space → encoded once; the fragment is not sent", async (proxy) => {
  proxy.route("/", media(FILE));
  for (
    const [target, expected] of [
      ["/a+b.mp4?q=1+2", "/a+b.mp4?q=1+2"],
      ["/ü/日本.mp4?q=é", "/%C3%BC/%E6%97%A5%E6%9C%AC.mp4?q=%C3%A9"],
      ["/a b.mp4?q=c d", "/a%20b.mp4?q=c%20d"],
      ["/a.mp4?q=1#t=5", "/a.mp4?q=1"],
    ] as const
  ) {
    const response = await proxy.get(target);
    assert.equal(response.status, 200, target);
    assert.equal(proxy.seen.at(-1)!.target, expected);
    await response.body?.cancel();
  }
});

proxyTest("URL of 16 KB → fetched; a longer one → 414", async (proxy) => {
  proxy.route("/", media(FILE));
  const fill = 16_384 - `${proxy.url}/a.mp4?t=`.length;
  const response = await proxy.get(`/a.mp4?t=${"x".repeat(fill - 200)}`);
  assert.equal(response.status, 200);
  assert.equal(proxy.seen[0]!.target.length, `/a.mp4?t=`.length + fill - 200);
  await response.body?.cancel();
  const longer = await proxy.get(`/a.mp4?t=${"x".repeat(fill + 1)}`);
  assert.equal(longer.status, 414);
  assert.equal(await codeOf(longer), "too_long");
  assert.equal(proxy.seen.length, 1);
});

proxyTest("url missing, empty or invalid → 400", async (proxy) => {
  for (const query of ["", "?url=", "?url=%20", "?url=cdn.test/a.mp4", "?url=http://[broken", "?url=http://"]) {
    const response = await fetch(`${proxy.worker.url}/proxy${query}`);
    assert.equal(response.status, 400, query);
    assert.match(response.headers.get("content-type")!, /problem\+json/);
    assert.equal((await response.json()).success, false);
  }
});

proxyTest("file:, data: and ftp: → 400, signed or not", async (proxy) => {
  for (const url of ["file:///etc/passwd", "data:video/mp4;base64,AAAA", "ftp://a.test/x.mp4"]) {
    const unsigned = await fetch(`${proxy.worker.url}/proxy?url=${encodeURIComponent(url)}`);
    assert.equal(unsigned.status, 400, url);
    await unsigned.body?.cancel();
    const signed = await proxy.get(url);
    assert.equal(signed.status, 400, url);
    assert.equal(await codeOf(signed), "invalid_input");
  }
});

proxyTest("signature missing, expired, altered → 403 without a fetch", async (proxy) => {
  proxy.route("/", media(FILE));
  const context = { headers: { referer: "https://p.test/" } };
  const link = await proxy.link("/dir/a.mp4", { scopeDirectories: 1, context });
  const other = await proxy.link("/dir/a.mp4", {
    scopeDirectories: 1,
    context: { headers: { referer: "https://q.test/" } },
  });
  const alter = (name: string, value: string | null) => {
    const url = new URL(link);
    value === null ? url.searchParams.delete(name) : url.searchParams.set(name, value);
    return url.href;
  };
  const rows: [string, string, string][] = [
    ["none", alter("sig", null), "unsigned"],
    ["no exp", alter("exp", null), "unsigned"],
    ["wrong", alter("sig", `k1.${"A".repeat(22)}`), "bad_signature"],
    ["garbage", alter("sig", "x"), "malformed"],
    ["exp", alter("exp", "4000000001"), "bad_signature"],
    ["sc", alter("sc", "0"), "bad_signature"],
    ["no sc", alter("sc", null), "bad_signature"],
    ["url", alter("url", `${proxy.url}/other/a.mp4`), "bad_signature"],
    ["context", alter("x", new URL(other).searchParams.get("x")), "bad_signature"],
    ["no context", alter("x", null), "bad_signature"],
    ["expired", await proxy.link("/dir/a.mp4", { expiresAt: 1_600_000_000 }), "expired"],
  ];
  for (const [name, link, code] of rows) {
    const response = await fetch(link);
    assert.equal(response.status, 403, name);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(await codeOf(response), code, name);
  }
  assert.equal(proxy.seen.length, 0);
  const good = await fetch(link);
  assert.equal(good.status, 200);
  assert.equal(proxy.seen[0]!.headers.get("referer"), "https://p.test/");
  await good.body?.cancel();
});

proxyTest("scope: .., %2e%2e, %2f.., %5c.. or encodings of these → 403", async (proxy) => {
  proxy.route("/", media(FILE));
  const link = await proxy.link("/a/b/m.mp4", { scopeDirectories: 2 });
  for (
    const path of [
      "/a/b/../c.mp4",
      "/a/b/%2e%2e/c.mp4",
      "/a/b/..%2fc.mp4",
      "/a/b/%2e%2e%2fc.mp4",
      "/a/b/..%5cc.mp4",
      "/a/b/%252e%252e%252fc.mp4",
      "/a/b/..\\c.mp4",
      "/a/c.mp4",
      "/a/bc/d.mp4",
    ]
  ) {
    const url = new URL(link);
    url.searchParams.set("url", proxy.url + path);
    const response = await fetch(url);
    assert.equal(response.status, 403, path);
    assert.equal(await codeOf(response), "bad_signature");
  }
  assert.equal(proxy.seen.length, 0);
});

proxyTest("similar host, user information, backslash → 403", async (proxy) => {
  const link = await proxy.link("https://good.test/a/m.mp4", { scopeDirectories: 1 });
  for (
    const target of [
      "https://good.test.evil.test/a/m.mp4",
      "https://notgood.test/a/m.mp4",
      "https://good.test@evil.test/a/m.mp4",
      "https://evil.test\\@good.test/a/m.mp4",
      "https://good.test:8080/a/m.mp4",
      "http://good.test/a/m.mp4",
    ]
  ) {
    const url = new URL(link);
    url.searchParams.set("url", target);
    const response = await fetch(url);
    assert.equal(response.status, 403, target);
    await response.body?.cancel();
  }
});

proxyTest("key rotation: links of both keys → 200, of a removed key → 403", async (proxy) => {
  proxy.route("/", media(FILE));
  const keys = (text: string) => unwrap(parseSigningKeys(text));
  for (
    const [key, status] of [[`k1:${"A".repeat(43)}`, 200], [`k2:${"B".repeat(43)}`, 200], [
      `k3:${"C".repeat(43)}`,
      403,
    ]] as const
  ) {
    const response = await proxy.get("/a.mp4", { sign: { keys: keys(key) } });
    assert.equal(response.status, status, key.slice(0, 2));
    await response.body?.cancel();
  }
  // A child is signed with its parent's key, so that the sealed context stays readable.
  proxy.route("/m.m3u8", text("#EXTM3U\n#EXTINF:1,\nother/a.ts\n"));
  const playlist = await (await proxy.get("/m.m3u8", {
    sign: { keys: keys(KEY_TEXT), context: { headers: { referer: "https://p.test/" } } },
  })).text();
  const child = playlist.split("\n")[2]!;
  assert.match(child, /sig=k1\./);
  await (await fetch(child)).body?.cancel();
  assert.equal(proxy.seen.at(-1)!.target, "/other/a.ts");
  assert.equal(proxy.seen.at(-1)!.headers.get("referer"), "https://p.test/");
}, { vars: { STREAM_SIGNING_KEYS: `k2:${"B".repeat(43)},k1:${"A".repeat(43)}` } });

proxyTest("child links → expire with their parent, in and out of scope", async (proxy) => {
  proxy.route(
    "/a/m.m3u8",
    text("#EXTM3U\n#EXTINF:1,\nx.ts\n#EXTINF:1,\n../b/y.ts\n#EXTINF:1,\nhttps://cdn.test/z.ts\n"),
  );
  const playlist = await (await proxy.get("/a/m.m3u8", { sign: { scopeDirectories: 1, expiresAt: 3_999_999_999 } }))
    .text();
  const children = playlist.split("\n").filter((line) => line.startsWith("http"));
  assert.equal(children.length, 3);
  for (const child of children) assert.equal(new URL(child).searchParams.get("exp"), "3999999999");
});

proxyTest(
  "over 32 signatures → directories share one; more origins → 502",
  async (proxy) => {
    const many = Array.from({ length: 500 }, (_, i) => `#EXTINF:1,\nhttps://cdn.test/v/seg/${i}/a.ts\n`).join("");
    proxy.route("/many.m3u8", text(`#EXTM3U\n${many}`));
    const playlist = await (await proxy.get("/many.m3u8")).text();
    const children = playlist.split("\n").filter((line) => line.startsWith("http")).map((line) =>
      new URL(line).searchParams
    );
    assert.equal(children.length, 500);
    assert.equal(new Set(children.map((query) => query.get("sig"))).size, 1);
    assert.deepEqual(
      [...new Set(children.map((query) => query.get("sc")))],
      ["2"],
      "no wider than their common directory",
    );
    const origins = Array.from({ length: 33 }, (_, i) => `#EXTINF:1,\nhttps://cdn${i}.test/a.ts\n`).join("");
    proxy.route("/origins.m3u8", text(`#EXTM3U\n${origins}`));
    const refused = await proxy.get("/origins.m3u8");
    assert.equal(refused.status, 502);
    assert.equal(await codeOf(refused), "playlist_too_large");
  },
);

proxyTest(
  "playlist with private hosts or the proxy → unsigned, 403",
  async (proxy) => {
    const hosts = [
      "http://127.0.0.1:9/a.ts",
      "http://169.254.169.254/latest/meta-data/",
      `${proxy.worker.url}/proxy?url=http://127.0.0.1:9/`,
      `${proxy.worker.url}/health`,
      "http://0x7f.1/a.ts",
      "file:///etc/passwd",
    ];
    proxy.route(
      "/m.m3u8",
      text(
        "#EXTM3U\n" + hosts.map((host) => `#EXTINF:1,\n${host}\n`).join("") +
          `#EXT-X-KEY:METHOD=AES-128,URI="http://[::1]/k"\n`,
      ),
    );
    const playlist = await (await proxy.get("/m.m3u8")).text();
    const children = [...playlist.matchAll(/http:\/\/127\.0\.0\.1:\d+\/proxy\?[^"\s]*/g)].map((match) => match[0]);
    assert.equal(children.length, 7);
    const before = proxy.seen.length;
    for (const child of children) {
      assert.ok(!child.includes("sig="), child);
      const response = await fetch(child);
      assert.ok(
        response.status === 403 || (response.status === 400 && child.includes("file%3A")),
        `${response.status} ${child}`,
      );
      await response.body?.cancel();
    }
    assert.equal(proxy.seen.length, before);
  },
);

proxyTest("redirect to a private host → 403, nothing is fetched there", async (proxy) => {
  await using other = await startOrigin();
  other.route("/", media(FILE));
  for (
    const location of [
      `${other.url}/a.mp4`,
      "http://169.254.169.254/",
      "http://[::1]/",
      "file:///etc/passwd",
      "//127.1/",
    ]
  ) {
    proxy.route("/r.mp4", (_request, response) => send(response, 302, { location }));
    const response = await proxy.get("/r.mp4");
    assert.equal(response.status, 403, location);
    assert.equal(await codeOf(response), "redirect_denied");
  }
  assert.equal(other.seen.length, 0);
});

proxyTest("five redirects → followed; a sixth, or a loop → 502", async (proxy) => {
  proxy.route("/loop.mp4", (_request, response) => send(response, 302, { location: "/loop.mp4" }));
  const loop = await proxy.get("/loop.mp4");
  assert.equal(loop.status, 502);
  assert.equal(await codeOf(loop), "too_many_redirects");
  assert.equal(proxy.seen.length, 6);
  proxy.route("/hop/", (request, response) => {
    const left = Number(request.target.slice(5));
    return left === 0 ? media(FILE)(request, response) : send(response, 302, { location: `/hop/${left - 1}` });
  });
  const five = await proxy.get("/hop/5", { headers: { range: "bytes=1-2" } });
  assert.equal(five.status, 206);
  assert.equal(proxy.seen.at(-1)!.headers.get("range"), "bytes=1-2");
  await five.body?.cancel();
  const six = await proxy.get("/hop/6");
  assert.equal(six.status, 502);
  await six.body?.cancel();
});
