/** Faults of real HLS hosts: complete videos are accepted, incomplete ones never. */
import assert from "node:assert/strict";
import { type Bytes, playlistOf } from "../../dev/emulators/origin/clip.ts";
import { type Host, ranged, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { assertWhole, clip, ffprobe, hlsHost, names } from "../../dev/testing/clip_host.ts";

const FREE_BOX = [0, 0, 0, 8, 0x66, 0x72, 0x65, 0x65];

const pass = () => new Response(null, { status: 599 });

/** Responds with `status` while `limit` segments are in flight; counts requests. */
function busyHost(limit: number, status: number) {
  const seen = { most: 0, refused: 0 };
  let open = 0;
  const host = hlsHost(clip.ts, async (path) => {
    if (!path.startsWith("/s")) return pass();
    if (open >= limit) {
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

async function tracksOf(path: string): Promise<string[]> {
  const output = await ffprobe(path, "stream=codec_type:stream_tags=language");
  return (output.streams as { codec_type: string; tags?: { language?: string } }[]).map((s) =>
    `${s.codec_type}:${s.tags?.language}`
  );
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
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "unsupported" });
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
  assert.equal(asked[2], 2, "the third request follows after two were open");
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
  assert.ok(!fixture.asked.some((path) => served.includes(path)), "segments on disk are not fetched again");
});

for (
  const [by, change, expected] of [
    ["with the same bytes", {}, null],
    ["with other cuts", { cuts: true }, /changed during/],
    ["with another init section", { init: true }, null],
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
