// Foreign or missing bytes in the middle of a file: detected at any position; correct files of every codec pass.

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { childBoxes } from "../mp4/boxes.ts";
import { runChildOrThrow } from "../process/child.ts";
import { findForeignBytes, problemInUnits } from "./foreign_bytes.ts";
import { readSampleTables } from "../mp4/sample_tables.ts";
import { verifyMedia } from "./verify.ts";

const signal = new AbortController().signal;
const NOTHING_PROMISED = { videoTracks: null, audioTracks: null, subtitleTracks: null };
/** Noise makes large frames, so that a foreign kilobyte is often inside one. */
async function makeVideo(dir: string, codecs: readonly string[], size = "320x180"): Promise<string> {
  const path = `${dir}/clip.mp4`;
  const source = [
    ...["-f", "lavfi", "-i", `testsrc2=s=${size}:r=24,noise=alls=30:allf=t`],
    ...["-f", "lavfi", "-i", "anoisesrc=a=0.3"],
    ...["-t", "2", "-map", "0:v", "-map", "1:a"],
  ];
  await runChildOrThrow("ffmpeg", ["-v", "error", "-y", ...source, ...codecs, path], { signal });
  return path;
}

const verify = (path: string) => verifyMedia(path, { format: "mov", expected: NOTHING_PROMISED, joins: [], signal });

const PAGE =
  `<!doctype html>\n<html lang="de"><head><title>503 – nicht verfügbar</title></head>\n<body><p>ask again later</p>`;
const text = (part: string, size: number) => new TextEncoder().encode(part.repeat(size)).subarray(0, size);
const LATIN1 = Uint8Array.from(PAGE.repeat(100), (char) => char.charCodeAt(0) < 256 ? char.charCodeAt(0) : 63);
const FOREIGN: Readonly<Record<string, (size: number) => Uint8Array>> = {
  "a page": (size) => text(PAGE, size),
  "a page in Latin-1": (size) => LATIN1.slice(0, size),
  "a page in Japanese": (size) => text("<p>申し訳ありませんが、このページは表示できません。</p>", size),
  "JSON": (size) => text(`{"error":{"code":"upstream","retry":false}},`, size),
  "a playlist": (size) => text("#EXTINF:6.000,\nsegment_00042.ts\n", size),
  "a compressed page": (size) => gzipSync(crypto.getRandomValues(new Uint8Array(size))).subarray(0, size),
  "a hole": (size) => new Uint8Array(size),
};

Deno.test("foreign bytes: anywhere in H.264 and AAC → detected", async () => {
  const dir = await Deno.makeTempDir();
  const path = await makeVideo(dir, ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "4M", "-c:a", "aac"], "640x360");
  const clean = await Deno.readFile(path);
  const boxes = childBoxes(clean, { start: 0, end: clean.length })!;
  const [mdat, moov] = ["mdat", "moov"].map((type) => boxes.find((box) => box.type === type)!);
  const tracks = readSampleTables(clean.subarray(moov!.offset, moov!.end));
  using file = await Deno.open(path, { read: true, write: true });
  const write = async (bytes: Uint8Array, at: number) => {
    await file.seek(at, Deno.SeekMode.Start);
    await file.write(bytes);
  };
  assert.equal(await findForeignBytes(file, tracks, signal), null);
  for (const [what, make] of Object.entries(FOREIGN)) {
    for (const count of [1024, 8192]) {
      for (let share = 0; share < 1; share += 0.09) {
        const at = mdat!.body + Math.floor(share * (mdat!.end - mdat!.body - count));
        await write(make(count), at);
        const problem = await findForeignBytes(file, tracks, signal);
        assert.match(problem ?? "", /^track \d \(.*\) has /, `${count} bytes of ${what} at ${share}`);
        await write(clean.subarray(at, at + count), at);
      }
    }
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("verifyMedia: 8 KiB of an HTML page inside an MP4 → refused, named", async () => {
  const clip = await readClip();
  const path = await Deno.makeTempFile();
  const bytes = clip.mp4.slice();
  bytes.set(FOREIGN["a page"]!(8192), Math.floor(bytes.length / 2));
  await Deno.writeFile(path, bytes);
  await assert.rejects(verify(path), {
    code: "unsupported",
    message: /^the download is incomplete or damaged: track 0 \(avc1\)/,
  });
  await Deno.remove(path);
});

const CODECS: Readonly<Record<string, readonly string[]>> = {
  "H.264 and AAC": ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"],
  "H.264 in slices, with filler": [
    ...["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "3M", "-maxrate", "3M", "-bufsize", "1M"],
    ...["-x264-params", "nal-hrd=cbr:filler=1:slices=4", "-c:a", "aac"],
  ],
  "H.265, whose settings are text of its own": [
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-tag:v",
    "hvc1",
    "-c:a",
    "aac",
  ],
  "VP9 and Opus": ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-c:a", "libopus"],
  "MPEG-4 and MP3": ["-c:v", "mpeg4", "-c:a", "libmp3lame", "-b:a", "320k"],
  "H.264 and AC-3": ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "ac3"],
};

for (const [what, codecs] of Object.entries(CODECS)) {
  Deno.test(`verifyMedia: ${what} → accepted`, async () => {
    const dir = await Deno.makeTempDir();
    await verify(await makeVideo(dir, codecs));
    await Deno.remove(dir, { recursive: true });
  });
}

Deno.test("verifyMedia: silence and a still picture → accepted", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/still.mp4`;
  const still = ["-f", "lavfi", "-i", "color=black:s=640x360", "-f", "lavfi", "-i", "anullsrc", "-t", "5"];
  for (const audio of [["aac"], ["libmp3lame", "-b:a", "320k"]]) {
    await runChildOrThrow("ffmpeg", ["-v", "error", "-y", ...still, "-c:v", "libx264", "-c:a", ...audio, path], {
      signal,
    });
    await verify(path);
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("readSampleTables: offsets and sizes → those of ffprobe", async () => {
  const dir = await Deno.makeTempDir();
  const path = await makeVideo(dir, ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]);
  const bytes = await Deno.readFile(path);
  const moov = childBoxes(bytes, { start: 0, end: bytes.length })!.find((box) => box.type === "moov")!;
  const tracks = readSampleTables(bytes.subarray(moov.offset, moov.end));
  const { stdout } = await new Deno.Command("ffprobe", {
    args: ["-v", "error", "-show_entries", "packet=stream_index,pos,size", "-of", "csv=p=0", path],
  }).output();
  const packets = new TextDecoder().decode(stdout).trim().split("\n").map((line) =>
    line.split(",").slice(0, 3).map(Number)
  );
  for (const { index, chunks } of tracks) {
    const ours = chunks.flatMap(({ offset, sizes }) => {
      let at = offset;
      return [...sizes].map((size) => `${size}@${(at += size) - size}`);
    });
    const theirs = packets.filter(([stream, size]) => stream === index && size !== undefined).map(([, size, pos]) =>
      `${size}@${pos}`
    );
    assert.deepEqual(ours.toSorted(), theirs.toSorted(), `track ${index}`);
  }
  assert.deepEqual(tracks.map(({ codec, lengthBytes }) => [codec, lengthBytes]), [["avc1", 4], ["mp4a", null]]);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("readSampleTables: hostile tables → skipped immediately", () => {
  const box = (type: string, ...parts: number[][]): number[] => {
    const body = parts.flat();
    const size = body.length + 8;
    return [
      size >>> 24,
      (size >>> 16) & 255,
      (size >>> 8) & 255,
      size & 255,
      ...new TextEncoder().encode(type),
      ...body,
    ];
  };
  const MANY = [0xff, 0xff, 0xff, 0xff];
  const ZERO = [0, 0, 0, 0];
  const stsd = box("stsd", ZERO, [0, 0, 0, 1], box("avc1", new Array(78).fill(0)));
  for (const stsz of [box("stsz", ZERO, [0, 0, 0, 1], MANY), box("stsz", ZERO, ZERO, [0, 0, 1, 0])]) {
    const stbl = box("stbl", stsd, stsz, box("stsc", ZERO, MANY), box("stco", ZERO, MANY));
    const moov = box("moov", box("trak", box("mdia", box("minf", stbl))));
    assert.deepEqual(readSampleTables(Uint8Array.from(moov)), []);
  }
});

Deno.test("problemInUnits: correct, padded, cut units, forbidden bit → problem", () => {
  const unit = (
    header: number,
    length: number,
  ) => [0, 0, length >> 8, length & 255, header, ...new Array(length - 1).fill(0x5a)];
  const track = { codec: "avc1", lengthBytes: 4 };
  const problem = (...bytes: number[]) => problemInUnits(Uint8Array.from(bytes), track);
  assert.equal(problem(...unit(0x65, 700), ...unit(0x06, 20)), null);
  assert.equal(problem(...unit(0x65, 700), 0, 0, 0), null, "padding");
  assert.match(problem(...unit(0x65, 700).slice(0, 600)) ?? "", /not video/);
  assert.match(problem(...unit(0xe5, 700)) ?? "", /not video/);
  const slice = unit(0x65, 700);
  assert.match(problem(...slice.with(300, 0).with(301, 0).with(302, 0)) ?? "", /not video/);
  assert.equal(problem(...slice.with(300, 0).with(301, 0).with(302, 3)), null, "emulation prevention");
  assert.equal(problem(...slice.with(300, 0).with(301, 0).with(302, 0).with(303, 1)), null, "a start code");
});
