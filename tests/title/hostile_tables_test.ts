import assert from "node:assert/strict";
import { NotPresentable } from "../../runner/presentation/not_presentable.ts";
import { planPresentation } from "../../runner/presentation/plan.ts";
import { parseTracks } from "../../runner/presentation/track_tables.ts";
import { writePresentation, type Written } from "../../runner/presentation/write_presentation.ts";
import { ffmpeg, makeClip, TITLE_CLIPS } from "./clips.ts";
import { validate } from "./validator.ts";
import { packetsOf } from "./views.ts";

const POLICY = { form: "auto", segmentSeconds: 2, signal: new AbortController().signal } as const;
const dir = await Deno.makeTempDir({ prefix: "keepstream-hostile-" });
globalThis.addEventListener("unload", () => Deno.removeSync(dir, { recursive: true }));
await makeClip(TITLE_CLIPS[0]!, `${dir}/clip.mp4`);
const clip = await Deno.readFile(`${dir}/clip.mp4`);
const moovAt = new TextDecoder("latin1").decode(clip).lastIndexOf("moov") - 4;

/** Changes moov, in which `at(type)` is the body of the first box of that type. */
type Change = (moov: { data: DataView; bytes: Uint8Array; at: (type: string) => number }) => void;

const CASES: readonly [name: string, change: Change, because: RegExp][] = [
  [
    "two chunks at one place",
    ({ data, at }) => data.setUint32(at("stco") + 12, data.getUint32(at("stco") + 8)),
    /overlap/,
  ],
  ["2^32 sizes", ({ data, at }) => data.setUint32(at("stsz") + 8, 0xffffffff), /too many samples/],
  ["4 million sizes in a small table", ({ data, at }) => data.setUint32(at("stsz") + 8, 4e6), /exceeds its box/],
  ["4 million samples of one size", ({ data, at }) => {
    data.setUint32(at("stsz") + 4, 1);
    data.setUint32(at("stsz") + 8, 4e6);
  }, /differ in number|more samples/],
  ["2^32 durations", ({ data, at }) => data.setUint32(at("stts") + 8, 0xffffffff), /differ in number/],
  ["a duration of 2^32", ({ data, at }) => data.setUint32(at("stts") + 12, 0xffffffff), /two days/],
  ["2^32 samples in a chunk", ({ data, at }) => data.setUint32(at("stsc") + 12, 0xffffffff), /more samples/],
  ["2^32 runs of chunks", ({ data, at }) => data.setUint32(at("stsc") + 4, 0xffffffff), /exceeds|order|entry/],
  ["runs of chunks out of order", ({ data, at }) => data.setUint32(at("stsc") + 8, 2), /order/],
  ["a chunk beyond the end", ({ data, at }) => data.setUint32(at("stco") + 8, clip.length), /outside|overlap/],
  ["a negative position", ({ data, at }) => data.setInt32(at("stco") + 8, -16), /outside|overlap/],
  ["a chunk in ftyp", ({ data, at }) => data.setUint32(at("stco") + 8, 4), /outside/],
  ["a size beyond the end", ({ data, at }) => data.setUint32(at("stsz") + 12, 0xfffffff0), /outside|overlap/],
  ["a sample entry that is missing", ({ data, at }) => data.setUint32(at("stsc") + 16, 9), /sample entry/],
  ["key frames out of order", ({ data, at }) => data.setUint32(at("stss") + 8, 99), /order/],
  ["2^32 key frames", ({ data, at }) => data.setUint32(at("stss") + 4, 0xffffffff), /exceeds|order/],
  ["no key frame at the start", ({ data, at }) => data.setUint32(at("stss") + 8, 2), /start with a key frame/],
  ["2^32 edits", ({ data, at }) => data.setUint32(at("elst") + 4, 0xffffffff), /edits/],
  ["an edit that stops the clock", ({ data, at }) => data.setUint32(at("elst") + 16, 0), /edit list/],
  ["an edit that skips frames", ({ data, at }) => data.setUint32(at("elst") + 12, 50_000), /skips frames/],
  ["encrypted video", ({ bytes, at }) => bytes.set(text("encv"), at("stsd") + 12), /encrypted/],
  ["positions of other data", ({ bytes, at }) => bytes.set(text("saio"), at("stss") - 4), /has saio/],
  ["media in another file", ({ data, at }) => data.setUint32(at("dref") + 16, 0), /another file/],
  ["no time scale", ({ data, at }) => data.setUint32(at("mdhd") + 12, 0), /time scale/],
  ["two tracks with one id", ({ data, at }) => data.setUint32(at("tkhd") + 12, 2), /one id/],
  ["a codec without its configuration", ({ bytes, at }) => bytes.set(text("free"), at("avcC") - 4), /no avcC/],
  ["no samples", ({ data, at }) => {
    for (
      const [type, count] of [["stts", 4], ["stsc", 4], ["stsz", 8], ["stco", 4], ["ctts", 4], ["stss", 4]] as const
    ) {
      data.setUint32(at(type) + count, 0);
    }
  }, /no samples/],
];

for (const [name, change, because] of CASES) {
  Deno.test(`tables of an MP4: ${name} → a plain file or a remux`, async () => {
    const bytes = changed(change);
    assert.throws(() => plan(bytes), (error) => error instanceof NotPresentable && because.test(error.message));
    await Deno.writeFile(`${dir}/in.mp4`, bytes);
    const written = await writePresentation({ path: `${dir}/in.mp4` }, {
      ...POLICY,
      output: `${dir}/out.mp4`,
      fileKey: "ep",
    });
    if (written.kind === "needs_remux") return;
    assert.match(written.presentation.plain_because ?? "", because);
    assert.equal(written.texts.size, 0);
  });
}

Deno.test("tables of an MP4: 100 tracks → a plain file", async () => {
  const moov = clip.subarray(moovAt);
  const trakAt = new TextDecoder("latin1").decode(moov).indexOf("trak") - 4;
  const size = view(moov).getUint32(trakAt);
  const trak = moov.subarray(trakAt, trakAt + size);
  const copies = Array.from({ length: 100 }, () => trak);
  const longer = await new Blob([clip.subarray(0, moovAt), moov, ...copies] as BlobPart[]).bytes();
  view(longer).setUint32(moovAt, moov.length + 100 * size);
  await Deno.writeFile(`${dir}/in.mp4`, longer);
  const written = await writePresentation({ path: `${dir}/in.mp4` }, {
    ...POLICY,
    output: `${dir}/out.mp4`,
    fileKey: "ep",
  });
  assert.equal(written.kind === "done" && written.presentation.plain_because, "it has 103 tracks");
});

Deno.test("tables of an MP4: one frame → both views", async () => {
  await ffmpeg(["-i", `${dir}/clip.mp4`, "-map", "0:v", "-c", "copy", "-frames:v", "1", `${dir}/one.mp4`]);
  const written = await writePresentation({ path: `${dir}/one.mp4` }, {
    ...POLICY,
    output: `${dir}/out.mp4`,
    fileKey: "ep",
  });
  assert.ok(written.kind === "done" && written.presentation.form === "hybrid");
  assert.deepEqual(await validate({ path: `${dir}/out.mp4`, texts: written.texts, fileKey: "ep" }), []);
  assert.equal(await packetsOf(`${dir}/out.mp4`), await packetsOf(`${dir}/one.mp4`));
});

Deno.test("tables of an MP4: random bytes in moov → plain, or a valid file", async () => {
  const random = seeded(15);
  for (let round = 0; round < 150; round++) {
    const bytes = clip.slice();
    for (let i = 0; i < 1 + round % 4; i++) {
      bytes[moovAt + 8 + Math.floor(random() * (clip.length - moovAt - 8))] = Math.floor(random() * 256);
    }
    await Deno.writeFile(`${dir}/in.mp4`, bytes);
    const written = await writePresentation({ path: `${dir}/in.mp4` }, {
      ...POLICY,
      output: `${dir}/out.mp4`,
      fileKey: "ep",
    });
    if (written.kind === "done" && written.presentation.form === "hybrid") await assertValid(written, round);
  }
});

async function assertValid({ file, texts }: Written, round: number): Promise<void> {
  const problems = await validate({ path: file.path, texts, fileKey: "ep" });
  // Durations that are not true make EXTINF of the target duration differ; positions, sizes and order must hold.
  assert.deepEqual(problems.filter((problem) => !/EXTINF|target duration|CODECS/.test(problem)), [], `round ${round}`);
}

function plan(bytes: Uint8Array): void {
  const mdatAt = new TextDecoder("latin1").decode(bytes).indexOf("mdat") - 4;
  const tracks = parseTracks(bytes.subarray(moovAt), { mediaRanges: [[mdatAt + 8, moovAt]] });
  planPresentation(tracks, { segmentSeconds: 2 });
}

function changed(change: Change): Uint8Array<ArrayBuffer> {
  const bytes = clip.slice();
  const moov = bytes.subarray(moovAt);
  const names = new TextDecoder("latin1").decode(moov);
  change({ data: view(moov), bytes: moov, at: (type) => names.indexOf(type) + 4 });
  return bytes;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function text(letters: string): Uint8Array {
  return new TextEncoder().encode(letters);
}

/** mulberry32: equal numbers in every run. */
function seeded(seed: number): () => number {
  return () => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}
