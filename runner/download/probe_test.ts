import assert from "node:assert/strict";
import { brotliCompressSync } from "node:zlib";
import { ranged } from "../../dev/testing/fetch_fixture.ts";
import { probe } from "./probe.ts";

const PLAYLIST = "#EXTM3U\n#EXTINF:4,\na.ts\n";

/** Probes what `host` serves; a thrown error is a broken connection. */
function probed(host: (request: Request) => Response) {
  return probe("https://cdn.test/v", {
    fetch: (url, init) => Promise.resolve().then(() => host(new Request(url, init))),
    policy: {},
    headers: {},
    signal: new AbortController().signal,
  });
}

const KINDS: readonly (readonly [title: string, body: string, type: string, kind: string])[] = [
  ["a playlist", PLAYLIST, "text/plain", "hls"],
  ["blank lines before it", `\n\r\n ${PLAYLIST}`, "", "hls"],
  ["a byte order mark and blank lines before it", `\uFEFF\n${PLAYLIST}`, "", "hls"],
  ["a kilobyte of spaces before it", " ".repeat(1024) + PLAYLIST, "", "hls"],
  ["no #EXTM3U, HLS's type", PLAYLIST.slice(8), "application/vnd.apple.mpegurl", "hls"],
  ["no #EXTM3U, another spelling", PLAYLIST.slice(8), "Audio/X-MpegURL;charset=utf-8", "hls"],
  ["no #EXTM3U, another type", PLAYLIST.slice(8), "video/mp2t", "unknown"],
  ["a page of HLS's type", "<!doctype html><p>#EXTM3U", "application/x-mpegurl", "html"],
  ["a page after blank lines", "\n\n <html>", "", "html"],
  ["text of HLS's type", "not found", "application/x-mpegurl", "unknown"],
];

for (const [title, body, type, kind] of KINDS) {
  Deno.test(`probe: ${title} → ${kind}`, async () => {
    const headers: HeadersInit = type === "" ? {} : { "content-type": type };
    assert.equal((await probed(() => new Response(body, { headers }))).sniffed, kind);
  });
}

Deno.test("probe: brotli, whole or a range → unpacked, the size unknown", async () => {
  const text = PLAYLIST + Array.from({ length: 5000 }, () => `#EXTINF:4,\n${crypto.randomUUID()}.ts\n`).join("");
  const packed = new Uint8Array(brotliCompressSync(text));
  assert.ok(packed.length > 16 * 1024, "the range cuts the packed bytes");
  const headers = { "content-encoding": "br" };
  for (const host of [() => new Response(packed, { headers }), (r: Request) => ranged(r, packed, headers)]) {
    const { sniffed, sizeBytes, ranges } = await probed(host);
    assert.deepEqual([sniffed, sizeBytes, ranges], ["hls", null, false]);
  }
});

Deno.test("probe: connection broken once → repeated; always, or 404 → fails", async () => {
  let requests = 0;
  const brokenOnce = () => {
    if (requests++ === 0) throw new TypeError("connection reset");
    return new Response(PLAYLIST);
  };
  assert.equal((await probed(brokenOnce)).sniffed, "hls");
  const broken = () => {
    throw new TypeError("connection reset");
  };
  await assert.rejects(probed(broken), { code: "network" });
  requests = 0;
  await assert.rejects(probed(() => (requests++, new Response("", { status: 404 }))), { code: "source_expired" });
  assert.equal(requests, 1);
});
