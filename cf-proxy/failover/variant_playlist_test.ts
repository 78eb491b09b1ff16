// Failover of playlists: variants keep their place, renamed playlists are recognized.
import assert from "node:assert/strict";
import {
  COUNT,
  links,
  list,
  respondWith,
  segment,
  serve,
  sign,
  start,
} from "../../dev/testing/hls_failover_fixture.ts";
import { bytesOf, codeOf, send, text } from "../../dev/testing/proxy_fixture.ts";

Deno.test("variant: read from its place below the fresh multivariant playlist", async () => {
  await using proxy = await start();
  serve(proxy, "old");
  const variants = await links(await proxy.link("/old/master.m3u8", sign));
  proxy.route("/old/", (_request, response) => send(response, 403, {}));
  for (const path of ["master", "720/index", "480/index"]) {
    proxy.route(`/old/${path}.m3u8`, (_request, response) => send(response, 403, {}));
  }
  serve(proxy, "new");
  respondWith(proxy, "/new/master.m3u8");
  const segments = await links(variants[1]!);
  assert.equal(segments.length, COUNT);
  assert.ok(segments.every((one) => new URL(one).searchParams.get("url")!.startsWith(`${proxy.url}/new/480/seg-`)));
  assert.deepEqual(await bytesOf(await fetch(segments[1]!)), segment("480", 1));
  const master = await links(await proxy.link("/old/master.m3u8", sign));
  assert.ok(master[0]!.includes(encodeURIComponent("/new/720/index.m3u8")));
});

Deno.test("variant: not listed by the fresh multivariant playlist → 410", async () => {
  await using proxy = await start();
  serve(proxy, "old");
  const variants = await links(await proxy.link("/old/master.m3u8", sign));
  proxy.route("/old/720/index.m3u8", (_request, response) => send(response, 403, {}));
  proxy.route("/new/master.m3u8", text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n1080/index.m3u8\n"));
  respondWith(proxy, "/new/master.m3u8");
  assert.equal(await codeOf(await fetch(variants[0]!)), "source_expired");
});

Deno.test("variant: no longer listed, same directory → 410", async () => {
  await using proxy = await start();
  for (const [base, name] of [["old", "720"], ["new", "1080"]] as const) {
    for (const master of ["master", "720"]) {
      proxy.route(`/${base}/${master}.m3u8`, text(`#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n${name}.m3u8\n`));
    }
  }
  proxy.route("/old/720.m3u8", text(list()));
  const [variant] = await links(await proxy.link("/old/master.m3u8", sign));
  await links(variant!);
  proxy.route("/old/720.m3u8", (_request, response) => send(response, 403, {}));
  for (const fresh of ["/new/master.m3u8", "/new/720.m3u8"]) {
    respondWith(proxy, fresh);
    assert.equal(await codeOf(await fetch(variant!)), "source_expired", fresh);
  }
});

Deno.test("playlist: renamed file → recognized as multivariant or by fingerprint", async () => {
  for (const top of ["#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n720/index.m3u8\n", list()]) {
    await using proxy = await start();
    proxy.route("/old/1a2b.m3u8", text(top));
    const link = await proxy.link("/old/1a2b.m3u8", sign);
    const target = (link: string) => new URL(link).searchParams.get("url")!;
    const before = (await links(link)).map(target);
    proxy.route("/old/1a2b.m3u8", (_request, response) => send(response, 403, {}));
    proxy.route("/new/3c4d.m3u8", text(top));
    respondWith(proxy, "/new/3c4d.m3u8");
    assert.deepEqual((await links(link)).map(target), before.map((one) => one.replace("/old/", "/new/")));
  }
});

Deno.test("playlist: deeper than a scope, never read → found by its place", async () => {
  await using proxy = await start();
  const deep = "/d".repeat(40);
  proxy.route("/new/master.m3u8", text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n720/index.m3u8\n"));
  proxy.route("/new/720/index.m3u8", text(list()));
  respondWith(proxy, "/new/master.m3u8");
  proxy.route("/d/", (_request, response) => send(response, 403, {}));
  const options = { ...sign, scopeDirectories: 32 };
  assert.equal((await links(await proxy.link(`${deep}/master.m3u8`, options))).length, 1);
  assert.equal((await links(await proxy.link(`${deep}/720/index.m3u8`, options))).length, COUNT);
});
