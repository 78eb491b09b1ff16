// A segment comes from the fresh playlist only if that is verified to be the playlist that was served.
import assert from "node:assert/strict";
import {
  type Changes,
  COUNT,
  count,
  episode,
  expire,
  links,
  list,
  play,
  respondWith,
  segment,
  serve,
  sign,
  start,
} from "../../dev/testing/hls_failover_fixture.ts";
import {
  bytesOf,
  codeOf,
  media,
  pattern,
  type ProxyFixture,
  send,
  startOrigin,
  text,
} from "../../dev/testing/proxy_fixture.ts";

for (const status of [401, 403, 404, 410]) {
  Deno.test(`segments: ${status} → from the fresh playlist, which is read once`, async () => {
    await using proxy = await start();
    serve(proxy, "old");
    const segments = await play(proxy);
    expire(proxy, status);
    serve(proxy, "new");
    respondWith(proxy, "/new/master.m3u8");
    for (const i of [2, 3, 4, 0]) {
      const response = await fetch(segments[i]!);
      assert.equal(response.status, 200);
      assert.deepEqual(await bytesOf(response), segment("720", i));
    }
    assert.ok(proxy.seen.some((one) => one.target === "/new/720/seg-4.ts?t=new"));
    const part = await fetch(segments[3]!, { headers: { range: "bytes=10-19" } });
    assert.equal(part.status, 206);
    assert.deepEqual(await bytesOf(part), segment("720", 3).slice(10, 20));
    assert.deepEqual([count(proxy, "/streaming/55825/1"), count(proxy, "/new/master.m3u8")], [1, 1]);
    // After the relocation, the expired URL is not requested first.
    assert.equal(count(proxy, "/old/720/seg-4.ts"), 0);
  });
}

const differences: Record<string, Changes> = {
  "with a longer segment": { list: list().replace("4.003", "4.013") },
  "with one more segment": { list: list().replace("#EXT-X-ENDLIST", "#EXTINF:1,\nseg-9.ts\n#EXT-X-ENDLIST") },
  "with other names": { list: list().replace("seg-3", "seg-33") },
  "with another key": { list: list('#EXT-X-KEY:METHOD=AES-128,URI="k"\n') },
  "without ENDLIST": { list: list().replace("#EXT-X-ENDLIST\n", "") },
  "whose files have another tag": { media: { etag: '"v2"' } },
  "whose files have no strong tag and another date": {
    media: { etag: 'W/"v1"', lastModified: "Fri, 02 Jan 2026 00:00:00 GMT" },
  },
};
for (const [what, changes] of Object.entries(differences)) {
  Deno.test(`segments: fresh playlist ${what} → 410`, async () => {
    await using proxy = await start();
    serve(proxy, "old");
    const segments = await play(proxy);
    expire(proxy, 403);
    serve(proxy, "new", changes);
    respondWith(proxy, "/new/master.m3u8");
    for (const i of [2, 3]) {
      const response = await fetch(segments[i]!);
      assert.equal(response.status, 410);
      const problem = await response.json();
      assert.equal(problem.code, "source_expired");
      assert.equal(problem.episode_url, `${proxy.url}/functions/v1/streaming/55825/1`);
    }
    assert.equal(count(proxy, "/new/720/seg-2.ts"), 0);
    assert.equal(count(proxy, "/new/master.m3u8"), 1);
  });
}

Deno.test("segments: none served with a validator → 410", async () => {
  await using proxy = await start();
  serve(proxy, "old");
  const segments = await play(proxy, 0);
  expire(proxy, 403);
  serve(proxy, "new");
  respondWith(proxy, "/new/master.m3u8");
  assert.equal(await codeOf(await fetch(segments[0]!)), "source_expired");
  assert.equal(count(proxy, "/new/master.m3u8"), 0);
});

Deno.test("segments: fresh playlist on a private host → 410, not fetched", async () => {
  await using inside = await startOrigin();
  inside.route("/", text(list()));
  for (const at of ["list", "master"]) {
    await using proxy = await start();
    serve(proxy, "old");
    const segments = await play(proxy);
    expire(proxy, 403);
    serve(proxy, "new", { list: list().replace("seg-3", `${inside.url}/seg-3`) });
    respondWith(proxy, "/new/master.m3u8");
    if (at === "master") {
      proxy.route("/new/master.m3u8", text(`#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n${inside.url}/m.m3u8\n`));
    }
    assert.equal(await codeOf(await fetch(segments[3]!)), "source_expired");
    assert.deepEqual(inside.seen, []);
  }
});

Deno.test("segments: missing at the fresh URL, too → its own 404, else 410", async () => {
  for (const [status, expected] of [[404, 404], [403, 410]] as const) {
    await using proxy = await start();
    serve(proxy, "old");
    const segments = await play(proxy);
    expire(proxy, status);
    serve(proxy, "new");
    proxy.route("/new/720/seg-3.ts", (_request, response) => send(response, 404, {}));
    respondWith(proxy, "/new/master.m3u8");
    const response = await fetch(segments[3]!);
    assert.equal(response.status, expected);
    await response.body?.cancel();
  }
});

Deno.test("segments: with an exact signature → never the fresh playlist", async () => {
  await using proxy = await start();
  for (const fresh of ["/new/master.m3u8", "/new/master"]) {
    serve(proxy, "new");
    proxy.route("/new/master", text(list()));
    proxy.route("/old/", (_request, response) => send(response, 403, {}));
    respondWith(proxy, fresh);
    const response = await proxy.get(`/old/a%2fb-${fresh.length}.ts`, { sign: { context: { episode } } });
    assert.equal(response.status, 410);
    await response.body?.cancel();
  }
});

/** Two variants in one directory that differ by query only. */
function serveByQuery(proxy: ProxyFixture, base: string): void {
  const variants = ["480", "720"];
  const master = variants.map((variant) => `#EXT-X-STREAM-INF:BANDWIDTH=${variant}000\nindex.m3u8?q=${variant}\n`);
  proxy.route(`/${base}/`, (request, response) => {
    const { pathname, searchParams } = new URL(request.target, proxy.url);
    const variant = searchParams.get("q")!;
    if (pathname.endsWith("master.m3u8")) return text(`#EXTM3U\n${master.join("")}`)(request, response);
    if (pathname.endsWith(".m3u8")) return text(list().replaceAll("t=TOKEN", `q=${variant}`))(request, response);
    const i = Number(/seg-(\d)/.exec(pathname)![1]);
    return media(segment(variant, i), { etag: `"${variant}-${i}"` })(request, response);
  });
}

for (const samples of [["720"], ["720", "480"]]) {
  Deno.test(`segments: variants differ by query, ${samples.join(" and ")} played → own or 410`, async () => {
    await using proxy = await start();
    serveByQuery(proxy, "old");
    const variants = await links(await proxy.link("/old/master.m3u8", sign));
    const segments = { "480": await links(variants[0]!), "720": await links(variants[1]!) };
    for (const variant of samples as ("480" | "720")[]) {
      assert.deepEqual(await bytesOf(await fetch(segments[variant][0]!)), segment(variant, 0));
    }
    proxy.route("/old/", (_request, response) => send(response, 403, {}, "dead"));
    serveByQuery(proxy, "new");
    respondWith(proxy, "/new/master.m3u8");
    for (const variant of ["720", "480"] as const) {
      for (const i of [2, 3]) {
        const response = await fetch(segments[variant][i]!);
        if (samples.includes(variant)) assert.deepEqual(await bytesOf(response), segment(variant, i));
        else assert.equal(await codeOf(response), "source_expired");
      }
    }
  });
}

Deno.test("segments: a shared initialization section verifies no playlist", async () => {
  await using proxy = await start();
  const withInit = (base: string) => list('#EXT-X-MAP:URI="init.mp4"\n').replaceAll("TOKEN", base);
  for (const base of ["old", "new"]) {
    proxy.route(`/${base}/m.m3u8`, text(withInit(base)));
    proxy.route(`/${base}/init.mp4`, media(pattern(100)));
    for (let i = 0; i < COUNT; i++) {
      proxy.route(`/${base}/seg-${i}.ts`, media(segment(base === "old" ? "720" : "480", i)));
    }
  }
  const playlist = await (await proxy.get("/old/m.m3u8", { sign })).text();
  const init = /URI="([^"]+)"/.exec(playlist)![1]!;
  const segments = playlist.split("\n").filter((line) => line.startsWith("http"));
  assert.deepEqual(await bytesOf(await fetch(init)), pattern(100));
  for (let i = 0; i < COUNT; i++) proxy.route(`/old/seg-${i}.ts`, (_request, response) => send(response, 403, {}));
  respondWith(proxy, "/new/m.m3u8");
  assert.equal(await codeOf(await fetch(segments[3]!)), "source_expired");
});

Deno.test("segments: unknown names → searched once, known segments found", async () => {
  await using proxy = await start();
  serve(proxy, "old");
  const segments = await play(proxy);
  expire(proxy, 403);
  proxy.route("/old/720/", (_request, response) => send(response, 403, {}));
  serve(proxy, "new");
  respondWith(proxy, "/new/master.m3u8");
  for (const name of ["seg-77", "seg-78", "seg-79"]) {
    assert.equal(await codeOf(await fetch(segments[3]!.replace("seg-3", name))), "source_expired");
  }
  assert.equal(count(proxy, "/new/master.m3u8"), 1);
  assert.deepEqual(await bytesOf(await fetch(segments[3]!)), segment("720", 3));
});

Deno.test("segments: unverified audio next to verified video → video plays", async () => {
  await using proxy = await start();
  const audio = (base: string) => list().replaceAll("seg-", "sound-").replaceAll("TOKEN", base);
  for (const base of ["old", "new"]) {
    serve(proxy, base);
    const media = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="720/sound.m3u8"\n';
    const variant = `#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\n720/index.m3u8?t=${base}\n`;
    proxy.route(`/${base}/master.m3u8`, text(`#EXTM3U\n${media}${variant}`));
    proxy.route(`/${base}/720/sound.m3u8`, text(audio(base)));
  }
  const segments = await play(proxy);
  const audioLinks = await links(segments[0]!.replace(/seg-0.*/, "sound.m3u8"));
  expire(proxy, 403);
  proxy.route("/old/720/", (_request, response) => send(response, 403, {}));
  respondWith(proxy, "/new/master.m3u8");
  assert.equal(await codeOf(await fetch(audioLinks[1]!)), "source_expired");
  assert.deepEqual(await bytesOf(await fetch(segments[3]!)), segment("720", 3));
});

Deno.test("segments: missing at the fresh URLs → fresh playlists read once", async () => {
  await using proxy = await start();
  serve(proxy, "old");
  const segments = await play(proxy);
  expire(proxy, 404);
  serve(proxy, "new");
  for (const i of [3, 4]) proxy.route(`/new/720/seg-${i}.ts`, (_request, response) => send(response, 404, {}));
  respondWith(proxy, "/new/master.m3u8");
  for (const i of [3, 3, 4, 3, 4]) {
    const response = await fetch(segments[i]!);
    assert.equal(response.status, 404);
    await response.body?.cancel();
  }
  assert.deepEqual([count(proxy, "/new/master.m3u8"), count(proxy, "/new/720/index.m3u8")], [1, 1]);
  assert.deepEqual(await bytesOf(await fetch(segments[2]!)), segment("720", 2));
});

Deno.test("segments: five relocated groups → all stay known", async () => {
  await using proxy = await start();
  const audio = list().replaceAll("seg-", "sound-");
  const playlists = ["1/m", "2/m", "3/m", "4/m", "4/sound"];
  for (const base of ["old", "new"]) {
    const variants = playlists.map((one) => `#EXT-X-STREAM-INF:BANDWIDTH=1\n${one}.m3u8\n`);
    proxy.route(`/${base}/master.m3u8`, text(`#EXTM3U\n${variants.join("")}`));
    for (const one of playlists) {
      proxy.route(`/${base}/${one}.m3u8`, text(one === "4/sound" ? audio : list()));
      const files = `/${base}/${one.replace("/m", "/seg")}`;
      for (let i = 0; i < COUNT; i++) {
        proxy.route(`${files}-${i}.ts`, media(segment(one[0]!, i), { etag: `"${one}${i}"` }));
      }
    }
  }
  const variants = await links(await proxy.link("/old/master.m3u8", sign));
  const segments = await Promise.all(variants.map(links));
  for (const one of segments) await bytesOf(await fetch(one[0]!));
  for (const one of playlists) {
    const files = `/old/${one.replace("/m", "/seg")}`;
    for (let i = 0; i < COUNT; i++) proxy.route(`${files}-${i}.ts`, (_request, response) => send(response, 403, {}));
  }
  respondWith(proxy, "/new/master.m3u8");
  for (const [i, one] of segments.entries()) {
    assert.deepEqual(await bytesOf(await fetch(one[2]!)), segment(playlists[i]![0]!, 2));
  }
  assert.deepEqual(await bytesOf(await fetch(segments[0]![3]!)), segment("1", 3));
  // The first group's relocation is still known: its expired URL is not requested.
  assert.deepEqual([count(proxy, "/old/1/seg-2.ts"), count(proxy, "/old/1/seg-3.ts")], [1, 0]);
});
