/**
 * The positions of each track's samples, from the tables of moov. Pure.
 * Example: an avc1 track with lengthBytes 4 and the chunks [{ offset: 48, sizes: [31_204, 812] }, …].
 * ISO/IEC 14496-12 §8.5.2 (stsd), §8.7 (stsz, stsc, stco), 14496-15 §5.3.3 (avcC), §8.3.3 (hvcC).
 */
import { boxAt, type BoxBody, childBoxes, viewOf } from "./boxes.ts";

/** 18 hours at 60 frames per second. */
const MAX_SAMPLES = 4_000_000;
/** Bytes of a sample entry before its boxes. */
const VISUAL_ENTRY_BYTES = 78;

export interface SampleTrack {
  readonly index: number;
  /** Type of the sample entry: avc1, hvc1, mp4a, … */
  readonly codec: string;
  /** Bytes of the length in front of each NAL unit; null for other codecs. */
  readonly lengthBytes: number | null;
  readonly chunks: readonly Chunk[];
}

/** Contiguous samples. */
export interface Chunk {
  readonly offset: number;
  readonly sizes: Uint32Array;
}

/** The tracks with readable tables. */
export function readSampleTables(moov: Uint8Array): SampleTrack[] {
  const root = childBoxes(moov, { start: 0, end: moov.length })?.[0];
  const tracks = root === undefined ? [] : childBoxes(moov, { start: root.body, end: root.end }) ?? [];
  return tracks.filter((box) => box.type === "trak").flatMap((track, index) => {
    const stbl = boxAt(moov, track, ["mdia", "minf", "stbl"]);
    const view = (type: string) => {
      const box = stbl && boxAt(moov, stbl, [type]);
      return box ? viewOf(moov, box) : null;
    };
    const [stsd, stsz, stsc] = [view("stsd"), view("stsz"), view("stsc")];
    const offsets = view("stco") ?? view("co64");
    if (!stbl || !stsd || !stsz || !stsc || !offsets) return [];
    try {
      const entry = childBoxes(moov, {
        start: boxAt(moov, stbl, ["stsd"])!.body + 8,
        end: boxAt(moov, stbl, ["stsd"])!.end,
      })?.[0];
      if (entry === undefined) return [];
      const chunks = chunksOf({ sizes: sizesOf(stsz), stsc, offsets, wide: view("stco") === null });
      return [{ index, codec: entry.type, lengthBytes: lengthBytesOf(moov, entry), chunks }];
    } catch (error) {
      if (error instanceof RangeError) return []; // a table exceeds its box
      throw error;
    }
  });
}

function lengthBytesOf(moov: Uint8Array, entry: BoxBody): number | null {
  const boxes = childBoxes(moov, { start: Math.min(entry.body + VISUAL_ENTRY_BYTES, entry.end), end: entry.end });
  const find = (type: string) => boxes?.find((box) => box.type === type);
  const [avcC, hvcC] = [find("avcC"), find("hvcC")];
  if (avcC) return ((moov[avcC.body + 4] ?? 3) & 3) + 1;
  return hvcC ? ((moov[hvcC.body + 21] ?? 3) & 3) + 1 : null;
}

function sizesOf(stsz: DataView): Uint32Array {
  const [same, count] = [stsz.getUint32(4), stsz.getUint32(8)];
  if (count > MAX_SAMPLES) throw new RangeError("too many samples");
  const sizes = new Uint32Array(count);
  if (same !== 0) return sizes.fill(same);
  for (let sample = 0; sample < count; sample++) sizes[sample] = stsz.getUint32(12 + 4 * sample);
  return sizes;
}

function chunksOf(
  { sizes, stsc, offsets, wide }: { sizes: Uint32Array; stsc: DataView; offsets: DataView; wide: boolean },
): Chunk[] {
  const [count, runs] = [offsets.getUint32(4), stsc.getUint32(4)];
  if (count > MAX_SAMPLES) throw new RangeError("too many chunks");
  const chunks: Chunk[] = [];
  for (let chunk = 0, run = 0, sample = 0; chunk < count && sample < sizes.length; chunk++) {
    while (run + 1 < runs && stsc.getUint32(8 + 12 * (run + 1)) <= chunk + 1) run++;
    const samples = stsc.getUint32(8 + 12 * run + 4);
    const offset = wide ? Number(offsets.getBigUint64(8 + 8 * chunk)) : offsets.getUint32(8 + 4 * chunk);
    chunks.push({ offset, sizes: sizes.subarray(sample, sample + samples) });
    sample += samples;
  }
  return chunks;
}
