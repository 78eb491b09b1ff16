import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { tsStartSeconds } from "../download/ts_span.ts";
import { spriteInterval, spriteVtt } from "./extras.ts";
import { moveChunks, writeFastStart } from "../mp4/fast_start.ts";
import { mp4Language } from "./language.ts";
import { findProblem, parseProbe, probeMedia, verifyMedia } from "./verify.ts";
import { runChildOrThrow } from "../process/child.ts";

const signal = new AbortController().signal;

Deno.test("writeFastStart: moov moved → the packets of ffmpeg's +faststart", async () => {
  const clip = await readClip();
  const dir = await Deno.makeTempDir();
  await Deno.writeFile(`${dir}/in.mp4`, clip.mp4);
  const ours = await writeFastStart(`${dir}/in.mp4`, `${dir}/ours.mp4`, signal);
  assert.ok(ours.kind === "done" && ours.moved);
  await ffmpeg(["-i", `${dir}/in.mp4`, "-map", "0", "-c", "copy", "-movflags", "+faststart", `${dir}/ffmpeg.mp4`]);
  assert.equal(await packetHash(`${dir}/ours.mp4`), await packetHash(`${dir}/ffmpeg.mp4`));
  const again = await writeFastStart(`${dir}/ours.mp4`, `${dir}/again.mp4`, signal);
  assert.ok(again.kind === "done" && !again.moved && again.file.sha256 === ours.file.sha256);
  assert.equal(again.file.path, `${dir}/ours.mp4`);
  assert.equal(createHash("sha256").update(await Deno.readFile(`${dir}/ours.mp4`)).digest("hex"), ours.file.sha256);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("writeFastStart: fragmented, cut, not an MP4 → needs_remux", async () => {
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

Deno.test("findProblem: missing packets or tracks, complaints → named", async () => {
  const clip = await readClip();
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, clip.mp4);
  const probe = await probeMedia(path, { format: "mov", signal });
  await Deno.remove(path);
  const good = probe;
  const expected = { videoTracks: 1, audioTracks: 1, subtitleTracks: 0 };
  assert.equal(findProblem(good, expected), null);
  const [video, audio] = good.tracks;
  const withVideo = (change: object) => ({ ...good, tracks: [{ ...video!, ...change }, audio!] });
  const problems: [Parameters<typeof findProblem>[0], RegExp][] = [
    [withVideo({ packets: 100 }), /100 of 288 packets/],
    [withVideo({ packets: 0 }), /empty/],
    [{ ...good, tracks: [video!] }, /0 of 1 audio tracks/],
    [{ ...good, tracks: [audio!] }, /no video track/],
    [{ ...good, complaints: "partial file" }, /partial file/],
  ];
  for (const [probe, pattern] of problems) assert.match(findProblem(probe, expected) ?? "", pattern);
});

Deno.test("verifyMedia: no audio, cut index, cut media → refused", async () => {
  const clip = await readClip();
  const dir = await Deno.makeTempDir();
  const join = async (name: string, segments: readonly Uint8Array[]) => {
    await Deno.writeFile(
      `${dir}/${name}.ts`,
      new Uint8Array(await new Blob(segments as Uint8Array<ArrayBuffer>[]).arrayBuffer()),
    );
    await ffmpeg(["-i", `${dir}/${name}.ts`, "-map", "0", "-c", "copy", `${dir}/${name}.mp4`]);
    return await Deno.readFile(`${dir}/${name}.mp4`);
  };
  const whole = await join("whole", clip.ts);
  const cases: [string, Uint8Array, RegExp | null][] = [
    ["whole", whole, null],
    ["no sound", await join("silent", clip.videoTs), /0 of 1 audio tracks/],
    ["cut", clip.mp4.slice(0, -50_000), /moov atom not found|Invalid data/],
    ["samples beyond the end", cutMedia(whole), /partial file|packets/],
  ];
  for (const [name, bytes, problem] of cases) {
    const path = `${dir}/case.mp4`;
    await Deno.writeFile(path, bytes);
    const expected = { videoTracks: 1, audioTracks: 1, subtitleTracks: 0 };
    const verified = verifyMedia(path, { format: "mov", expected, joins: [], signal });
    if (problem === null) await verified;
    else await assert.rejects(verified, { code: "unsupported", message: problem }, name);
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("parseProbe: streams listed twice, N/A → one track each, null", () => {
  const { tracks, durationSeconds } = parseProbe(
    "stream|index=0|codec_name=h264|codec_type=video|width=320|height=180|nb_frames=N/A|nb_read_packets=2|tag:language=und\n"
      .repeat(2) + "stream|index=1|codec_name=bin_data|codec_type=data\nformat|duration=1.5\n",
  );
  assert.equal(durationSeconds, 1.5);
  assert.deepEqual(tracks.map(({ type, packets, declaredPackets }) => ({ type, packets, declaredPackets })), [
    { type: "video", packets: 2, declaredPackets: null },
    { type: "other", packets: 0, declaredPackets: null },
  ]);
});

Deno.test("tsStartSeconds: a clip of ffmpeg → 1.4 s", async () => {
  assert.ok(Math.abs(tsStartSeconds((await readClip()).ts[0]!)! - 1.4) < 0.1);
});

Deno.test("mp4Language, spriteInterval, spriteVtt", () => {
  assert.deepEqual(["pt-BR", "ja", "deu", "x", null].map(mp4Language), ["por", "jpn", "deu", null, null]);
  assert.deepEqual([24, 1440, 7200].map(spriteInterval), [2, 15, 72]);
  const vtt = spriteVtt("k.sprite.jpg", { durationSeconds: 23, interval: 2 });
  assert.match(vtt, /^WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nk.sprite.jpg#xywh=0,0,160,90\n/);
  assert.match(vtt, /00:00:22.000 --> 00:00:23.000\nk.sprite.jpg#xywh=160,90,160,90\n$/);
});

function moovOf(mp4: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = new TextDecoder("latin1").decode(mp4).lastIndexOf("moov") - 4;
  return mp4.slice(at, at + new DataView(mp4.buffer, mp4.byteOffset).getUint32(at));
}

/** moov in front stays complete, the media loses its last third: an interrupted progressive download. */
function cutMedia(mp4: Uint8Array): Uint8Array {
  const moov = moovOf(mp4);
  const mdatAt = new TextDecoder("latin1").decode(mp4).indexOf("mdat") - 4;
  const media = mp4.slice(mdatAt, mp4.length - moov.length);
  moveChunks(moov, { insertedAt: mdatAt, removedAt: mp4.length });
  return new Uint8Array([...mp4.slice(0, mdatAt), ...moov, ...media.slice(0, Math.floor(media.length * 0.66))]);
}

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

Deno.test("runChildOrThrow: no space, but exit code 0 → disk_full", async () => {
  const words = "Error writing trailer of file:/o.mp4: No space left on device";
  await assert.rejects(runChildOrThrow("sh", ["-c", `echo '${words}' >&2`], { signal }), { code: "disk_full" });
  assert.equal(await runChildOrThrow("sh", ["-c", "echo fine >&2"], { signal }), "fine\n");
});
