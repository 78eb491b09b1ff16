/** Attacks: first against a plain command line, where they succeed, then against the runner. */
import assert from "node:assert/strict";
import { type Bytes, playlistOf, readClip } from "../../dev/emulators/origin/clip.ts";
import { type Host, ranged, startCanary, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { startForwardProxy } from "../network/forward_proxy.ts";

const clip = await readClip();
const names = clip.ts.map((_, i) => `/s${i}.ts`);

type Run = { code: number; stderr: string };

/** The plain command line, in its own directory, for at most `seconds`. */
async function naive(
  program: string,
  args: readonly string[],
  options: { cwd: string; seconds?: number },
): Promise<Run> {
  const child = new Deno.Command(program, {
    args: [...args],
    cwd: options.cwd,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), (options.seconds ?? 20) * 1000);
  const { code, stderr } = await child.output();
  clearTimeout(timer);
  return { code, stderr: new TextDecoder().decode(stderr) };
}

async function tempDir(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "keepstream-naive-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

function hlsHost(playlist: () => string, segments: readonly Bytes[] = clip.ts): Host {
  return (path) => {
    if (path.endsWith(".m3u8")) {
      return new Response(playlist(), { headers: { "content-type": "application/vnd.apple.mpegurl" } });
    }
    const index = names.indexOf(path);
    return index === -1 ? new Response(null, { status: 404 }) : new Response(segments[index]!);
  };
}

Deno.test("playlist: a local file as segment → policy_denied (ffmpeg copies it)", async () => {
  await using dir = await tempDir();
  await Deno.copyFile(`${clip.dir}/ts0.ts`, `${dir.path}/private.ts`);
  const evil = () => playlistOf([`file://${dir.path}/private.ts`, ...names.slice(1)]);
  await using fixture = await startFetchFixture(hlsHost(evil));
  const run = await naive("ffmpeg", [
    ...["-nostdin", "-v", "error", "-allowed_extensions", "ALL", "-protocol_whitelist", "file,http,tcp,crypto"],
    ...["-i", `${fixture.url}/v.m3u8`, "-c", "copy", "out.mp4"],
  ], { cwd: dir.path });
  assert.equal(run.code, 0);
  assert.ok((await Deno.stat(`${dir.path}/out.mp4`)).size > 10_000, "the private file is in the output");
  fixture.asked.length = 0;
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "policy_denied" });
  assert.deepEqual(fixture.asked.filter((path) => path.endsWith(".ts")), []);
});

for (
  const scheme of [
    "file:///proc/self/environ",
    "concat:/etc/passwd|/etc/passwd",
    "data:video/mp2t;base64,R0A=",
    "gopher://h/x",
  ]
) {
  Deno.test(`playlist: a segment URL with ${scheme.split(":")[0]}: → policy_denied`, async () => {
    await using fixture = await startFetchFixture(hlsHost(() => playlistOf([scheme])));
    await assert.rejects(fixture.fetch("/v.m3u8"), { code: "policy_denied" });
  });
}

for (const tag of ["KEY:METHOD=AES-128,URI=", "MAP:URI="]) {
  Deno.test(`EXT-X-${tag.split(":")[0]}: a private host → policy_denied, no request (ffmpeg sends one)`, async () => {
    await using canary = startCanary();
    const list = () => playlistOf(names, { head: [`#EXT-X-${tag}"${canary.url}/latest/meta-data"`] });
    await using fixture = await startFetchFixture(hlsHost(list));
    await using dir = await tempDir();
    await naive("ffmpeg", ["-nostdin", "-v", "error", "-i", `${fixture.url}/v.m3u8`, "-c", "copy", "out.mp4"], {
      cwd: dir.path,
    });
    assert.ok(canary.hits() > 0, "the ordinary command line went there");
    const before = canary.hits();
    await assert.rejects(fixture.fetch("/v.m3u8"), { code: "policy_denied" });
    assert.equal(canary.hits(), before);
  });
}

Deno.test("playlist: audio on a private host → policy_denied, no request", async () => {
  await using canary = startCanary();
  const master = () =>
    `#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",URI="${canary.url}/a.m3u8"\n` +
    `#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\n/media.m3u8\n`;
  await using fixture = await startFetchFixture((path, request) =>
    path === "/v.m3u8" ? new Response(master()) : hlsHost(() => playlistOf(names))(path, request)
  );
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "policy_denied" });
  assert.equal(canary.hits(), 0);
});

Deno.test("redirect: to a private host → policy_denied (aria2c follows)", async () => {
  await using canary = startCanary();
  await using fixture = await startFetchFixture(() =>
    new Response(null, { status: 302, headers: { location: `${canary.url}/x` } })
  );
  await using dir = await tempDir();
  await naive("aria2c", ["-q", `${fixture.url}/a.mp4`], { cwd: dir.path });
  assert.ok(canary.hits() > 0);
  const before = canary.hits();
  await assert.rejects(fixture.fetch("/a.mp4"), { code: "policy_denied" });
  assert.equal(canary.hits(), before);
});

Deno.test("redirect: after the probe, to a private host → policy_denied", async () => {
  await using canary = startCanary();
  await using fixture = await startFetchFixture((_, request) =>
    request.headers.get("range") === "bytes=0-16383"
      ? ranged(request, clip.mp4)
      : new Response(null, { status: 302, headers: { location: `${canary.url}/x` } })
  );
  await assert.rejects(fixture.fetch("/a.mp4"), { code: "policy_denied" });
  assert.equal(canary.hits(), 0);
});

Deno.test("redirect: a segment to a private host, or a loop → refused", async () => {
  await using canary = startCanary();
  await using fixture = await startFetchFixture((path, request) =>
    path === "/s0.ts"
      ? new Response(null, { status: 302, headers: { location: `${canary.url}/x` } })
      : hlsHost(() => playlistOf(names))(path, request)
  );
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "policy_denied" });
  assert.equal(canary.hits(), 0);
  await using loop = await startFetchFixture((path) =>
    new Response(null, { status: 302, headers: { location: `${path}x` } })
  );
  await assert.rejects(loop.fetch("/a.mp4"), { code: "unsupported", message: /redirects/ });
});

Deno.test("playlist: half of the segments are missing → fails (ffmpeg exits 0)", async () => {
  await using dir = await tempDir();
  await using fixture = await startFetchFixture((path, request) =>
    path === "/s3.ts" || path === "/s4.ts"
      ? new Response(null, { status: 404 })
      : hlsHost(() => playlistOf(names))(path, request)
  );
  const run = await naive(
    "ffmpeg",
    ["-nostdin", "-v", "error", "-i", `${fixture.url}/v.m3u8`, "-c", "copy", "out.mp4"],
    {
      cwd: dir.path,
    },
  );
  assert.equal(run.code, 0, "exit code 0, and a third is missing");
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "source_expired", message: /segment [45]/ });
});

Deno.test("file: a page, a zip, nothing as .mp4 → refused (aria2c succeeds)", async () => {
  await using dir = await tempDir();
  const bodies: Record<string, [BodyInit, string]> = {
    "/html.mp4": ["<!doctype html><title>Just a moment</title>", "unsupported"],
    "/zip.mp4": [new Uint8Array([0x50, 0x4b, 3, 4, ...new Uint8Array(2000)]), "unsupported"],
    "/empty.mp4": [new Uint8Array(0), "source_expired"],
  };
  await using fixture = await startFetchFixture((path) =>
    new Response(bodies[path]![0], { headers: { "content-type": "video/mp4" } })
  );
  assert.equal((await naive("aria2c", ["-q", `${fixture.url}/html.mp4`], { cwd: dir.path })).code, 0);
  for (const [path, [, code]] of Object.entries(bodies)) await assert.rejects(fixture.fetch(path), { code });
});

Deno.test("file: an MP4 name without MP4 content, a truncated MP4 → unsupported", async () => {
  const fake = new Uint8Array(300_000);
  fake.set([0, 0, 0, 24, 0x66, 0x74, 0x79, 0x70, 0x69, 0x73, 0x6f, 0x6d]);
  const cut = clip.mp4.slice(0, clip.mp4.length - 100_000);
  await using fixture = await startFetchFixture((path, request) => ranged(request, path === "/fake.mp4" ? fake : cut));
  await assert.rejects(fixture.fetch("/fake.mp4"), { code: "unsupported" });
  await assert.rejects(fixture.fetch("/cut.mp4"), { code: "unsupported" });
});

Deno.test("aria2c: a newline in a URL → refused before aria2c (names a file)", async () => {
  await using dir = await tempDir();
  await using fixture = await startFetchFixture((_, request) => ranged(request, clip.mp4));
  const evil = `${fixture.url}/a.mp4\n  out=chosen-by-a-stranger`;
  await Deno.writeTextFile(`${dir.path}/list`, `${evil}\n`);
  await naive("aria2c", ["-q", "-i", "list"], { cwd: dir.path });
  assert.ok(await Deno.stat(`${dir.path}/chosen-by-a-stranger`));
  await assert.rejects(fixture.fetch(evil), { code: "invalid_input" });
});

Deno.test("aria2c: a newline in a referer → header dropped (runs a program)", async () => {
  await using dir = await tempDir();
  const program = `${dir.path}/program`;
  await Deno.writeTextFile(program, `#!/bin/sh\ntouch ${dir.path}/ran\n`, { mode: 0o755 });
  const referer = `http://a.test/\non-download-complete=${program}`;
  const ran = () => Deno.stat(`${dir.path}/ran`).then(() => true, () => false);
  const seen: (string | null)[] = [];
  await using fixture = await startFetchFixture((_, request) => {
    seen.push(request.headers.get("referer"));
    return ranged(request, clip.mp4);
  });
  await naive("aria2c", ["-q", `--referer=${referer}`, `${fixture.url}/a.mp4`], { cwd: dir.path });
  assert.equal(await ran(), true, "a stranger's words ran a program");
  await Deno.remove(`${dir.path}/ran`);
  seen.length = 0;
  await fixture.fetch("/a.mp4", { headers: { referer, "x-own": "dropped" } });
  assert.equal(await ran(), false);
  assert.deepEqual(new Set(seen), new Set([null]));
});

Deno.test("aria2c: a torrent content type → refused (joins the torrent)", async () => {
  await using canary = startCanary();
  const info = `d6:lengthi16384e4:name5:m.bin12:piece lengthi16384e6:pieces20:${"x".repeat(20)}e`;
  const announce = `${canary.url}/announce`;
  const torrent = `d8:announce${announce.length}:${announce}4:info${info}e`;
  const host: Host = (_, request) =>
    request.headers.get("range") === "bytes=0-16383"
      ? ranged(request, clip.mp4)
      : new Response(torrent, { headers: { "content-type": "application/x-bittorrent" } });
  await using fixture = await startFetchFixture(host);
  await using dir = await tempDir();
  await naive("aria2c", ["-q", "--enable-dht=false", `${fixture.url}/a.mp4`], { cwd: dir.path, seconds: 4 });
  assert.ok(canary.hits() > 0, "the ordinary command line asked the tracker");
  const before = canary.hits();
  await assert.rejects(fixture.fetch("/a.mp4"));
  assert.equal(canary.hits(), before);
});

Deno.test("aria2c: another file under the same name → starts over (mixes both)", async () => {
  await using dir = await tempDir();
  let version = 1;
  await using fixture = await startFetchFixture((_, request) =>
    ranged(request, version === 1 ? clip.mp4 : clip.otherMp4, { etag: `"v${version}"` })
  );
  const half = Math.floor(clip.mp4.length / 2 / 16384) * 16384; // aria2 resumes at whole pieces
  const sameBytes = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i]);
  await Deno.writeFile(`${dir.path}/a.mp4`, clip.mp4.subarray(0, half)); // what a download that was broken off left
  version = 2;
  assert.equal((await naive("aria2c", ["-q", "-c", `${fixture.url}/a.mp4`], { cwd: dir.path })).code, 0);
  const glued = await Deno.readFile(`${dir.path}/a.mp4`);
  assert.ok(sameBytes(glued.subarray(0, half), clip.mp4.subarray(0, half)), "the head of one");
  assert.ok(sameBytes(glued.subarray(half), clip.otherMp4.subarray(half)), "the tail of the other");
  const id = crypto.randomUUID();
  await Deno.mkdir(`${fixture.dir}/job-${id}`);
  await Deno.writeFile(`${fixture.dir}/job-${id}/media.bin`, clip.mp4.subarray(0, half));
  const result = await fixture.fetch("/a.mp4", { id });
  await using whole = await startFetchFixture((_, request) => ranged(request, clip.otherMp4));
  assert.equal(result.final.sha256, (await whole.fetch("/a.mp4")).final.sha256);
});

Deno.test("playlist: a stalled segment → fetched again (ffmpeg waits forever)", async () => {
  let stalls = true;
  await using fixture = await startFetchFixture((path, request) => {
    if (path !== "/s2.ts" || !stalls) return hlsHost(() => playlistOf(names))(path, request);
    const body = new ReadableStream({ start: (controller) => controller.enqueue(clip.ts[2]!.slice(0, 188)) });
    return new Response(body, { headers: { "content-length": String(clip.ts[2]!.length) } });
  });
  await using dir = await tempDir();
  const run = await naive(
    "ffmpeg",
    ["-nostdin", "-v", "error", "-i", `${fixture.url}/v.m3u8`, "-c", "copy", "out.mp4"],
    {
      cwd: dir.path,
      seconds: 6,
    },
  );
  assert.notEqual(run.code, 0, "it had to be killed");
  fixture.asked.length = 0;
  const fetching = fixture.fetch("/v.m3u8");
  while (!fixture.asked.includes("/s2.ts")) await new Promise((next) => setTimeout(next, 20));
  stalls = false;
  assert.ok(Math.abs((await fetching).durationSeconds - 12) < 0.2);
});

for (const missing of ["its playlist", "all but its first segment"]) {
  Deno.test(`playlist: audio without ${missing} → refused (ffmpeg exits 0)`, async () => {
    const master = [
      "#EXTM3U",
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Deutsch",LANGUAGE="de",DEFAULT=YES,URI="/a.m3u8"',
      '#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=320x180,AUDIO="a"',
      "/video.m3u8",
    ].join("\n");
    const rubbish = crypto.getRandomValues(new Uint8Array(1880));
    await using fixture = await startFetchFixture((path) => {
      if (path === "/v.m3u8") return new Response(master);
      if (path === "/video.m3u8") return new Response(playlistOf(names.map((name) => `/v${name}`)));
      if (path === "/a.m3u8" && missing === "its playlist") return new Response(null, { status: 404 });
      if (path === "/a.m3u8") return new Response(playlistOf(names.map((name) => `/a${name}`)));
      const index = Number(/(\d)\.ts$/.exec(path)![1]);
      if (path.startsWith("/v/")) return new Response(clip.videoTs[index]!);
      return new Response(index === 0 ? clip.audioTs[0]! : rubbish);
    });
    await using dir = await tempDir();
    const run = await naive("ffmpeg", [
      "-nostdin",
      "-v",
      "error",
      "-i",
      `${fixture.url}/v.m3u8`,
      "-c",
      "copy",
      "out.mp4",
    ], {
      cwd: dir.path,
    });
    assert.equal(run.code, 0, run.stderr);
    const { stdout } = await new Deno.Command("ffprobe", {
      args: ["-v", "error", "-show_entries", "stream=codec_type,duration", "-of", "csv=p=0", `${dir.path}/out.mp4`],
    }).output();
    const audio = Number(/^audio,([\d.]+)$/m.exec(new TextDecoder().decode(stdout))?.[1] ?? 0);
    assert.ok(audio < 3, `${audio} s of sound for 12 s of film`);
    await assert.rejects(fixture.fetch("/v.m3u8"), { message: /a\.m3u8 answered 404|of audio/ });
  });
}

Deno.test("aria2c: a metalink content type → not followed (fetches its files)", async () => {
  await using canary = startCanary();
  const metalink =
    `<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="m.bin"><url>${canary.url}/x</url></file></metalink>`;
  const host: Host = (_, request) =>
    request.headers.get("range") === "bytes=0-16383"
      ? ranged(request, clip.mp4)
      : new Response(metalink, { headers: { "content-type": "application/metalink4+xml" } });
  await using fixture = await startFetchFixture(host);
  await using dir = await tempDir();
  await naive("aria2c", ["-q", `${fixture.url}/a.mp4`], { cwd: dir.path });
  assert.ok(canary.hits() > 0, "the ordinary command line went there");
  const before = canary.hits();
  await assert.rejects(fixture.fetch("/a.mp4"));
  assert.equal(canary.hits(), before);
});

Deno.test("playlist: a multivariant playlist that lists itself → unsupported", async () => {
  const self = () => "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/v.m3u8\n";
  await using dir = await tempDir();
  await using fixture = await startFetchFixture(hlsHost(self));
  await naive("ffmpeg", ["-nostdin", "-v", "error", "-i", `${fixture.url}/v.m3u8`, "-c", "copy", "out.mp4"], {
    cwd: dir.path,
    seconds: 3,
  });
  assert.ok(fixture.asked.length > 20, `${fixture.asked.length} requests`);
  fixture.asked.length = 0;
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "unsupported", message: /master/ });
  assert.ok(fixture.asked.length <= 4);
});

const REFUSED: readonly [string, string, () => string][] = [
  ["no ENDLIST", "unsupported", () => playlistOf(names, { end: false })],
  ["SAMPLE-AES", "drm", () => playlistOf(names, { head: ['#EXT-X-KEY:METHOD=SAMPLE-AES,URI="/key"'] })],
  [
    "Widevine",
    "drm",
    () => playlistOf(names, { head: ['#EXT-X-KEY:METHOD=AES-128,URI="data:x",KEYFORMAT="urn:uuid:edef8ba9"'] }),
  ],
  ["a bad IV", "unsupported", () => playlistOf(names, { head: ['#EXT-X-KEY:METHOD=AES-128,URI="/key",IV=0xZZ'] })],
  ["EXTINF -5", "unsupported", () => "#EXTM3U\n#EXTINF:-5,\n/s0.ts\n#EXT-X-ENDLIST\n"],
  ["EXTINF 1e9", "unsupported", () => "#EXTM3U\n#EXTINF:1000000000,\n/s0.ts\n#EXT-X-ENDLIST\n"],
  ["EXTINF abc", "unsupported", () => "#EXTM3U\n#EXTINF:abc,\n/s0.ts\n#EXT-X-ENDLIST\n"],
  ["300 variants", "too_large", () => "#EXTM3U\n" + "#EXT-X-STREAM-INF:BANDWIDTH=1\n/v.m3u8\n".repeat(300)],
  ["20,001 segments", "too_large", () => playlistOf(Array.from({ length: 20_001 }, (_, i) => `/x${i}.ts`))],
  ["400,000 lines", "too_large", () => "#EXTM3U\n" + "#EXT-X-DISCONTINUITY\n".repeat(300_000)],
  ["9 MB of comment", "too_large", () => "#EXTM3U\n#" + "x".repeat(9_000_000)],
  ["no segment", "unsupported", () => "#EXTM3U\n#EXT-X-ENDLIST\n"],
  ["key frames only", "unsupported", () => playlistOf(names, { head: ["#EXT-X-I-FRAMES-ONLY"] })],
  ["a gap", "source_expired", () => playlistOf(names, { head: ["#EXT-X-GAP"] })],
];
for (const [what, code, list] of REFUSED) {
  Deno.test(`playlist: ${what} → ${code}, no segment fetched`, async () => {
    await using fixture = await startFetchFixture(hlsHost(list));
    await assert.rejects(fixture.fetch("/v.m3u8"), { code });
    assert.deepEqual(fixture.asked.filter((path) => path.endsWith(".ts")), []);
  });
}

Deno.test("playlist: U+2028 and quotes in URLs → fetched or refused", async () => {
  const odd = names.map((name) => `${name}?a=\u2028#EXTINF:9,\u2029"x`);
  await using fixture = await startFetchFixture(hlsHost(() => playlistOf(odd)));
  const result = await fixture.fetch("/v.m3u8");
  assert.ok(Math.abs(result.durationSeconds - 12) < 0.2);
});

Deno.test("playlist: a gzip bomb → too_large", async () => {
  const bomb = new Blob(["#EXTM3U\n", "#".repeat(60_000_000)]).stream().pipeThrough(new CompressionStream("gzip"));
  const bytes = await new Response(bomb).bytes();
  assert.ok(bytes.length < 200_000);
  await using fixture = await startFetchFixture((path) =>
    path === "/master.m3u8"
      ? new Response("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/v.m3u8\n")
      : new Response(bytes, { headers: { "content-encoding": "gzip" } })
  );
  await assert.rejects(fixture.fetch("/master.m3u8"), { code: "too_large" });
});

Deno.test("quota: an endless body, a wrong Content-Length → too_large", async () => {
  const endless = () =>
    new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65536).fill(0x47)) }));
  await using fixture = await startFetchFixture((path, request) => {
    if (request.headers.get("range") === "bytes=0-16383") return ranged(request, clip.mp4);
    return path === "/a.mp4" ? endless() : hlsHost(() => playlistOf(names))(path, request);
  });
  await assert.rejects(fixture.fetch("/a.mp4", { maxBytes: 20_000_000 }), { code: "too_large" });
  await using big = await startFetchFixture((_, request) => ranged(request, clip.mp4));
  await assert.rejects(big.fetch("/a.mp4", { maxBytes: 1_000_000 }), { code: "too_large" });
});

Deno.test("disk: no space → disk_full before the first byte", async () => {
  await using fixture = await startFetchFixture((_, request) => ranged(request, clip.mp4));
  await assert.rejects(fixture.fetch("/a.mp4", { freeBytes: 260 * 1024 * 1024 }), { code: "disk_full" });
  assert.equal(fixture.asked.length, 0);
});

Deno.test("disk: space for the first bytes only → disk_full after the probe", async () => {
  await using fixture = await startFetchFixture((_, request) => {
    const response = ranged(request, clip.mp4);
    response.headers.set("content-range", "bytes 0-16383/900000000");
    return response;
  });
  const freeBytes = (256 + 100) * 1024 * 1024;
  await assert.rejects(fixture.fetch("/a.mp4", { freeBytes }), { code: "disk_full" });
  await assert.rejects(fixture.fetch("/a.mkv", { freeBytes, kind: "mkv" }), { code: "disk_full" });
  assert.equal(fixture.asked.filter((path) => path === "/a.mkv").length, 1, "of another kind than mp4, only the probe");
});

Deno.test("DNS: a private address, or one that changes → never dialled", async () => {
  await using canary = startCanary();
  const port = Number(new URL(canary.url).port);
  const answers = [["93.184.216.34"], ["127.0.0.1"], ["93.184.216.34", "10.0.0.1"]];
  const dialled: string[] = [];
  await using proxy = startForwardProxy({
    lookup: () => Promise.resolve(answers.shift() ?? ["127.0.0.1"]),
    connect: ((options: Deno.ConnectOptions) => {
      dialled.push(options.hostname!);
      return Deno.connect({ hostname: "127.0.0.1", port }); // replaces the public server
    }) as typeof Deno.connect,
  });
  const session = proxy.openSession({ policy: {}, maxBytes: 1e6 });
  const first = await fetch("http://rebind.test/x", { client: session.client });
  assert.equal(await first.text(), "secret of the private network");
  for (const name of ["http://rebind2.test/x", "http://rebind3.test/x", "http://rebind4.test/x"]) {
    const response = await fetch(name, { client: session.client });
    assert.equal(response.status, 403);
    await response.body?.cancel();
  }
  assert.deepEqual(dialled, ["93.184.216.34"], "what was dialled is what was checked");
  assert.equal(session.refusal()?.code, "policy_denied");
  session.close();
});

Deno.test("children: environment → PATH and LC_ALL only", async () => {
  const { runChild } = await import("../process/child.ts");
  let text = "";
  await runChild("env", [], {
    signal: new AbortController().signal,
    onStdout: (piece) => text += new TextDecoder().decode(piece),
  });
  assert.deepEqual(text.trim().split("\n").map((line) => line.split("=")[0]).sort(), ["LC_ALL", "PATH"]);
});
