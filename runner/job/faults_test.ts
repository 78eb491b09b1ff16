/** Faults of real hosts: complete files are accepted, incomplete ones never. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Bytes, playlistOf, readClip } from "../../dev/emulators/origin/clip.ts";
import { type Host, ranged, slowly, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import type { FetchedSource } from "./source_tools.ts";

const clip = await readClip();
const names = clip.ts.map((_, i) => `/s${i}.ts`);

/** Serves a playlist of `segments`; `fault` may respond first. */
function hlsHost(segments: readonly Bytes[], fault: Host = () => new Response(null, { status: 599 })): Host {
  return async (path, request) => {
    const response = await fault(path, request);
    if (response.status !== 599) return response;
    if (path === "/v.m3u8") return new Response(playlistOf(names));
    const index = names.indexOf(path);
    return index === -1 ? new Response(null, { status: 404 }) : new Response(segments[index]!);
  };
}
const FREE_BOX = [0, 0, 0, 8, 0x66, 0x72, 0x65, 0x65];
const pass = () => new Response(null, { status: 599 });

async function assertWhole(result: FetchedSource): Promise<void> {
  assert.ok(Math.abs(result.durationSeconds - 12) < 0.2, `${result.durationSeconds} s`);
  assert.equal(createHash("sha256").update(await Deno.readFile(result.final.path)).digest("hex"), result.final.sha256);
}

Deno.test("segment: 404 every time → the job fails and names the segment", async () => {
  await using fixture = await startFetchFixture(
    hlsHost(clip.ts, (path) => path === "/s3.ts" ? new Response(null, { status: 404 }) : pass()),
  );
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "source_expired", message: /segment 4 of video/ });
});

Deno.test("segment: connection interrupted once → retried, complete", async () => {
  let first = true;
  await using fixture = await startFetchFixture(hlsHost(clip.ts, (path) => {
    if (path !== "/s2.ts" || !first) return pass();
    first = false;
    const half = clip.ts[2]!.slice(0, clip.ts[2]!.length / 2);
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(half);
        controller.close(); // fewer bytes than Content-Length: the server closes the connection
      },
    });
    return new Response(body, { headers: { "content-length": String(clip.ts[2]!.length) } });
  }));
  await assertWhole(await fixture.fetch("/v.m3u8"));
});

Deno.test("segment: half of it with a matching Content-Length → never accepted", async () => {
  const half = clip.ts[2]!.slice(0, Math.floor(clip.ts[2]!.length / 2 / 188) * 188);
  await using fixture = await startFetchFixture(
    hlsHost(clip.ts, (path) => path === "/s2.ts" ? new Response(half) : pass()),
  );
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "unsupported", message: /segment 3.*covers/ });
});

Deno.test("segment: 503 at first, for all → complete", async () => {
  const seen = new Set<string>();
  await using fixture = await startFetchFixture(hlsHost(clip.ts, (path) => {
    if (!path.startsWith("/s") || seen.has(path)) return pass();
    seen.add(path);
    return new Response(null, { status: 503 });
  }));
  await assertWhole(await fixture.fetch("/v.m3u8"));
});

Deno.test("segment: stalls after its first bytes → interrupted, fetched again", async () => {
  let stalled = false;
  await using fixture = await startFetchFixture(hlsHost(clip.ts, (path) => {
    if (path !== "/s4.ts" || stalled) return pass();
    stalled = true;
    const body = new ReadableStream({ start: (controller) => controller.enqueue(clip.ts[4]!.slice(0, 188)) });
    return new Response(body, { headers: { "content-length": String(clip.ts[4]!.length) } });
  }));
  await assertWhole(await fixture.fetch("/v.m3u8"));
  assert.equal(fixture.asked.filter((path) => path === "/s4.ts").length, 2);
});

Deno.test("segment: disguised as PNG → the same archive, byte for byte", async () => {
  const png = Uint8Array.fromHex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000049454e44ae426082",
  );
  const disguised = clip.ts.map((bytes) => new Uint8Array([...png, ...bytes]));
  await using plain = await startFetchFixture(hlsHost(clip.ts));
  await using fixture = await startFetchFixture(hlsHost(disguised));
  assert.equal((await fixture.fetch("/v.m3u8")).final.sha256, (await plain.fetch("/v.m3u8")).final.sha256);
});

/** Responds with `status` while `bears` segments are in flight; counts requests. */
function busyHost(bears: number, status: number) {
  const seen = { most: 0, refused: 0 };
  let open = 0;
  const host = hlsHost(clip.ts, async (path) => {
    if (!path.startsWith("/s")) return pass();
    if (open >= bears) {
      seen.refused++;
      return new Response(null, { status });
    }
    seen.most = Math.max(seen.most, ++open);
    await new Promise((done) => setTimeout(done, 150));
    open--;
    return pass();
  });
  return { host, seen };
}

for (const status of [429, 503]) {
  Deno.test(`connections: ${status} beyond four → complete with fewer`, async () => {
    const { host, seen } = busyHost(4, status);
    await using fixture = await startFetchFixture(host);
    await assertWhole(await fixture.fetch("/v.m3u8"));
    assert.ok(seen.refused > 0);
  });
}

for (const status of [429, 403]) {
  Deno.test(`connections: ${status} to added ones → complete with the initial number`, async () => {
    const { host, seen } = busyHost(2, status);
    await using fixture = await startFetchFixture(host);
    await assertWhole(await fixture.fetch("/v.m3u8", { hlsConnections: 4 }));
    assert.ok(seen.refused > 0);
  });
}

Deno.test("connections: many accepted → half, then all, never more", async () => {
  const { host, seen } = busyHost(100, 429);
  const asked: number[] = [];
  await using fixture = await startFetchFixture((path, request) => {
    if (path.startsWith("/s")) asked.push(seen.most);
    return host(path, request);
  });
  await assertWhole(await fixture.fetch("/v.m3u8", { hlsConnections: 4 }));
  assert.equal(asked[2], 2, "the third is asked for after two were open");
  assert.equal(seen.most, 4);
});

Deno.test("URLs: the token expires → resolved again, same segment continues", async () => {
  let token = 1;
  const served: string[] = [];
  await using fixture = await startFetchFixture((path) => {
    if (path === "/embed") {
      return new Response(`<script>setup({ file: "/t${token}/v.m3u8" })</script>`.replace("/t", `${fixture.url}/t`), {
        headers: { "content-type": "text/html" },
      });
    }
    const [, given, name] = /^\/t(\d+)\/(.+)$/.exec(path) ?? [];
    if (Number(given) !== token) return new Response(null, { status: 403 });
    if (name === "v.m3u8") return new Response(playlistOf(names.map((segment) => segment.slice(1))));
    if (token === 1 && served.length === 3) {
      token = 2;
      return new Response(null, { status: 403 });
    }
    if (token === 1) served.push(`/t2/${name}`);
    return new Response(clip.ts[names.indexOf(`/${name}`)]!);
  });
  await assertWhole(await fixture.fetch(`${fixture.url}/t1/v.m3u8`, { embedUrl: `${fixture.url}/embed` }));
  assert.equal(served.length, 3);
  assert.ok(!fixture.asked.some((path) => served.includes(path)), "what was there is not fetched twice");
});

for (
  const [by, change, expected] of [
    ["with the same bytes", {}, null],
    ["with other cuts", { cuts: true }, /changed while/],
    ["with another init section", { init: true }, /init section changed while/],
  ] as [string, { cuts?: true; init?: true }, RegExp | null][]
) {
  Deno.test(`URLs: a token of fragmented MP4 expires, new one ${by} → ${expected ? "refused" : "complete"}`, async () => {
    let token = 1;
    const gotInit = Promise.withResolvers<void>();
    await using fixture = await startFetchFixture(async (path) => {
      if (path === "/embed") {
        return new Response(`<script>setup({ file: "${fixture.url}/t${token}/v.m3u8" })</script>`, {
          headers: { "content-type": "text/html" },
        });
      }
      const [, given, name = ""] = /^\/t(\d+)\/(.+)$/.exec(path) ?? [];
      if (Number(given) !== token) return new Response(null, { status: 403 });
      const changed = token === 2 ? change : {};
      if (name === "v.m3u8") {
        const list = playlistOf(clip.m4s.map((_, i) => `${i}.m4s`), { head: ['#EXT-X-MAP:URI="init.mp4"'] });
        return new Response(changed.cuts ? list.replace("#EXTINF:2.0,", "#EXTINF:2.1,") : list);
      }
      if (name === "init.mp4") {
        gotInit.resolve();
        return new Response(new Uint8Array([...clip.init, ...changed.init ? FREE_BOX : []]));
      }
      if (token === 1 && Number(name[0]) > 2) {
        await gotInit.promise;
        token = 2;
        return new Response(null, { status: 403 });
      }
      return new Response(clip.m4s[Number(name[0])]!);
    });
    const running = fixture.fetch(`${fixture.url}/t1/v.m3u8`, { embedUrl: `${fixture.url}/embed` });
    if (expected === null) return await assertWhole(await running);
    await assert.rejects(running, { code: "source_expired", message: expected });
  });
}

Deno.test("AES-128: sequence number as IV, byte ranges of one file → complete", async () => {
  const key = crypto.getRandomValues(new Uint8Array(16));
  const imported = await crypto.subtle.importKey("raw", key, "AES-CBC", false, ["encrypt"]);
  const encrypted = await Promise.all(clip.ts.map(async (bytes, i) => {
    const iv = new Uint8Array(16);
    iv[15] = i + 7;
    return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, imported, bytes));
  }));
  const whole = new Uint8Array(encrypted.reduce((sum, bytes) => sum + bytes.length, 0));
  const lines = [
    "#EXTM3U",
    "#EXT-X-TARGETDURATION:2",
    "#EXT-X-MEDIA-SEQUENCE:7",
    '#EXT-X-KEY:METHOD=AES-128,URI="/key"',
  ];
  let at = 0;
  for (const bytes of encrypted) {
    whole.set(bytes, at);
    lines.push("#EXTINF:2,", `#EXT-X-BYTERANGE:${bytes.length}@${at}`, "/all.ts");
    at += bytes.length;
  }
  await using fixture = await startFetchFixture((path, request) => {
    if (path === "/v.m3u8") return new Response([...lines, "#EXT-X-ENDLIST"].join("\n"));
    if (path === "/key") return new Response(key);
    return ranged(request, whole);
  });
  await assertWhole(await fixture.fetch("/v.m3u8"));
});

Deno.test("fragmented MP4: two init sections → both halves arrive", async () => {
  const list = [
    ...["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:2", '#EXT-X-MAP:URI="/init.mp4"'],
    ...[0, 1, 2].flatMap((i) => ["#EXTINF:2,", `/m${i}.m4s`]),
    ...["#EXT-X-DISCONTINUITY", '#EXT-X-MAP:URI="/init2.mp4"'],
    ...[3, 4, 5].flatMap((i) => ["#EXTINF:2,", `/m${i}.m4s`]),
    "#EXT-X-ENDLIST",
  ].join("\n");
  await using fixture = await startFetchFixture((path) => {
    if (path === "/v.m3u8") return new Response(list);
    if (path.startsWith("/init")) return new Response(clip.init);
    return new Response(clip.m4s[Number(path[2])]!);
  });
  await assertWhole(await fixture.fetch("/v.m3u8"));
});

Deno.test("mux: MPEG-TS and fragmented MP4 → written during the download", async () => {
  const id = crypto.randomUUID();
  const muxing = async () => {
    for (let i = 0; i < 400; i++) {
      const info = await Deno.stat(`${fixture.dir}/job-${id}/muxed.mp4`).catch(() => null);
      if (info !== null && info.size > 0) return;
      await new Promise((done) => setTimeout(done, 10));
    }
    throw new Error("nothing was muxed while the last segment was waited for");
  };
  const shapes = { ts: { parts: clip.ts, head: [] }, m4s: { parts: clip.m4s, head: ['#EXT-X-MAP:URI="/init.mp4"'] } };
  let shape: keyof typeof shapes = "ts";
  let early: Promise<void> | undefined;
  await using fixture = await startFetchFixture(async (path) => {
    const { parts, head } = shapes[shape];
    if (path === "/v.m3u8") return new Response(playlistOf(parts.map((_, i) => `/${i}.${shape}`), { head }));
    if (path === "/init.mp4") return new Response(clip.init);
    const index = Number(/^\/(\d+)\./.exec(path)![1]);
    if (index === parts.length - 1) await (early = muxing());
    return new Response(parts[index]!);
  });
  for (shape of ["ts", "m4s"] as const) {
    await assertWhole(await fixture.fetch("/v.m3u8", { id }));
    await early;
    await Deno.remove(`${fixture.dir}/job-${id}`, { recursive: true });
  }
});

Deno.test("audio rendition: separate → one file; unreadable → refused", async () => {
  const master = [
    "#EXTM3U",
    '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Deutsch",LANGUAGE="de",URI="/a.m3u8"',
    '#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=320x180,AUDIO="a"',
    "/video.m3u8",
  ].join("\n");
  const host = (audio: (i: number) => Bytes): Host => (path) => {
    if (path === "/v.m3u8") return new Response(master);
    if (path === "/video.m3u8") return new Response(playlistOf(names.map((name) => `/v${name}`)));
    if (path === "/a.m3u8") return new Response(playlistOf(names.map((name) => `/a${name}`)));
    const index = Number(/s(\d)\.ts$/.exec(path)![1]);
    return new Response(path.startsWith("/v/") ? clip.videoTs[index]! : audio(index));
  };
  await using good = await startFetchFixture(host((i) => clip.audioTs[i]!));
  const result = await good.fetch("/v.m3u8");
  await assertWhole(result);
  assert.deepEqual(await tracksOf(result.final.path), ["video:und", "audio:deu"]);
  await using bad = await startFetchFixture(host(() => crypto.getRandomValues(new Uint8Array(1880))));
  await assert.rejects(bad.fetch("/v.m3u8"), { code: "unsupported", message: /audio/ });
});

Deno.test("MP4: moov at the end → moved to the front; no ranges → one stream", async () => {
  await using fixture = await startFetchFixture((_, request) =>
    new Response(request.method === "HEAD" ? null : clip.mp4, {
      headers: { "content-length": String(clip.mp4.length) },
    })
  );
  const result = await fixture.fetch("/a.mp4");
  await assertWhole(result);
  const text = new TextDecoder("latin1").decode(await Deno.readFile(result.final.path));
  assert.ok(text.indexOf("moov") < text.indexOf("mdat"));
});

Deno.test("MP4: replaced between two runs (other ETag) → started over", async () => {
  let version = 1;
  const cut = new AbortController();
  await using fixture = await startFetchFixture((_, request) => {
    const bytes = version === 1 ? clip.mp4 : clip.otherMp4;
    const response = ranged(request, bytes, { etag: `"v${version}"` });
    return version === 1 && request.headers.get("range") !== "bytes=0-16383" ? slowly(response) : response;
  });
  const id = crypto.randomUUID();
  await assert.rejects(
    fixture.fetch("/a.mp4", { id, signal: cut.signal, onProgress: (done) => done > 100_000 && cut.abort() }),
  );
  const left = await Deno.stat(`${fixture.dir}/job-${id}/media.bin`);
  assert.ok(left.size > 0, "the first run left something to resume");
  version = 2;
  const result = await fixture.fetch("/a.mp4", { id });
  assert.equal(fixture.resumed.length, 0);
  assert.equal(await videoWidth(result.final.path), 320);
});

Deno.test("MP4: interrupted → resumed; without its control file → started over", async () => {
  let slow = true;
  await using fixture = await startFetchFixture((_, request) => {
    const response = ranged(request, clip.mp4, { etag: '"same"' });
    return slow && request.headers.get("range") !== "bytes=0-16383" ? slowly(response) : response;
  });
  const damages: Record<string, (path: string) => Promise<void>> = {
    none: () => Promise.resolve(),
    lost: (path) => Deno.remove(path),
    "cut short": (path) => Deno.truncate(path, 20), // as a full disk leaves it
    empty: (path) => Deno.truncate(path),
    overwritten: async (path) => Deno.writeFile(path, new Uint8Array((await Deno.stat(path)).size)), // as after a power failure
  };
  for (const [what, damage] of Object.entries(damages)) {
    slow = true;
    const id = crypto.randomUUID();
    const cut = new AbortController();
    await assert.rejects(
      fixture.fetch("/a.mp4", { id, signal: cut.signal, onProgress: (done) => done > 100_000 && cut.abort() }),
    );
    await damage(`${fixture.dir}/job-${id}/media.bin.aria2`);
    slow = false;
    const before = fixture.asked.length;
    await assertWhole(await fixture.fetch("/a.mp4", { id }));
    assert.ok(fixture.asked.length > before, what);
    if (what === "none" || what === "lost") {
      assert.equal(fixture.resumed.filter((resumed) => resumed.from === "aria2").length, 1, what);
    }
  }
});

Deno.test("HLS: interrupted → segments on disk are not fetched again", async () => {
  const cut = new AbortController();
  let slow = true;
  await using fixture = await startFetchFixture(hlsHost(clip.ts, async (path) => {
    if (slow && path > "/s2.ts" && path.startsWith("/s")) {
      await new Promise((done) => setTimeout(done, 60_000, cut.signal.addEventListener("abort", done)));
    }
    return pass();
  }));
  const id = crypto.randomUUID();
  await assert.rejects(
    fixture.fetch("/v.m3u8", { id, signal: cut.signal, onProgress: (done) => done > 200_000 && cut.abort() }),
  );
  slow = false;
  const before = fixture.asked.length;
  await assertWhole(await fixture.fetch("/v.m3u8", { id }));
  const again = fixture.asked.slice(before).filter((path) => path.startsWith("/s"));
  assert.ok(again.length > 0 && again.length < names.length, `${again}`);
  assert.equal(fixture.resumed.length, 1);
});

Deno.test("MP4: one connection accepted → fewer connections, complete", async () => {
  let open = 0;
  let refused = 0;
  const big = new Uint8Array(clip.mp4.length + 8 + 6_000_000); // aria2 splits from 2 MB on; a free box changes nothing else
  big.set(clip.mp4);
  new DataView(big.buffer).setUint32(clip.mp4.length, 8 + 6_000_000);
  big.set(new TextEncoder().encode("free"), clip.mp4.length + 4);
  await using fixture = await startFetchFixture(async (_, request) => {
    if (request.headers.get("range") === "bytes=0-16383") return ranged(request, big, { etag: '"1"' });
    if (open >= 1) {
      refused++;
      return new Response(null, { status: 503 });
    }
    open++;
    await new Promise((done) => setTimeout(done, 300));
    open--;
    return ranged(request, big, { etag: '"1"' });
  });
  await assertWhole(await fixture.fetch("/a.mp4"));
  assert.ok(refused > 0);
});

Deno.test("MP4: downloaded during the probe → the probe may wait for it", async () => {
  const begun = Promise.withResolvers<void>();
  await using fixture = await startFetchFixture(async (_, request) => {
    if (request.headers.get("range") === "bytes=0-16383") await begun.promise;
    else begun.resolve();
    return ranged(request, clip.mp4, { etag: '"1"' });
  });
  await assertWhole(await fixture.fetch("/a.mp4"));
  assert.equal(fixture.resumed.length, 0);
});

Deno.test("MP4 URL: a page or a playlist → the started download is discarded", async () => {
  const id = crypto.randomUUID();
  const began = Promise.withResolvers<void>();
  let page = true;
  await using fixture = await startFetchFixture(async (path, request) => {
    if (path !== "/a.mp4") return hlsHost(clip.ts)(path, request);
    if (request.headers.get("range") === "bytes=0-16383") await began.promise;
    else setTimeout(began.resolve, 100); // so that it is on disk
    return new Response(page ? "<!doctype html><title>no</title>" : playlistOf(names));
  });
  await assert.rejects(fixture.fetch("/a.mp4", { id }), { code: "unsupported" });
  const left = (await Array.fromAsync(Deno.readDir(`${fixture.dir}/job-${id}`))).map(({ name }) => name).sort();
  assert.deepEqual(left, ["lock", "state.json"]);
  page = false;
  await assertWhole(await fixture.fetch("/a.mp4", { id }));
});

Deno.test("MP4: one connection, the probe counts → probed again alone, complete", async () => {
  let open = 0;
  let refusedLooks = 0;
  await using fixture = await startFetchFixture(async (_, request) => {
    const probe = request.headers.get("range") === "bytes=0-16383";
    if (probe && refusedLooks === 0) { while (open === 0) await new Promise((done) => setTimeout(done, 5)); }
    if (open >= 1) {
      if (probe) refusedLooks++;
      return new Response(null, { status: 503 });
    }
    open++;
    await new Promise((done) => setTimeout(done, 200));
    open--;
    return ranged(request, clip.mp4, { etag: '"1"' });
  });
  await assertWhole(await fixture.fetch("/a.mp4"));
  assert.ok(refusedLooks > 0);
});

Deno.test("MP4: replaced during the download → discarded, the new one complete", async () => {
  let etag = '"1"';
  let downloads = 0;
  await using fixture = await startFetchFixture((_, request) => {
    const bytes = etag === '"1"' ? clip.mp4 : clip.otherMp4;
    const response = ranged(request, bytes, { etag });
    if (request.headers.get("range") === "bytes=0-16383") return response;
    downloads++;
    if (downloads === 1) etag = '"2"'; // after the first response of the download
    return response;
  });
  assert.equal(await videoWidth((await fixture.fetch("/a.mp4")).final.path), 320);
  assert.ok(downloads >= 2);
});

Deno.test("MP4: the URL expires during the download → resolved again, complete", async () => {
  let token = 1;
  await using fixture = await startFetchFixture((path, request) => {
    if (path === "/embed") {
      const page = `<script>setup({ file: "${fixture.url}/t${token}/a.mp4" })</script>`;
      return new Response(page, { headers: { "content-type": "text/html" } });
    }
    if (path !== `/t${token}/a.mp4`) return new Response(null, { status: 403 });
    if (token === 1 && request.headers.get("range") !== "bytes=0-16383") {
      token = 2;
      return new Response(null, { status: 403 });
    }
    return ranged(request, clip.mp4, { etag: '"1"' });
  });
  await assertWhole(await fixture.fetch(`${fixture.url}/t1/a.mp4`, { embedUrl: `${fixture.url}/embed` }));
  assert.ok(fixture.asked.includes("/t2/a.mp4"));
});

Deno.test("MP4: the URL expires with the last byte → compared, not loaded again", async () => {
  let token = 1;
  let downloads = 0;
  await using fixture = await startFetchFixture((path, request) => {
    if (path === "/embed") {
      const page = `<script>setup({ file: "${fixture.url}/t${token}/a.mp4" })</script>`;
      return new Response(page, { headers: { "content-type": "text/html" } });
    }
    if (path !== `/t${token}/a.mp4`) return new Response(null, { status: 403 });
    const looks = request.headers.get("range") === "bytes=0-16383";
    if (looks && token === 1) probed.resolve();
    if (looks) return ranged(request, clip.mp4, { etag: '"1"' });
    downloads++;
    return probed.promise.then(() => {
      token = 2;
      return ranged(request, clip.mp4, { etag: '"1"' });
    });
  });
  const probed = Promise.withResolvers<void>();
  await assertWhole(await fixture.fetch(`${fixture.url}/t1/a.mp4`, { embedUrl: `${fixture.url}/embed` }));
  assert.equal(downloads, 1);
});

Deno.test("MP4: too large for the disk, found by the probe → nothing stays on it", async () => {
  const id = crypto.randomUUID();
  const began = Promise.withResolvers<void>();
  const size = 100_000_000;
  await using fixture = await startFetchFixture(async (_, request) => {
    if (request.headers.get("range") === "bytes=0-16383") {
      await began.promise;
      const headers = { "content-range": `bytes 0-16383/${size}`, etag: '"1"' };
      return new Response(clip.mp4.slice(0, 16384), { status: 206, headers });
    }
    setTimeout(began.resolve, 100); // so that it is on disk
    const body = new ReadableStream({ start: (controller) => controller.enqueue(clip.mp4.slice(0, 20_000)) });
    return new Response(body, { headers: { "content-length": String(size), etag: '"1"' } });
  });
  await assert.rejects(fixture.fetch("/a.mp4", { id, freeBytes: 400 * 1024 * 1024 }), { code: "disk_full" });
  const left = (await Array.fromAsync(Deno.readDir(`${fixture.dir}/job-${id}`))).map(({ name }) => name).sort();
  assert.deepEqual(left, ["lock", "state.json"]);
});

Deno.test("MP4: aria2c does not respond → a stop ends the job nevertheless", async () => {
  const stop = new AbortController();
  await using fixture = await startFetchFixture((_, request) => {
    if (request.headers.get("range") === "bytes=0-16383") return ranged(request, clip.mp4, { etag: '"1"' });
    const body = new ReadableStream({ start: (controller) => controller.enqueue(clip.mp4.slice(0, 20_000)) });
    return new Response(body, { headers: { "content-length": String(clip.mp4.length), etag: '"1"' } });
  });
  let stopped = false;
  const fetching = fixture.fetch("/a.mp4", {
    signal: stop.signal,
    onProgress: (done) => {
      if (done === 0 || stopped) return;
      stopped = true;
      const found = new Deno.Command("pgrep", { args: ["-f", `aria2c --conf-path=${fixture.dir}/`] }).outputSync();
      Deno.kill(Number(new TextDecoder().decode(found.stdout)), "SIGSTOP");
      setTimeout(() => stop.abort(new Error("stopped")), 500);
    },
  });
  await assert.rejects(fetching, /stopped/);
});

Deno.test("MP4: the file cannot be created (no inodes) → disk_full", async () => {
  await using fixture = await startFetchFixture((_, request) => ranged(request, clip.mp4));
  const id = crypto.randomUUID();
  await Deno.mkdir(`${fixture.dir}/job-${id}/media.bin/in-the-way`, { recursive: true });
  await assert.rejects(fixture.fetch("/a.mp4", { id }), { code: "disk_full" });
});

Deno.test("child: 400 MB on stderr → its end is kept, the exit code counts", async () => {
  const { runChild } = await import("../process/child.ts");
  // Only this test's own heap and buffers: others run in the same process.
  const kept = () => Deno.memoryUsage().heapUsed + Deno.memoryUsage().external;
  const before = kept();
  const flood = "yes a-line-of-noise | head -c 400000000 >&2; echo the end >&2; exit 3";
  const { code, stderr } = await runChild("sh", ["-c", flood], { signal: new AbortController().signal });
  assert.equal(code, 3);
  assert.ok(stderr.length <= 4096 && stderr.endsWith("the end\n"));
  assert.ok(kept() - before < 200_000_000, "four hundred megabytes are not kept");
});

async function tracksOf(path: string): Promise<string[]> {
  const output = await ffprobe(path, "stream=codec_type:stream_tags=language");
  return (output.streams as { codec_type: string; tags?: { language?: string } }[]).map((s) =>
    `${s.codec_type}:${s.tags?.language}`
  );
}

async function videoWidth(path: string): Promise<number> {
  return ((await ffprobe(path, "stream=width")).streams as { width?: number }[])[0]!.width!;
}

async function ffprobe(path: string, entries: string): Promise<{ streams: unknown[] }> {
  const { stdout } = await new Deno.Command("ffprobe", {
    args: ["-v", "error", "-show_entries", entries, "-of", "json", path],
    stdout: "piped",
  }).output();
  return JSON.parse(new TextDecoder().decode(stdout));
}
