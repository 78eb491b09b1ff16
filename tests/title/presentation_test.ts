import assert from "node:assert/strict";
import { writePresentation } from "../../runner/presentation/write_presentation.ts";
import { makeClip, TITLE_CLIPS, type TitleClip } from "./clips.ts";
import { validate } from "./validator.ts";
import { type DecodedFrame, framesOf, packetsOf, trackFrames } from "./views.ts";

const signal = new AbortController().signal;
const SEGMENT_SECONDS = 2;
/** Of a tick in either clock. */
const ROUNDING_SECONDS = 0.0011;

for (const clip of TITLE_CLIPS) {
  Deno.test(`writePresentation: ${clip.name} → both views as the input`, async () => {
    const dir = await Deno.makeTempDir({ prefix: "keepstream-title-" });
    const input = `${dir}/in.mp4`;
    await makeClip(clip, input);
    const options = { output: `${dir}/ep.mp4`, fileKey: "ep", signal, form: "auto", segmentSeconds: SEGMENT_SECONDS };
    const written = await writePresentation({ path: input }, options as typeof options & { form: "auto" });
    assert.ok(written.kind === "done");
    const { presentation, texts, file } = written;
    assert.equal(await packetsOf(file.path), await packetsOf(input));
    assert.equal(await framesOf(file.path), await framesOf(input));
    if (clip.plainBecause !== undefined) {
      assert.match(presentation.plain_because ?? "hybrid", clip.plainBecause);
      assert.equal(texts.size, 0);
    } else {
      assert.equal(presentation.plain_because, null);
      assert.deepEqual(await validate({ path: file.path, texts, fileKey: "ep" }), []);
      for (const [ending, text] of texts) await Deno.writeTextFile(`${dir}/ep${ending}`, text);
      for (const [i, { kind, playlist }] of presentation.tracks.filter(({ kind }) => kind !== "subtitles").entries()) {
        const before = await trackFrames(input, `0:${i}`);
        const after = await trackFrames(`${dir}/ep.${playlist}.m3u8`, "0:0");
        assertSameFrames(after, before, { clip, name: `${playlist}`, isVideo: kind === "video" });
      }
    }
    await Deno.remove(dir, { recursive: true });
  });
}

function assertSameFrames(
  after: readonly DecodedFrame[],
  before: readonly DecodedFrame[],
  { clip, name, isVideo }: { clip: TitleClip; name: string; isVideo: boolean },
): void {
  const [from, expected] = isVideo ? [after, before] : withoutLead(after, before);
  assert.deepEqual(from.map(({ hash }) => hash), expected.map(({ hash }) => hash), `${name}: frames`);
  for (const [i, { at }] of from.entries()) {
    const wanted = isVideo && i === 0 && clip.heldFirstFrame ? 0 : expected[i]!.at;
    assert.ok(Math.abs(at - wanted) < ROUNDING_SECONDS, `${name}: frame ${i} at ${at}, not ${wanted}`);
  }
}

/** ffmpeg trims the priming of the encoder in a file, not in HLS; a late track has silence in front. From the first equal frame. */
function withoutLead(after: readonly DecodedFrame[], before: readonly DecodedFrame[]) {
  const skip = Math.min(3, before.length - 1);
  const start = after.findIndex(({ hash }, i) =>
    hash === before[skip]!.hash && before.slice(skip).every((frame, j) => after[i + j]?.hash === frame.hash)
  );
  assert.ok(start >= skip, "the audio is not the input's");
  for (const { at } of after.slice(0, start - skip)) {
    assert.ok(at <= before[0]!.at, "audio in front of the first frame");
  }
  return [after.slice(start), before.slice(skip)] as const;
}
