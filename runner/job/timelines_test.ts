/** Streams whose clocks, configurations or announced durations are not what the simplest encoder writes. */
import assert from "node:assert/strict";
import { type Host, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { type Decoded, decodeFile, type MadeStream, makeStream } from "../../dev/testing/made_stream.ts";

/** Streams one after the other, with a discontinuity between them. */
function playlistOf(streams: readonly MadeStream[], name: string, announce?: (seconds: number) => string): string {
  const lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:10"];
  for (const [s, stream] of streams.entries()) {
    if (s > 0) lines.push("#EXT-X-DISCONTINUITY");
    if (stream.init !== null) lines.push(`#EXT-X-MAP:URI="/${name}${s}/init.mp4"`);
    for (const i of stream.segments.keys()) {
      lines.push(`#EXTINF:${announce?.(stream.durations[i]!) ?? stream.durations[i]},`, `/${name}${s}/${i}`);
    }
  }
  return [...lines, "#EXT-X-ENDLIST", ""].join("\n");
}

function hostOf(
  renditions: Readonly<Record<string, readonly MadeStream[]>>,
  playlists: Readonly<Record<string, string>>,
): Host {
  return (path) => {
    if (path in playlists) return new Response(playlists[path]!);
    const [, name, stream, file] = /^\/([a-z]+)(\d+)\/(.+)$/.exec(path) ?? [];
    const made = renditions[name ?? ""]?.[Number(stream)];
    const bytes = file === "init.mp4" ? made?.init : made?.segments[Number(file)];
    return bytes ? new Response(bytes) : new Response(null, { status: 404 });
  };
}

async function archive(streams: readonly MadeStream[], announce?: (seconds: number) => string): Promise<Decoded> {
  return await archiveOf({ v: streams }, { "/v.m3u8": playlistOf(streams, "v", announce) });
}

async function archiveOf(
  renditions: Readonly<Record<string, readonly MadeStream[]>>,
  playlists: Readonly<Record<string, string>>,
): Promise<Decoded> {
  await using fixture = await startFetchFixture(hostOf(renditions, playlists));
  const { final } = await fixture.fetch("/v.m3u8");
  return await decodeFile(final.path);
}

/** Frames of `seconds` at 24 per second, evenly spaced, without decoder errors. */
function assertFrames({ frames, errors }: Decoded, seconds: number): void {
  assert.equal(errors, "");
  assert.equal(frames.length, seconds * 24);
  for (const [i, frame] of frames.entries()) {
    assert.ok(Math.abs(frame.seconds - frames[0]!.seconds - i / 24) < 0.005, `frame ${i} at ${frame.seconds}`);
  }
}

function assertTones({ tones, audioSeconds }: Decoded, expected: number, seconds: number): void {
  assert.ok(tones.every((tone) => Math.abs(tone - expected) <= 10), `${tones}`);
  assert.ok(Math.abs(audioSeconds - seconds) < 0.06, `${audioSeconds} s of audio`);
}

for (const container of ["ts", "fmp4"] as const) {
  Deno.test(`${container}: another picture size after a discontinuity → both decode`, async () => {
    const decoded = await archive([
      await makeStream({ seconds: 8, container }),
      await makeStream({ seconds: 8, container, size: "640x360" }),
    ]);
    assertFrames(decoded, 16);
    assertTones(decoded, 440, 16);
  });

  Deno.test(`${container}: 44.1 kHz mono, then 48 kHz stereo → one tone`, async () => {
    const decoded = await archive([
      await makeStream({ seconds: 8, container, sampleRate: 44100 }),
      await makeStream({ seconds: 8, container, channels: 2 }),
    ]);
    assertFrames(decoded, 16);
    assertTones(decoded, 440, 16);
  });

  Deno.test(`${container}: the clock jumps or restarts at a discontinuity → seamless`, async () => {
    for (const offset of ["0", "13", "95440"]) {
      const decoded = await archive([
        await makeStream({ seconds: 8, container }),
        await makeStream({ seconds: 8, container, output: ["-output_ts_offset", offset] }),
      ]);
      assertFrames(decoded, 16);
      assertTones(decoded, 440, 16);
    }
  });

  Deno.test(`${container}: separate audio, discontinuities in both → in sync`, async () => {
    const video = [
      await makeStream({ seconds: 8, container, tone: null }),
      await makeStream({ seconds: 8, container, tone: null, size: "640x360" }),
    ];
    const audio = [
      await makeStream({ seconds: 8, container, size: null, tone: 440 }),
      await makeStream({ seconds: 8, container, size: null, tone: 880 }),
    ];
    const master = [
      "#EXTM3U",
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",LANGUAGE="ja",URI="/a.m3u8"',
      '#EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO="a"',
      "/video.m3u8",
      "",
    ].join("\n");
    const decoded = await archiveOf({ v: video, a: audio }, {
      "/v.m3u8": master,
      "/video.m3u8": playlistOf(video, "v"),
      "/a.m3u8": playlistOf(audio, "a"),
    });
    assertFrames(decoded, 16);
    assert.ok(Math.abs(decoded.audioSeconds - 16) < 0.06);
    for (const [i, tone] of decoded.tones.entries()) {
      assert.ok(Math.abs(tone - (i < 5 ? 440 : 880)) <= 20, `${decoded.tones}`);
    }
  });

  Deno.test(`${container}: audio ends five seconds early → whole`, async () => {
    const decoded = await archive([await makeStream({ seconds: 12, container, audioSeconds: 7 })]);
    assertFrames(decoded, 12);
    assertTones(decoded, 440, 7);
  });
}

for (const container of ["fmp4"] as const) {
  Deno.test(`${container}: a picture stands for 2.9 s → whole`, async () => {
    const stream = await makeStream({ seconds: 12, container, filter: "select='not(between(t,4.1,6.9))'" });
    const decoded = await archive([stream]);
    assert.equal(decoded.errors, "");
    assert.equal(decoded.frames.length, 288 - 67);
    assertTones(decoded, 440, 12);
  });

  Deno.test(`${container}: announced durations are rounded or constant → whole`, async () => {
    const stream = await makeStream({ seconds: 12, container, segmentSeconds: 1.5 });
    for (const announce of [(seconds: number) => `${Math.round(seconds)}`, () => "4.000", () => "0"]) {
      const decoded = await archive([stream], announce);
      assertFrames(decoded, 12);
      assertTones(decoded, 440, 12);
    }
  });
}

Deno.test("ts: a segment is missing, repeated or misplaced → refused, named", async () => {
  const whole = await makeStream({ seconds: 12 });
  const order = (segments: readonly number[]): MadeStream => ({
    ...whole,
    segments: segments.map((i) => whole.segments[i]!),
    durations: segments.map(() => 2),
  });
  const cases: [readonly number[], RegExp][] = [
    [[0, 1, 3, 4, 5], /segment 3 of video starts 2\.\d s after segment 2 ends.*missing/],
    [[0, 1, 1, 2, 3], /segment 3 of video starts 2\.\d s before segment 2 ends/],
    [[0, 2, 1, 3, 4], /segment 2 of video starts/],
  ];
  for (const [segments, message] of cases) {
    await assert.rejects(archive([order(segments)]), { code: "unsupported", message }, `${segments}`);
  }
});
