/** Writes the planned file in one pass. */
import type { FinalFile } from "../mp4/fast_start.ts";
import { text, u32 } from "../mp4/write_boxes.ts";
import { buildFragmentHead } from "./fragment.ts";
import { GatheredCopy } from "./gathered_copy.ts";
import type { Layout } from "./layout.ts";
import { type Chunk, isMedia, type Plan, type PlannedTrack } from "./plan.ts";
import type { Source } from "./source.ts";

export async function writeFile(
  { files }: Source,
  { plan, layout }: { plan: Plan; layout: Layout },
  options: { output: string; signal: AbortSignal },
): Promise<FinalFile> {
  using copy = new GatheredCopy(files, options);
  for (const piece of layout.head) await copy.put(piece);
  for (const group of plan.groups) {
    for (const chunk of group) {
      const track = plan.tracks[chunk.track]!;
      await copy.put(headOf(chunk, track));
      await addSamples(chunk, track, copy);
    }
    await copy.endGroup();
  }
  return await copy.finish();
}

function headOf({ first, end, fragment, payloadBytes }: Chunk, track: PlannedTrack): Uint8Array {
  if (fragment === null || !isMedia(track)) {
    const header = u32(payloadBytes + 8);
    return new Uint8Array([...header, ...text("mdat")]);
  }
  return buildFragmentHead(track.tables, track.clock, { ...fragment, span: { first, end }, silent: track.silent });
}

/** Samples next to each other in the input are one range. */
async function addSamples({ first, end }: Chunk, { tables }: PlannedTrack, copy: GatheredCopy): Promise<void> {
  const { offsets, sizes, files } = tables;
  for (let i = first; i < end;) {
    const [file, offset] = [files === null ? 0 : files[i]!, offsets[i]!];
    let length = 0;
    while (i < end && offsets[i] === offset + length && (files === null || files[i] === file)) length += sizes[i++]!;
    for (let done = 0; done < length;) {
      done += copy.add(file, offset + done, length - done);
      if (copy.isFull) await copy.next();
    }
  }
}
