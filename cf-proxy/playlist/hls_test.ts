// Playlists in the forms that real sources send, rewritten by the running Worker.
import assert from "node:assert/strict";
import {
  codeOf,
  media,
  pattern,
  type ProxyFixture,
  proxyTest,
  send,
  startProxyFixture,
  text,
} from "../../dev/testing/proxy_fixture.ts";

const SEGMENT = pattern(64);

/** The playlist as served, with every proxy link replaced by `<url>` or, without a signature, `<!url>`. */
async function rewritten(
  proxy: ProxyFixture,
  path = "/v/m.m3u8",
  sign: { scopeDirectories?: number } = {},
): Promise<string> {
  const response = await proxy.get(path, { sign });
  const body = await response.text();
  assert.equal(response.status, 200, body);
  assert.equal(response.headers.get("content-type"), "application/vnd.apple.mpegurl");
  return shorten(body, proxy);
}

function shorten(body: string, proxy: ProxyFixture): string {
  const links = new RegExp(`${proxy.worker.url}/proxy\\?[^"\\s]*`, "g");
  return body.replace(links, (link) => {
    const query = new URL(link).searchParams;
    return `<${query.has("sig") ? "" : "!"}${query.get("url")!.replace(proxy.url, "")}>`;
  });
}

proxyTest("URI attribute of every tag → a proxy link", async (proxy) => {
  const tags = [
    '#EXT-X-KEY:METHOD=AES-128,URI="k.key",IV=0x1',
    '#EXT-X-SESSION-KEY:METHOD=AES-128,URI="sk.key"',
    '#EXT-X-MAP:URI="init.mp4",BYTERANGE="800@0"',
    '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="ja",URI="ja.m3u8"',
    '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="iframe.m3u8"',
    '#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI="image.m3u8"',
    '#EXT-X-PART:DURATION=1,URI="part.mp4"',
    '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="next.mp4"',
    '#EXT-X-RENDITION-REPORT:URI="other.m3u8",LAST-MSN=5',
    '#EXT-X-SESSION-DATA:DATA-ID="x",URI="data.json"',
    '#EXT-X-DATERANGE:ID="ad",START-DATE="2026-01-01T00:00:00Z",X-ASSET-URI="ad.m3u8"',
    '#EXT-X-SOMETHING-NEW:URI="new.bin"',
  ];
  proxy.route("/v/m.m3u8", text(`#EXTM3U\n${tags.join("\n")}\n#EXTINF:1,\na.ts\n`));
  const expected = tags.map((tag) => tag.replace(/URI="([^"]*)"/, (_whole, uri) => `URI="</v/${uri}>"`));
  assert.equal(await rewritten(proxy), `#EXTM3U\n${expected.join("\n")}\n#EXTINF:1,\n</v/a.ts>\n`);
});

proxyTest("X-ASSET-LIST → a proxy link, and its JSON is rewritten", async (proxy) => {
  proxy.route("/v/m.m3u8", text('#EXTM3U\n#EXT-X-DATERANGE:ID="ad",X-ASSET-LIST="list?id=1"\n#EXTINF:1,\na.ts\n'));
  proxy.route(
    "/v/list",
    text(
      JSON.stringify({
        ASSETS: [{ URI: "ad/1.m3u8", DURATION: 5 }, { URI: "https://ads.test/2.m3u8", DURATION: 6 }],
        X: 1,
      }),
      "application/json",
    ),
  );
  const playlist = await (await proxy.get("/v/m.m3u8")).text();
  const list = await fetch(/X-ASSET-LIST="([^"]+)"/.exec(playlist)![1]!);
  assert.equal(list.headers.get("content-type"), "application/json");
  const json = JSON.parse(shorten(await list.text(), proxy));
  assert.deepEqual(json, {
    ASSETS: [{ URI: "</v/ad/1.m3u8>", DURATION: 5 }, { URI: "<https://ads.test/2.m3u8>", DURATION: 6 }],
    X: 1,
  });
});

proxyTest(
  "CONTENT-STEERING → proxied; its JSON keeps priorities only",
  async (proxy) => {
    proxy.route(
      "/v/m.m3u8",
      text(
        '#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI="/steer?v=1",PATHWAY-ID="A"\n#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID="A"\na.m3u8\n',
      ),
    );
    const manifest = {
      VERSION: 1,
      TTL: 300,
      "RELOAD-URI": "/steer?v=2",
      "PATHWAY-PRIORITY": ["A", "B"],
      "PATHWAY-CLONES": [{ "BASE-ID": "A", ID: "B", "URI-REPLACEMENT": { HOST: "evil.test" } }],
    };
    proxy.route("/steer", text(JSON.stringify(manifest), "application/json"));
    const playlist = await (await proxy.get("/v/m.m3u8")).text();
    const server = /SERVER-URI="([^"]+)"/.exec(playlist)![1]!;
    const json = JSON.parse(shorten(await (await fetch(server)).text(), proxy));
    assert.deepEqual(json, { VERSION: 1, TTL: 300, "RELOAD-URI": "</steer?v=2>", "PATHWAY-PRIORITY": ["A", "B"] });
  },
);

proxyTest(
  "DEFINE by NAME, QUERYPARAM, IMPORT → expanded and removed",
  async (proxy) => {
    proxy.route(
      "/v/m.m3u8",
      text(
        '#EXTM3U\n#EXT-X-DEFINE:NAME="dir",VALUE="720p"\n#EXT-X-DEFINE:QUERYPARAM="tok"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{$dir}/i.m3u8?t={$tok}\n',
      ),
    );
    proxy.route(
      "/v/720p/i.m3u8",
      text(
        '#EXTM3U\n#EXT-X-DEFINE:IMPORT="dir"\n#EXT-X-KEY:METHOD=AES-128,URI="{$dir}.key"\n#EXTINF:1,{$dir}\n{$dir}/a.ts\n',
      ),
    );
    const master = await (await proxy.get("/v/m.m3u8?tok=a%26b")).text();
    assert.equal(shorten(master, proxy), "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n</v/720p/i.m3u8?t=a&b>\n");
    const child = await fetch(master.trim().split("\n").at(-1)!);
    assert.equal(
      shorten(await child.text(), proxy),
      '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="</v/720p/720p.key>"\n#EXTINF:1,{$dir}\n</v/720p/720p/a.ts>\n',
    );
    proxy.route("/v/bad.m3u8", text("#EXTM3U\n#EXTINF:1,\n{$undefined}.ts\n"));
    assert.equal(await codeOf(await proxy.get("/v/bad.m3u8")), "playlist_malformed");
  },
);

proxyTest(
  "_HLS_ parameters → sent to the source, the signature is valid",
  async (proxy) => {
    proxy.route("/v/live.m3u8", text("#EXTM3U\n#EXTINF:1,\na.ts\n"));
    const link = await proxy.link("/v/live.m3u8?t=%2F1");
    const response = await fetch(
      `${link}&_HLS_msn=5&_HLS_part=2&_HLS_skip=YES&_HLS_pathway=A&_HLS_throughput=9&other=1`,
    );
    assert.equal(response.status, 200);
    await response.body?.cancel();
    assert.equal(
      proxy.seen[0]!.target,
      "/v/live.m3u8?t=%2F1&_HLS_msn=5&_HLS_part=2&_HLS_skip=YES&_HLS_pathway=A&_HLS_throughput=9",
    );
  },
);

proxyTest("skd:, data: and blob: → unchanged", async (proxy) => {
  const tags =
    '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://key/1",KEYFORMAT="com.apple.streamingkeydelivery"\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI="data:text/plain;base64,AA==,x"\n#EXT-X-MAP:URI="blob:https://a.test/1"\n';
  proxy.route("/v/m.m3u8", text(`#EXTM3U\n${tags}#EXTINF:1,\ndata:video/mp2t;base64,AA==\n`));
  assert.equal(await rewritten(proxy), `#EXTM3U\n${tags}#EXTINF:1,\ndata:video/mp2t;base64,AA==\n`);
});

proxyTest("../, /x, //h/x, ?q, HTTPS:// and spaces → resolved as URLs", async (proxy) => {
  const rows = [
    ["../up.ts", "/up.ts"],
    ["/root.ts", "/root.ts"],
    ["//cdn.test/x.ts", "http://cdn.test/x.ts"],
    ["?q=1", "/v/m.m3u8?q=1"],
    ["httpseg.ts", "/v/httpseg.ts"],
    ["HTTPS://CDN.test/A.ts", "https://cdn.test/A.ts"],
    ["a b.ts", "/v/a%20b.ts"],
    ["  padded.ts  ", "/v/padded.ts"],
    ["a:b.ts", null],
    ["x.ts?u=https://a/b", "/v/x.ts?u=https://a/b"],
    ["100%25.ts?t=%2B", "/v/100%25.ts?t=%2B"],
    ["ü.ts", "/v/%C3%BC.ts"],
    ["a.ts#frag", "/v/a.ts"],
  ] as const;
  proxy.route("/v/m.m3u8", text(`#EXTM3U\n${rows.map(([uri]) => `#EXTINF:1,\n${uri}\n`).join("")}`));
  const lines = (await rewritten(proxy)).split("\n").filter((line) => line.startsWith("<"));
  assert.deepEqual(lines, rows.map(([, expected]) => expected === null ? "<!a:b.ts>" : `<${expected}>`));
});

proxyTest("redirected playlist → relative URLs resolve against its new URL", async (proxy) => {
  proxy.route("/v/m.m3u8", (_request, response) => send(response, 302, { location: "/real/deep/m.m3u8" }));
  proxy.route("/real/deep/m.m3u8", text("#EXTM3U\n#EXTINF:1,\na.ts\n"));
  proxy.route("/real/deep/a.ts", media(SEGMENT));
  assert.equal(
    await rewritten(proxy, "/v/m.m3u8", { scopeDirectories: 1 }),
    "#EXTM3U\n#EXTINF:1,\n</real/deep/a.ts>\n",
  );
  const link = (await (await proxy.get("/v/m.m3u8")).text()).split("\n")[2]!;
  const segment = await fetch(link);
  assert.equal(segment.status, 200);
  await segment.body?.cancel();
});

proxyTest(
  "CRLF, BOM, no last newline, tags after EXTINF → rewritten",
  async (proxy) => {
    proxy.route(
      "/v/m.m3u8",
      text(
        "\uFEFF#EXTM3U\r\n\r\n#EXTINF:1,\r\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\r\n\r\na.ts\r\n#EXTINF:1,\nb.ts",
      ),
    );
    assert.equal(
      await rewritten(proxy),
      "#EXTM3U\r\n\r\n#EXTINF:1,\r\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\r\n\r\n</v/a.ts>\r\n#EXTINF:1,\n</v/b.ts>",
    );
  },
);

proxyTest("commas and = in quotes, two URLs on one line → rewritten", async (proxy) => {
  const tag = '#EXT-X-DATERANGE:ID="a,URI=b",X-ASSET-URI="x?a=1,b=2",X-NOTE="say URI=no",URI="y.bin"';
  proxy.route("/v/m.m3u8", text(`#EXTM3U\n${tag}\n#EXTINF:1,URI="title"\na.ts\n`));
  assert.equal(
    await rewritten(proxy),
    '#EXTM3U\n#EXT-X-DATERANGE:ID="a,URI=b",X-ASSET-URI="</v/x?a=1,b=2>",X-NOTE="say URI=no",URI="</v/y.bin>"\n#EXTINF:1,URI="title"\n</v/a.ts>\n',
  );
});

proxyTest("BYTERANGE → kept, and the player's range is forwarded", async (proxy) => {
  const body =
    '#EXTM3U\n#EXT-X-MAP:URI="all.mp4",BYTERANGE="8@0"\n#EXTINF:1,\n#EXT-X-BYTERANGE:16@8\nall.mp4\n#EXTINF:1,\n#EXT-X-BYTERANGE:20\nall.mp4\n';
  proxy.route("/v/m.m3u8", text(body));
  proxy.route("/v/all.mp4", media(SEGMENT));
  assert.equal(
    await rewritten(proxy),
    body.replaceAll(/^all.mp4$/gm, "</v/all.mp4>").replace('"all.mp4"', '"</v/all.mp4>"'),
  );
  const link = (await (await proxy.get("/v/m.m3u8")).text()).split("\n")[4]!;
  const response = await fetch(link, { headers: { range: "bytes=8-23" } });
  assert.equal(response.status, 206);
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), SEGMENT.slice(8, 24));
});

proxyTest(
  "playlists without .m3u8, any media type, bytes=0- → detected",
  async (proxy) => {
    const body = "#EXTM3U\n#EXTINF:1,\na.ts\n";
    for (
      const [path, type] of [
        ["/v/play", "text/plain"],
        ["/v/master.txt", "text/plain"],
        ["/v/x.php?type=m3u8", "text/html"],
        ["/v/none", ""],
        ["/v/typed", "Application/X-MPEGURL; charset=utf-8"],
        ["/v/oct", "application/octet-stream"],
      ] as const
    ) {
      proxy.route(path.split("?")[0]!, (request, response) => {
        if (request.headers.has("range")) {
          const size = body.length;
          return send(response, 206, {
            ...(type && { "content-type": type }),
            "content-range": `bytes 0-${size - 1}/${size}`,
          }, body);
        }
        send(response, 200, type ? { "content-type": type } : {}, body);
      });
      assert.equal(await rewritten(proxy, path), "#EXTM3U\n#EXTINF:1,\n</v/a.ts>\n", path);
      const ranged = await proxy.get(path, { headers: { range: "bytes=0-" } });
      assert.equal(ranged.status, 200, path);
      assert.equal(shorten(await ranged.text(), proxy), "#EXTM3U\n#EXTINF:1,\n</v/a.ts>\n", path);
    }
    proxy.route("/v/notes.txt", text("#EXTM3U8 is not a playlist", "text/plain"));
    const other = await proxy.get("/v/notes.txt");
    assert.equal(other.headers.get("content-type"), "text/plain");
    assert.equal(await other.text(), "#EXTM3U8 is not a playlist");
  },
);

proxyTest("HTML with status 200 on .m3u8, or on .mp4 → 502", async (proxy) => {
  proxy.route("/v/m.m3u8", text("<html>blocked</html>", "text/html"));
  proxy.route("/v/a.mp4", text("<html>blocked</html>", "text/html"));
  const playlist = await proxy.get("/v/m.m3u8");
  assert.equal(playlist.status, 502);
  assert.equal(await codeOf(playlist), "not_a_playlist");
  const video = await proxy.get("/v/a.mp4");
  assert.equal(video.status, 502);
  assert.equal(await codeOf(video), "not_media");
});

proxyTest("playlist over 4 MiB, with any Content-Length → 502", async (proxy) => {
  const line = "#EXTINF:1,\nsegment-with-a-long-name.ts\n";
  const body = "#EXTM3U\n" + line.repeat(Math.ceil(4.1 * 2 ** 20 / line.length));
  proxy.route("/v/m.m3u8", text(body));
  const told = await proxy.get("/v/m.m3u8");
  assert.equal(told.status, 502);
  assert.equal(await codeOf(told), "too_large");
  proxy.route("/v/endless.m3u8", (_request, response) => {
    response.writeHead(200, { "content-type": "application/vnd.apple.mpegurl" });
    response.write("#EXTM3U\n");
    const feed = () => response.destroyed || response.write(line.repeat(1000), () => setTimeout(feed, 0));
    feed();
  });
  const endless = await proxy.get("/v/endless.m3u8");
  assert.equal(endless.status, 502);
  assert.equal(await codeOf(endless), "too_large");
});

proxyTest("x.m3u8/seg1.ts → a segment", async (proxy) => {
  proxy.route("/v/x.m3u8/seg1.ts", media(SEGMENT, { type: "video/mp2t" }));
  const response = await proxy.get("/v/x.m3u8/seg1.ts", { headers: { range: "bytes=0-9" } });
  assert.equal(response.status, 206);
  assert.equal(response.headers.get("content-type"), "video/mp2t");
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), SEGMENT.slice(0, 10));
});

proxyTest("playlist rewritten once → unchanged by a second rewrite", async (proxy) => {
  proxy.route(
    "/v/m.m3u8",
    text(
      '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="../k"\n#EXTINF:1,\na.ts?x=1\n#EXTINF:1,\nhttps://cdn.test/b.ts\n#EXTINF:1,\nhttp://127.0.0.1:1/c.ts\n',
    ),
  );
  const once = await (await proxy.get("/v/m.m3u8")).text();
  proxy.route("/w/m.m3u8", text(once));
  assert.equal(await (await proxy.get("/w/m.m3u8")).text(), once);
});

proxyTest("same playlist, same link → same text", async (proxy) => {
  proxy.route("/v/m.m3u8", text("#EXTM3U\n#EXTINF:1,\na.ts\n#EXTINF:1,\nhttps://cdn.test/b.ts\n"));
  const sign = { context: { headers: { referer: "https://p.test/" } } };
  const [a, b] = await Promise.all([1, 2].map(async () => await (await proxy.get("/v/m.m3u8", { sign })).text()));
  assert.equal(a, b);
});

proxyTest("10,000 segments and hostile lines → rewritten completely", async (proxy) => {
  proxy.route(
    "/v/m.m3u8",
    text("#EXTM3U\n" + Array.from({ length: 10_000 }, (_, i) => `#EXTINF:4,\nseg-${i}.ts?t=abc\n`).join("")),
  );
  const lines = (await rewritten(proxy)).split("\n").filter((line) => line.startsWith("<"));
  assert.equal(lines.length, 10_000);
  assert.equal(lines[9999], "</v/seg-9999.ts?t=abc>");
  // Each of these would take minutes with a quadratic scan of the text or of a line.
  const hostile = [
    "#EXT-X-KEY:" + "URI=".repeat(500_000),
    "#EXT-X-KEY:" + 'A="'.repeat(500_000),
    "#EXT-X-KEY:" + ",".repeat(1_000_000) + 'URI="k"',
    "{$".repeat(500_000),
    "/".repeat(1_000_000),
    "../".repeat(300_000) + "a.ts",
    "\r".repeat(1_000_000),
  ];
  for (const line of hostile) {
    proxy.route("/v/slow.m3u8", text(`#EXTM3U\n#EXTINF:1,\n${line}\n`));
    const response = await proxy.get("/v/slow.m3u8");
    assert.ok(response.status === 200 || response.status === 502, `${response.status} ${line.slice(0, 20)}`);
    await response.body?.cancel();
  }
});

Deno.test("variables: more than a child's link can contain → 502", async () => {
  await using proxy = await startProxyFixture();
  const master = (length: number) =>
    `#EXTM3U\n#EXT-X-DEFINE:NAME="a",VALUE="${"a".repeat(length)}"\n#EXT-X-STREAM-INF:BANDWIDTH=1\ni.m3u8\n`;
  proxy.route("/v/m.m3u8", text(master(3000)));
  const response = await proxy.get("/v/m.m3u8");
  assert.equal(response.status, 200);
  await response.body?.cancel();
  proxy.route("/v/m.m3u8", text(master(3100)));
  const refused = await proxy.get("/v/m.m3u8");
  assert.equal(refused.status, 502);
  assert.equal(await codeOf(refused), "playlist_too_large");
});
