import assert from "node:assert/strict";
import { readClip } from "../../dev/origin/clip.ts";
import { tsSpanSeconds, tsStartSeconds } from "../download/ts_span.ts";
import { spriteInterval, spriteVtt } from "./extras.ts";
import { writeFastStart } from "./fast_start.ts";
import { mp4Language } from "./language.ts";
import { findProblem, ProbeCollector, probeMedia } from "./verify.ts";
import { joinWebVtt } from "./web_vtt.ts";

const signal = new AbortController().signal;

Deno.test("writeFastStart: moov moved in front plays the same packets as ffmpeg's own +faststart", async () => {
  const clip = await readClip();
  const dir = await Deno.makeTempDir();
  await Deno.writeFile(`${dir}/in.mp4`, clip.mp4);
  const ours = await writeFastStart(`${dir}/in.mp4`, `${dir}/ours.mp4`, signal);
  assert.ok(ours.kind === "done" && ours.moved);
  await ffmpeg(["-i", `${dir}/in.mp4`, "-map", "0", "-c", "copy", "-movflags", "+faststart", `${dir}/ffmpeg.mp4`]);
  assert.equal(await packetHash(`${dir}/ours.mp4`), await packetHash(`${dir}/ffmpeg.mp4`));
  const again = await writeFastStart(`${dir}/ours.mp4`, `${dir}/again.mp4`, signal);
  assert.ok(again.kind === "done" && !again.moved && again.file.sha256 === ours.file.sha256);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("writeFastStart: fragmented, cut or no MP4 at all → needs_remux, nothing written over", async () => {
  const clip = await readClip();
  const dir = await Deno.makeTempDir();
  const inputs = {
    fragmented: new Uint8Array([...clip.init, ...clip.m4s[0]!]),
    cut: clip.mp4.slice(0, clip.mp4.length - 1000),
    text: new TextEncoder().encode("<!doctype html>".repeat(100)),
  };
  for (const [name, bytes] of Object.entries(inputs)) {
    await Deno.writeFile(`${dir}/${name}`, bytes);
    assert.equal((await writeFastStart(`${dir}/${name}`, `${dir}/out`, signal)).kind, "needs_remux", name);
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("findProblem: missing packets, a gap, a short or missing track, ffprobe's complaints → named", async () => {
  const clip = await readClip();
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, clip.mp4);
  const good = await probeMedia(path, { format: "mov", signal });
  await Deno.remove(path);
  const expected = { durationSeconds: 12, audioTracks: 1, subtitleTracks: 0, seamless: true };
  assert.equal(findProblem(good, expected), null);
  const [video, audio] = good.tracks;
  const withVideo = (change: object) => ({ ...good, tracks: [{ ...video!, ...change }, audio!] });
  const problems: [Parameters<typeof findProblem>[0], RegExp][] = [
    [withVideo({ packets: 100 }), /100 of 288 packets/],
    [withVideo({ packets: 0 }), /empty/],
    [withVideo({ largestGapSeconds: 2 }), /gap of 2.0 s/],
    [withVideo({ durationSeconds: 10 }), /10.0 s instead of 12.0 s/],
    [{ ...good, tracks: [video!] }, /0 of 1 audio tracks/],
    [{ ...good, tracks: [audio!] }, /no video track/],
    [{ ...good, complaints: "partial file" }, /partial file/],
  ];
  for (const [probe, pattern] of problems) assert.match(findProblem(probe, expected) ?? "", pattern);
});

Deno.test("ProbeCollector: lines cut anywhere, streams listed twice, N/A → the same result", () => {
  const text =
    "packet|stream_index=0|pts_time=0.000000|duration_time=0.040000\npacket|stream_index=0|pts_time=N/A|duration_time=N/A\n" +
    "stream|index=0|codec_name=h264|codec_type=video|width=320|height=180|nb_frames=2|tag:language=und\n".repeat(2) +
    "format|duration=1.5\n";
  const collect = (step: number) => {
    const collector = new ProbeCollector();
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += step) collector.add(bytes.subarray(at, at + step));
    return collector.finish("");
  };
  assert.deepEqual(collect(1), collect(10_000));
  assert.equal(collect(7).tracks.length, 1);
  assert.equal(collect(7).tracks[0]!.packets, 2);
});

Deno.test("tsSpanSeconds, tsStartSeconds: a 2 s segment covers 2 s, half of it less than 1.1 s; random bytes → null", async () => {
  const clip = await readClip();
  const segment = clip.ts[1]!;
  assert.ok(Math.abs(tsSpanSeconds(segment)! - 2) < 0.15);
  assert.ok(tsSpanSeconds(segment.slice(0, Math.floor(segment.length / 376) * 188))! < 1.3);
  assert.equal(tsSpanSeconds(new Uint8Array(1880)), null);
  assert.ok(Math.abs(tsStartSeconds(clip.ts[0]!)! - 1.4) < 0.1);
});

Deno.test("joinWebVtt: clock of the video, cues on a cut once, notes and rubbish left out", () => {
  const segments = [
    "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\nNOTE hello\n\n1\n00:01.000 --> 00:02.500 align:start\nOne\n\n00:03.000 --> 00:05.000\nTwo",
    "\uFEFFWEBVTT\r\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\r\n\r\n00:03.000 --> 00:05.000\r\nTwo\r\n\r\nxx --> yy\r\nbad",
  ].map((text) => ({ text }));
  assert.equal(
    joinWebVtt(segments, 9),
    "WEBVTT\n\n00:00:02.000 --> 00:00:03.500 align:start\nOne\n\n00:00:04.000 --> 00:00:06.000\nTwo\n",
  );
  assert.match(joinWebVtt(segments, null), /00:00:01.000 --> 00:00:02.500/);
});

Deno.test("mp4Language, spriteInterval, spriteVtt", () => {
  assert.deepEqual(["pt-BR", "ja", "deu", "x", null].map(mp4Language), ["por", "jpn", "deu", null, null]);
  assert.deepEqual([24, 1440, 7200].map(spriteInterval), [2, 15, 72]);
  const vtt = spriteVtt("k.sprite.jpg", { durationSeconds: 23, interval: 2 });
  assert.match(vtt, /^WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nk.sprite.jpg#xywh=0,0,160,90\n/);
  assert.match(vtt, /00:00:22.000 --> 00:00:23.000\nk.sprite.jpg#xywh=160,90,160,90\n$/);
});

async function packetHash(path: string): Promise<string> {
  const { stdout } = await new Deno.Command("ffmpeg", {
    args: ["-v", "error", "-i", path, "-map", "0", "-c", "copy", "-f", "hash", "-hash", "sha256", "-"],
    stdout: "piped",
  }).output();
  return new TextDecoder().decode(stdout);
}

async function ffmpeg(args: readonly string[]): Promise<void> {
  await new Deno.Command("ffmpeg", { args: ["-nostdin", "-v", "error", "-y", ...args] }).output();
}
