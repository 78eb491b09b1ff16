import assert from "node:assert/strict";
import { makeStream } from "../../dev/testing/made_stream.ts";
import { readAudioClock } from "./audio_clock.ts";
import { readAudioFrame } from "./audio_frames.ts";
import { readFmp4Clock, readInitTracks } from "./fmp4_clock.ts";
import type { SegmentClock } from "./segment_clock.ts";
import { TS_WRAP_SECONDS, TsClock } from "./ts_clock.ts";

function tsClock(bytes: Uint8Array, chunk = bytes.length): SegmentClock {
  const clock = new TsClock();
  for (let at = 0; at < bytes.length; at += chunk) clock.push(bytes.subarray(at, at + chunk));
  return clock.read();
}

function assertNear(actual: number, expected: number, what: string): void {
  assert.ok(Math.abs(actual - expected) < 0.002, `${what}: ${actual} instead of ${expected}`);
}

Deno.test("ts clock: two seconds of video and audio → their timestamps", async () => {
  const { segments } = await makeStream({ seconds: 8 });
  const { tracks } = tsClock(segments[1]!);
  assert.deepEqual(tracks.map(({ kind, config }) => [kind, config]), [["video", ""], ["audio", "aac 1/3/1"]]);
  const [video] = tracks;
  assertNear(video!.step, 1 / 24, "step");
  assertNear(video!.lastStart - video!.start, 47 / 24, "video");
  assertNear(video!.start - tsClock(segments[0]!).tracks[0]!.start, 2, "second segment");
  for (const chunk of [1, 100, 187, 189]) {
    assert.deepEqual(tsClock(segments[1]!, chunk), tsClock(segments[1]!), `${chunk}`);
  }
});

Deno.test("ts clock: 33 bits wrap inside the segment → a small step", async () => {
  const offset = String(TS_WRAP_SECONDS - 3);
  const { segments } = await makeStream({ seconds: 8, output: ["-output_ts_offset", offset] });
  const clocks = segments.map((bytes) => tsClock(bytes).tracks[0]!);
  const spans = clocks.map((track) => track.lastStart - track.start);
  for (const span of spans) assertNear(span, 47 / 24, "span");
  assert.ok(clocks.some((track) => track.start > TS_WRAP_SECONDS - 3) && clocks.some((track) => track.start < 10));
});

Deno.test("ts clock: random bytes, no packets, thousands of PIDs → nothing", () => {
  assert.deepEqual(tsClock(crypto.getRandomValues(new Uint8Array(50_000))).tracks.length >= 0, true);
  assert.deepEqual(tsClock(new Uint8Array(0)).tracks, []);
  const packets = new Uint8Array(188 * 8000);
  for (let i = 0; i < 8000; i++) {
    packets.set([0x47, 0x40 | (i >> 8), i & 255, 0x10, 0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1], i * 188);
  }
  assert.equal(tsClock(packets).tracks.length, 64);
});

Deno.test("fmp4 clock: tfdt starts at 10 s → on that clock", async () => {
  const plain = await makeStream({ seconds: 8, container: "fmp4" });
  const late = await makeStream({ seconds: 8, container: "fmp4", output: ["-output_ts_offset", "10"] });
  const path = await Deno.makeTempFile();
  const read = async (stream: typeof plain, i: number) => {
    await Deno.writeFile(path, stream.segments[i]!);
    return (await readFmp4Clock(path, readInitTracks(stream.init!))).tracks;
  };
  const [video, audio] = await read(plain, 1);
  assert.deepEqual([video!.kind, audio!.kind], ["video", "audio"]);
  assertNear(video!.lastStart - video!.start, 47 / 24, "video");
  assertNear(video!.step, 1 / 24, "duration of the last sample");
  assertNear(audio!.step, 1024 / 48_000, "duration of an audio frame");
  const offset = (await read(late, 1))[1]!.start - audio!.start;
  assert.ok(Math.abs(offset - 10) < 0.1, `${offset}`); // ffmpeg leaves out the delay of reordered frames
  assert.equal(readInitTracks(crypto.getRandomValues(new Uint8Array(5_000))).size, 0);
  await Deno.writeFile(path, crypto.getRandomValues(new Uint8Array(5_000)));
  assert.deepEqual((await readFmp4Clock(path, readInitTracks(plain.init!))).tracks, []);
  await Deno.remove(path);
});

Deno.test("audio clock: an ID3 timestamp and frames → start and duration", () => {
  const adts = (channels: number) => {
    const frame = new Uint8Array(100);
    frame.set([0xff, 0xf1, 0x4c, (channels & 3) << 6, 100 >> 3, (100 & 7) << 5, 0xfc]);
    return frame;
  };
  const owner = new TextEncoder().encode("com.apple.streaming.transportStreamTimestamp\0");
  const id3 = new Uint8Array(10 + 10 + owner.length + 8);
  id3.set([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 0, id3.length - 10, 0x50, 0x52, 0x49, 0x56, 0, 0, 0, owner.length + 8]);
  id3.set(owner, 20);
  new DataView(id3.buffer).setBigUint64(20 + owner.length, BigInt(10 * 90_000));
  const bytes = (...frames: Uint8Array[]) => new Uint8Array([...id3, ...frames.flatMap((frame) => [...frame])]);
  const audio = readAudioClock(bytes(adts(1), adts(1), adts(1)))!;
  assert.deepEqual([audio.format, audio.start, audio.config], ["aac", id3.length, "aac 1/3/1"]);
  assertNear(audio.seconds, 3 * 1024 / 48_000, "duration");
  assertNear(audio.clock!.tracks[0]!.start, 10, "start");
  assert.equal(readAudioClock(bytes(adts(1), adts(2)))!.config, "aac 1/3/1,aac 1/3/2");
  assert.equal(readAudioClock(new Uint8Array([...adts(1)]))!.clock, null);
  assert.equal(readAudioClock(new TextEncoder().encode("<!doctype html>")), null);
});

Deno.test("audio frames: ffmpeg's MP3, AC-3 and E-AC-3 → every frame found", async () => {
  for (
    const [codec, format, seconds] of [
      ["libmp3lame", "mp3", 1152 / 48_000],
      ["ac3", "ac3", 1536 / 48_000],
      ["eac3", "eac3", 1536 / 48_000],
      ["aac", "adts", 1024 / 48_000],
    ] as const
  ) {
    const { stdout } = await new Deno.Command("ffmpeg", {
      args: [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "sine=440:r=48000:d=2",
        "-c:a",
        codec,
        "-write_xing",
        "0",
        "-id3v2_version",
        "0",
      ]
        .filter((arg) => codec === "libmp3lame" || !/write_xing|id3v2_version|^0$/.test(arg)).concat([
          "-f",
          format,
          "-",
        ]),
      stdout: "piped",
    }).output();
    const bytes = new Uint8Array(stdout);
    let [at, frames] = [0, 0];
    for (let frame = readAudioFrame(bytes, at); frame !== null; frame = readAudioFrame(bytes, at += frame.bytes)) {
      frames++;
      assertNear(frame.seconds, seconds, codec);
    }
    assert.ok(at >= bytes.length - 8 && frames > 50, `${codec}: ${frames} frames, ${at} of ${bytes.length} bytes`);
  }
});
