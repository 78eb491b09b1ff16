// Cookies that a playlist sets and its segments need: sent back to their origin only, and never visible to the viewer.
import assert from "node:assert/strict";
import {
  media,
  pattern,
  type ProxyFixture,
  proxyTest,
  send,
  startOrigin,
  startProxyFixture,
} from "../../dev/testing/proxy_fixture.ts";

const SEGMENT = pattern(64);
const TYPE = "application/vnd.apple.mpegurl";
const MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/m.m3u8\n";
const PLAYLIST =
  '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="/k/1.key"\n#EXTINF:1,\na.ts\n#EXTINF:1,\nb.ts\n#EXT-X-ENDLIST\n';

/** The last link of a playlist. */
function lastLink(playlist: string): string {
  return playlist.split("\n").filter((line) => line.startsWith("http")).at(-1)!;
}

function cookieOf(proxy: Pick<ProxyFixture, "seen">, path: string): string | null | undefined {
  return proxy.seen.findLast(({ target }) => target.split("?")[0] === path)?.headers.get("cookie");
}

async function read(response: Response): Promise<string> {
  const body = await response.text();
  assert.equal(response.status, 200, body);
  assert.equal(response.headers.get("set-cookie"), null);
  assert.doesNotMatch(`${body} ${JSON.stringify([...response.headers])}`, /sesame|path=/i);
  return body;
}

proxyTest("playlist sets a cookie → its key and segments are fetched with it", async (proxy) => {
  proxy.route("/v/m.m3u8", (_request, response) => {
    response.setHeader("set-cookie", ["session=sesame; Path=/; HttpOnly", "b=2; Path=/"]);
    send(response, 200, { "content-type": TYPE }, PLAYLIST);
  });
  proxy.route("/v/b.ts", media(SEGMENT));
  proxy.route("/k/1.key", media(SEGMENT));
  for (const sign of [{}, { scopeDirectories: 1 }]) {
    const playlist = await read(await proxy.get("/v/m.m3u8", { sign }));
    const segment = await fetch(lastLink(playlist), { headers: { range: "bytes=0-1", cookie: "own=1" } });
    assert.equal(segment.status, 206);
    await segment.body?.cancel();
    assert.equal(cookieOf(proxy, "/v/b.ts"), "session=sesame; b=2");
    await (await fetch(/URI="([^"]+)"/.exec(playlist)![1]!)).body?.cancel();
    assert.equal(cookieOf(proxy, "/k/1.key"), "session=sesame; b=2");
  }
  assert.doesNotMatch(proxy.worker.output(), /sesame/);
});

proxyTest("cookies of master, variant and MPD → added, replaced, deleted", async (proxy) => {
  proxy.route("/v/master.m3u8", (_request, response) => {
    send(response, 200, { "content-type": TYPE, "set-cookie": "session=sesame" }, MASTER);
  });
  let variantCookie: string | undefined = "b=2; Path=/v";
  proxy.route("/v/low/m.m3u8", (_request, response) => {
    send(response, 200, { "content-type": TYPE, ...(variantCookie && { "set-cookie": variantCookie }) }, PLAYLIST);
  });
  proxy.route("/v/low/b.ts", media(SEGMENT));
  for (
    const [cookie, expected] of [
      [undefined, "session=sesame"],
      ["b=2; Path=/v", "session=sesame; b=2"],
      ["session=new", "session=new"],
      ["session=; Max-Age=0", null],
    ] as const
  ) {
    variantCookie = cookie;
    const master = await read(await proxy.get("/v/master.m3u8", { sign: { scopeDirectories: 1 } }));
    const variant = await (await fetch(lastLink(master))).text();
    assert.equal(cookieOf(proxy, "/v/low/m.m3u8"), "session=sesame");
    await (await fetch(lastLink(variant))).body?.cancel();
    assert.equal(cookieOf(proxy, "/v/low/b.ts"), expected);
  }
  const mpd =
    '<MPD><Period><AdaptationSet><SegmentTemplate duration="1" media="b.ts"/><Representation id="a"/></AdaptationSet></Period></MPD>';
  proxy.route("/v/low/m.mpd", (_request, response) => {
    send(response, 200, { "content-type": "application/dash+xml", "set-cookie": "m=sesame" }, mpd);
  });
  const link = /media="([^"]+)"/.exec(await read(await proxy.get("/v/low/m.mpd")))![1]!.replaceAll("&amp;", "&");
  await (await fetch(link)).body?.cancel();
  assert.equal(cookieOf(proxy, "/v/low/b.ts"), "m=sesame");
});

Deno.test("proxy: cookie and another origin, also after a redirect → not sent", async () => {
  await using other = await startOrigin();
  await using proxy = await startProxyFixture({ origins: [other.url] });
  other.route("/x/c.ts", media(SEGMENT));
  other.route(
    "/x/n.m3u8",
    (_request, response) =>
      send(
        response,
        200,
        { "content-type": TYPE, "set-cookie": "o=1" },
        `${PLAYLIST}#EXTINF:1,\n${proxy.url}/v/b.ts\n`,
      ),
  );
  proxy.route("/v/b.ts", media(SEGMENT));
  proxy.route("/v/r.ts", (_request, response) => send(response, 302, { location: `${other.url}/x/c.ts` }));
  proxy.route("/v/m.m3u8", (_request, response) => {
    const body = `${PLAYLIST}#EXTINF:1,\nr.ts\n#EXTINF:1,\n${other.url}/x/c.ts\n`;
    send(response, 200, { "content-type": TYPE, "set-cookie": "session=sesame; Domain=127.0.0.1" }, body);
  });
  const links = (await read(await proxy.get("/v/m.m3u8"))).split("\n").filter((line) => line.startsWith("http"));
  for (const link of links.slice(-2)) {
    const response = await fetch(link);
    assert.equal(response.status, 200, link);
    await response.body?.cancel();
  }
  assert.equal(cookieOf(proxy, "/v/r.ts"), "session=sesame");
  assert.deepEqual(other.seen.map(({ headers }) => headers.get("cookie")), [null, null]);
  // A playlist that was redirected: its cookies are of the origin that sent it.
  proxy.route(
    "/v/r.m3u8",
    (_request, response) => send(response, 302, { location: `${other.url}/x/n.m3u8`, "set-cookie": "h=2" }),
  );
  const moved = (await (await proxy.get("/v/r.m3u8")).text()).split("\n").filter((line) => line.startsWith("http"));
  other.route("/x/b.ts", media(SEGMENT));
  for (const link of moved) await (await fetch(link)).body?.cancel();
  assert.equal(cookieOf(other, "/x/b.ts"), "o=1");
  assert.equal(cookieOf(proxy, "/v/b.ts"), null);
});

proxyTest("redirect that sets a cookie and comes back → followed with it", async (proxy) => {
  proxy.route("/v/a.ts", (request, response) => {
    if (request.headers.get("cookie") === "ok=1") return media(SEGMENT)(request, response);
    send(response, 302, { location: "/v/a.ts", "set-cookie": "ok=1" });
  });
  const response = await proxy.get("/v/a.ts");
  assert.equal(response.status, 200);
  await response.body?.cancel();
});

proxyTest("hundred cookies, or of 1 MB → capped; the links still work", async (proxy) => {
  proxy.route("/v/b.ts", media(SEGMENT));
  proxy.route("/v/m.m3u8", (_request, response) => {
    response.setHeader("set-cookie", Array.from({ length: 100 }, (_, i) => `c${i}=${"x".repeat(60)}`));
    send(response, 200, { "content-type": TYPE }, PLAYLIST);
  });
  const response = await fetch(lastLink(await read(await proxy.get("/v/m.m3u8"))));
  assert.equal(response.status, 200);
  await response.body?.cancel();
  assert.equal(cookieOf(proxy, "/v/b.ts")!.split("; ").length, 16);
});

proxyTest("media that sets a cookie → links of others unchanged", async (proxy) => {
  proxy.route("/v/m.m3u8", (_request, response) => send(response, 200, { "content-type": TYPE }, PLAYLIST));
  proxy.route("/v/b.ts", media(SEGMENT, { headers: { "set-cookie": "s=1" } }));
  const response = await fetch(lastLink(await read(await proxy.get("/v/m.m3u8"))));
  assert.equal(response.headers.get("set-cookie"), null);
  await response.body?.cancel();
});
