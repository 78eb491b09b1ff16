/** Streams that break the specification and that players accept: archived completely. The same with lost bytes: refused. */
import assert from "node:assert/strict";
import * as zlib from "node:zlib";
import { type Bytes, playlistOf } from "../../dev/emulators/origin/clip.ts";
import { assertWhole, clip, hlsHost, names } from "../../dev/testing/clip_host.ts";
import { type Host, ranged, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";

const PASS = () => new Response(null, { status: 599 });

/** Serves `playlist` as /v.m3u8, and the clip's segments. */
function withPlaylist(playlist: string, fault: Host = PASS): Host {
  return hlsHost(clip.ts, (path, request) => path === "/v.m3u8" ? new Response(playlist) : fault(path, request));
}

/** Serves segment 3 as `body`. */
function withSegment(body: Bytes): Host {
  return hlsHost(clip.ts, (path) => path === "/s2.ts" ? new Response(body.slice()) : PASS());
}

function joined(...parts: readonly (Uint8Array | string)[]): Bytes {
  const encoder = new TextEncoder();
  return Uint8Array.from(
    parts.flatMap((part) => [...(typeof part === "string" ? encoder.encode(part) : part)]),
  );
}

const PACK = {
  gzip: zlib.gzipSync,
  deflate: zlib.deflateSync,
  "deflate, raw": zlib.deflateRawSync,
  br: zlib.brotliCompressSync,
  zstd: zlib.zstdCompressSync,
};

for (const [name, pack] of Object.entries(PACK)) {
  Deno.test(`playlist: always ${name}, whatever was requested → complete`, async () => {
    const packed = new Uint8Array(pack(new TextEncoder().encode(playlistOf(names))));
    const headers = { "content-encoding": name.split(",")[0]! };
    await using fixture = await startFetchFixture(
      hlsHost(clip.ts, (path) => path === "/v.m3u8" ? new Response(packed, { headers }) : PASS()),
    );
    await assertWhole(await fixture.fetch("/v.m3u8"));
  });
}

Deno.test("segments: always gzip → complete; ranges of gzip → refused", async () => {
  const headers = { "content-encoding": "gzip" };
  await using fixture = await startFetchFixture(hlsHost(clip.ts, (path) => {
    const index = names.indexOf(path);
    return index === -1 ? PASS() : new Response(new Uint8Array(zlib.gzipSync(clip.ts[index]!)), { headers });
  }));
  await assertWhole(await fixture.fetch("/v.m3u8"));
  const list = playlistOf(names).replaceAll("/s", "#EXT-X-BYTERANGE:188000@0\n/s");
  await using partial = await startFetchFixture(
    withPlaylist(list, (path, request) => ranged(request, clip.ts[names.indexOf(path)]!, headers)),
  );
  await assert.rejects(partial.fetch("/v.m3u8"), { code: "unsupported", message: /ranges of compressed.*gzip/ });
});

Deno.test("playlist: a coding that cannot be unpacked → refused, names it", async () => {
  for (const [coding, message] of [["br", /not brotli/], ["dcb", /compressed with dcb/]] as const) {
    const headers = { "content-encoding": coding };
    await using fixture = await startFetchFixture(() => new Response(playlistOf(names), { headers }));
    await assert.rejects(fixture.fetch("/v.m3u8"), { code: "unsupported", message });
  }
});

Deno.test("range after the end of a small file: 416 → asked again without Range", async () => {
  const host = (contentRange: boolean): Host => (path, request) => {
    const body = path === "/v.m3u8" ? new TextEncoder().encode(playlistOf(names)) : clip.ts[names.indexOf(path)]!;
    const end = Number(/-(\d+)$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    if (end < body.length) return new Response(body.slice());
    const headers: HeadersInit = contentRange ? { "content-range": `bytes */${body.length}` } : {};
    return new Response(null, { status: 416, headers });
  };
  for (const contentRange of [true, false]) {
    await using fixture = await startFetchFixture(host(contentRange));
    await assertWhole(await fixture.fetch("/v.m3u8"));
  }
});

Deno.test("416 to a range that starts after the end → refused, not fetched whole", async () => {
  const list = playlistOf(names).replaceAll("/s", "#EXT-X-BYTERANGE:188@999999999\n/s");
  let whole = 0;
  await using fixture = await startFetchFixture(withPlaylist(list, (path, request) => {
    if (request.headers.get("range") === null) whole++;
    return ranged(request, clip.ts[names.indexOf(path)]!);
  }));
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "source_expired", message: /416/ });
  assert.equal(whole, 0);
});

Deno.test("playlist: blank lines in front, no #EXTM3U → complete", async () => {
  const list = playlistOf(names);
  await using blank = await startFetchFixture(withPlaylist(`\r\n\n \t${list}`));
  await assertWhole(await blank.fetch("/v.m3u8"));
  const typed = (type: string) =>
    hlsHost(
      clip.ts,
      (path) =>
        path === "/v.m3u8"
          ? new Response(list.replace("#EXTM3U\n", ""), { headers: { "content-type": type } })
          : PASS(),
    );
  for (const type of ["application/vnd.apple.mpegurl", "audio/x-mpegURL; charset=utf-8"]) {
    await using fixture = await startFetchFixture(typed(type));
    await assertWhole(await fixture.fetch("/v.m3u8"));
  }
  await using plain = await startFetchFixture(typed("text/plain"));
  await assert.rejects(plain.fetch("/v.m3u8"), { code: "unsupported" });
});

/** One file with all segments; the playlist gives the lengths of its ranges only. */
function withoutOffsets(file: Bytes): Host {
  const lines = clip.ts.flatMap((bytes) => ["#EXTINF:2,", `#EXT-X-BYTERANGE:${bytes.length}`, "/all.ts"]);
  const list = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", ...lines, "#EXT-X-ENDLIST"].join("\n");
  return (path, request) => path === "/v.m3u8" ? new Response(list) : ranged(request, file);
}

Deno.test("byte ranges without a first offset: complete if the length proves it", async () => {
  const file = joined(...clip.ts);
  await using proved = await startFetchFixture(withoutOffsets(file));
  await assertWhole(await proved.fetch("/v.m3u8"));
  for (const other of [joined(file, new Uint8Array(188)), joined(clip.ts[0]!, file)]) {
    await using unproved = await startFetchFixture(withoutOffsets(other));
    await assert.rejects(unproved.fetch("/v.m3u8"), { code: "unsupported", message: /first byte range/ });
  }
});

type Encryption = { readonly padded: boolean; readonly sequence?: bigint };

/** AES-128 with the sequence number as IV. Segments of whole cipher blocks; the last one is padded with null packets. */
async function encrypt(parts: readonly Bytes[], key: Bytes, { padded, sequence = 0n }: Encryption): Promise<Bytes[]> {
  const imported = await crypto.subtle.importKey("raw", key, "AES-CBC", false, ["encrypt"]);
  return await Promise.all(parts.map(async (bytes, i) => {
    const iv = new Uint8Array(16);
    new DataView(iv.buffer).setBigUint64(8, sequence + BigInt(i));
    const cipher = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, imported, bytes));
    return padded ? cipher : cipher.slice(0, -16);
  }));
}

/** Null packets up to a whole number of cipher blocks: 752 bytes are four packets and 47 blocks. */
function inBlocks(bytes: Bytes): Bytes {
  const packet = joined([0x47, 0x1f, 0xff, 0x10] as unknown as Uint8Array, new Uint8Array(184).fill(0xff));
  let filled = bytes;
  while (filled.length % 752 !== 0) filled = joined(filled, packet);
  return filled;
}

Deno.test("AES-128: key as a data: URL, in base64 and percent-encoded → complete", async () => {
  const key = crypto.getRandomValues(new Uint8Array(16));
  const segments = await encrypt(clip.ts, key, { padded: true });
  const percent = [...key].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  for (const url of [`data:application/octet-stream;base64,${key.toBase64()}`, `DATA:,${percent}`]) {
    const list = playlistOf(names, { head: [`#EXT-X-KEY:METHOD=AES-128,URI="${url}"`] });
    await using fixture = await startFetchFixture(
      hlsHost(segments, (path) => path === "/v.m3u8" ? new Response(list) : PASS()),
    );
    await assertWhole(await fixture.fetch("/v.m3u8"));
    assert.deepEqual(new Set(fixture.asked), new Set(["/v.m3u8", ...names]));
  }
});

Deno.test("AES-128: a data: key of another length, or another key → refused", async () => {
  const segments = await encrypt(clip.ts, crypto.getRandomValues(new Uint8Array(16)), { padded: true });
  for (const url of ["data:;base64,AAEC", `data:;base64,${new Uint8Array(16).toBase64()}`, "data:nothing"]) {
    const list = playlistOf(names, { head: [`#EXT-X-KEY:METHOD=AES-128,URI="${url}"`] });
    await using fixture = await startFetchFixture(
      hlsHost(segments, (path) => path === "/v.m3u8" ? new Response(list) : PASS()),
    );
    await assert.rejects(fixture.fetch("/v.m3u8"), { code: "unsupported" });
  }
});

Deno.test("AES-128: no padding, a media sequence of 19 digits → complete", async () => {
  const key = crypto.getRandomValues(new Uint8Array(16));
  const sequence = 1234567890123456789n;
  const segments = await encrypt(clip.ts.map(inBlocks), key, { padded: false, sequence });
  const list = playlistOf(names, {
    head: [`#EXT-X-MEDIA-SEQUENCE:${sequence}`, '#EXT-X-KEY:METHOD=AES-128,URI="/key"'],
  });
  await using fixture = await startFetchFixture(hlsHost(segments, (path) => {
    if (path === "/key") return new Response(key);
    return path === "/v.m3u8" ? new Response(list) : PASS();
  }));
  await assertWhole(await fixture.fetch("/v.m3u8"));
});

Deno.test("segments: 1–100 stray bytes after the last packet → the same archive", async () => {
  await using plain = await startFetchFixture(hlsHost(clip.ts));
  const stray = clip.ts.map((bytes, i) => joined(bytes, new Uint8Array([1, 7, 16, 50, 99, 100][i]!)));
  await using fixture = await startFetchFixture(hlsHost(stray));
  assert.equal((await fixture.fetch("/v.m3u8")).final.sha256, (await plain.fetch("/v.m3u8")).final.sha256);
});

for (const seconds of ["0", "0.000", "0.04"]) {
  Deno.test(`last segment: 0 bytes, EXTINF:${seconds} → complete`, async () => {
    const list = playlistOf(names).replace("#EXT-X-ENDLIST", `#EXTINF:${seconds},\n/end.ts\n#EXT-X-ENDLIST`);
    await using fixture = await startFetchFixture(
      withPlaylist(list, (path) => path === "/end.ts" ? new Response("") : PASS()),
    );
    await assertWhole(await fixture.fetch("/v.m3u8"));
  });
}

Deno.test("segments of 0 bytes elsewhere, or of a second → refused", async () => {
  const last = playlistOf(names).replace("#EXT-X-ENDLIST", "#EXTINF:1,\n/end.ts\n#EXT-X-ENDLIST");
  const first = playlistOf(names).replace("#EXTINF:2.0", "#EXTINF:0,\n/end.ts\n#EXTINF:2.0");
  for (const list of [last, first]) {
    await using fixture = await startFetchFixture(
      withPlaylist(list, (path) => path === "/end.ts" ? new Response("") : PASS()),
    );
    await assert.rejects(fixture.fetch("/v.m3u8"), { code: "unsupported", message: /is empty/ });
  }
});

const HTML = `<!doctype html><title>502</title><body>${
  "<p>The upstream server did not respond.</p>".repeat(26)
}</body>`;
const JSON_ = JSON.stringify({ error: "expired", detail: "x".repeat(1100) });
const THIRD = clip.ts[2]!;
const MIDDLE = Math.floor(THIRD.length / 376) * 188;

const LOST: Readonly<Record<string, Bytes>> = {
  "an HTML page": joined(HTML),
  "a JSON error": joined(JSON_),
  "half of it, then an HTML page": joined(THIRD.slice(0, MIDDLE), HTML),
  "half of it, then a JSON error": joined(THIRD.slice(0, MIDDLE), JSON_),
  "an HTML page over its middle": joined(THIRD.slice(0, MIDDLE), HTML, THIRD.slice(MIDDLE + 8 * 188)),
  "half of it": THIRD.slice(0, MIDDLE),
  "half a packet less": THIRD.slice(0, -94),
  "another segment of the video": clip.ts[4]!,
  "its video without audio": clip.videoTs[2]!,
};

for (const [what, body] of Object.entries(LOST)) {
  Deno.test(`segment: ${what} → refused`, async () => {
    assert.ok(body.length > 1024);
    await using fixture = await startFetchFixture(withSegment(body));
    await assert.rejects(fixture.fetch("/v.m3u8"), { code: "unsupported" });
  });
}
