// Other readers of MP4 agree with ours about the file and its segments.
import assert from "node:assert/strict";
import { createFile, type ISOFile, MP4BoxBuffer } from "mp4box";
import { writePresentation } from "../../runner/presentation/write_presentation.ts";
import { makeClip, TITLE_CLIPS } from "./clips.ts";
import { parseMedia } from "./playlist_reader.ts";

Deno.test("mp4box.js: the file → not fragmented, the input's samples", async () => {
  const { input, output, texts } = await archived();
  const [before, after] = [read(input), read(output)];
  const info = after.getInfo();
  assert.deepEqual([info.isFragmented, info.isProgressive, info.hasMoov], [false, true, true]);
  assert.deepEqual(
    info.tracks.map(({ codec, language }) => [codec, language]),
    before.getInfo().tracks.map(({ codec, language }) => [codec, language]),
  );
  for (const { id } of info.tracks) assert.deepEqual(samplesOf(after, id), samplesOf(before, id));
  const { map, segments } = parseMedia(texts.get(".v.m3u8")!);
  const ranges = [map, ...segments].map(({ offset, bytes }) => output.slice(offset, offset + bytes));
  const stream = read(await new Blob(ranges as BlobPart[]).bytes());
  assert.equal(stream.getInfo().isFragmented, true);
  const [track] = stream.getInfo().tracks;
  assert.deepEqual(
    samplesOf(stream, track!.id).map(({ size, isSync }) => [size, isSync]),
    samplesOf(before, track!.id).map(({ size, isSync }) => [size, isSync]),
  );
});

async function archived() {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-mp4box-" });
  await makeClip(TITLE_CLIPS[0]!, `${dir}/in.mp4`);
  const policy = { form: "auto", segmentSeconds: 2, signal: new AbortController().signal } as const;
  const written = await writePresentation({ path: `${dir}/in.mp4` }, {
    ...policy,
    output: `${dir}/ep.mp4`,
    fileKey: "ep",
  });
  assert.ok(written.kind === "done");
  const [input, output] = await Promise.all([Deno.readFile(`${dir}/in.mp4`), Deno.readFile(`${dir}/ep.mp4`)]);
  await Deno.remove(dir, { recursive: true });
  return { input, output, texts: written.texts };
}

function read(bytes: Uint8Array<ArrayBuffer>): ISOFile {
  const file = createFile();
  file.appendBuffer(MP4BoxBuffer.fromArrayBuffer(bytes.slice().buffer, 0), true);
  file.flush();
  return file;
}

function samplesOf(file: ISOFile, id: number) {
  return file.getTrackSamplesInfo(id).map((sample) => ({
    ...{ dts: sample.dts, cts: sample.cts, size: sample.size, isSync: sample.is_sync },
    duration: sample.duration,
  }));
}
