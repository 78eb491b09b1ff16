/** Hostile playlists: first with plain ffmpeg, where the attack succeeds, then with the runner. */
import assert from "node:assert/strict";
import { playlistOf } from "../../dev/emulators/origin/clip.ts";
import { startCanary, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { clip, hlsHost, names, runPlain, tempDir } from "../../dev/testing/plain_command.ts";

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

Deno.test("playlist: a local file as segment → policy_denied (ffmpeg copies it)", async () => {
  await using dir = await tempDir();
  await Deno.copyFile(`${clip.dir}/ts0.ts`, `${dir.path}/private.ts`);
  const evil = () => playlistOf([`file://${dir.path}/private.ts`, ...names.slice(1)]);
  await using fixture = await startFetchFixture(hlsHost(evil));
  const run = await runPlain("ffmpeg", [
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
    await runPlain("ffmpeg", ["-nostdin", "-v", "error", "-i", `${fixture.url}/v.m3u8`, "-c", "copy", "out.mp4"], {
      cwd: dir.path,
    });
    assert.ok(canary.hits() > 0, "the plain command sent a request");
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
  const run = await runPlain(
    "ffmpeg",
    ["-nostdin", "-v", "error", "-i", `${fixture.url}/v.m3u8`, "-c", "copy", "out.mp4"],
    {
      cwd: dir.path,
    },
  );
  assert.equal(run.code, 0, "exit code 0, and a third is missing");
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "source_expired", message: /segment [45]/ });
});

Deno.test("playlist: a stalled segment → fetched again (ffmpeg waits forever)", async () => {
  let stalls = true;
  await using fixture = await startFetchFixture((path, request) => {
    if (path !== "/s2.ts" || !stalls) return hlsHost(() => playlistOf(names))(path, request);
    const body = new ReadableStream({ start: (controller) => controller.enqueue(clip.ts[2]!.slice(0, 188)) });
    return new Response(body, { headers: { "content-length": String(clip.ts[2]!.length) } });
  });
  await using dir = await tempDir();
  const run = await runPlain(
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
    const run = await runPlain("ffmpeg", [
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
    assert.ok(audio < 3, `${audio} s of audio for 12 s of video`);
    await assert.rejects(fixture.fetch("/v.m3u8"), { message: /a\.m3u8 responded with 404|of audio/ });
  });
}

Deno.test("playlist: a multivariant playlist that lists itself → unsupported", async () => {
  const self = () => "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/v.m3u8\n";
  await using dir = await tempDir();
  await using fixture = await startFetchFixture(hlsHost(self));
  await runPlain("ffmpeg", ["-nostdin", "-v", "error", "-i", `${fixture.url}/v.m3u8`, "-c", "copy", "out.mp4"], {
    cwd: dir.path,
    seconds: 6,
  });
  assert.ok(fixture.asked.length > 20, `${fixture.asked.length} requests`);
  fixture.asked.length = 0;
  await assert.rejects(fixture.fetch("/v.m3u8"), { code: "unsupported", message: /multivariant/ });
  assert.ok(fixture.asked.length <= 4);
});

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
