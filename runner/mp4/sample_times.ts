/**
 * The presentation times of each track's samples, from the tables of moov. Pure.
 * Example: 250 samples of 512 ticks at 12,800 per second → { samples: 250, durationSeconds: 10, largestGapSeconds: 0 }.
 * ISO/IEC 14496-12 §8.6.1 (stts, ctts), §8.4.2 (mdhd).
 */
import { childBoxes } from "./boxes.ts";

/** 18 hours at 60 frames per second. */
const MAX_SAMPLES = 4_000_000;

export type SampleTimes = {
  readonly samples: number;
  /** From the first presented sample to the end of the last one. */
  readonly durationSeconds: number;
  /** The longest time without a new sample, beyond the track's usual sample duration. */
  readonly largestGapSeconds: number;
};

/** One entry per track, in order; null if its tables cannot be read. */
export function readSampleTimes(moov: Uint8Array): (SampleTimes | null)[] {
  const root = childBoxes(moov, { start: 0, end: moov.length })?.[0];
  const tracks = root === undefined ? [] : childBoxes(moov, { start: root.body, end: root.end }) ?? [];
  return tracks.filter((box) => box.type === "trak").map((track) => {
    const find = (path: readonly string[]) => {
      let place = { start: track.body, end: track.end };
      for (const type of path) {
        const box = childBoxes(moov, place)?.find((child) => child.type === type);
        if (box === undefined) return null;
        place = { start: box.body, end: box.end };
      }
      return new DataView(moov.buffer, moov.byteOffset + place.start, place.end - place.start);
    };
    try {
      return measure(
        find(["mdia", "mdhd"]),
        find(["mdia", "minf", "stbl", "stts"]),
        find(["mdia", "minf", "stbl", "ctts"]),
      );
    } catch (error) {
      if (error instanceof RangeError) return null; // a table exceeds its box
      throw error;
    }
  });
}

function measure(mdhd: DataView | null, stts: DataView | null, ctts: DataView | null): SampleTimes | null {
  if (mdhd === null || stts === null) return null;
  const ticksPerSecond = mdhd.getUint32(mdhd.getUint8(0) === 1 ? 20 : 12);
  let samples = 0;
  for (const [count] of runs(stts)) {
    samples += count;
    if (samples > MAX_SAMPLES) return null;
  }
  if (ticksPerSecond === 0) return null;
  const shown = new Float64Array(samples);
  let [at, time] = [0, 0];
  for (const [count, delta] of runs(stts)) {
    for (const end = at + count; at < end; time += delta) shown[at++] = time;
  }
  at = 0;
  for (const [count, offset] of ctts === null ? [] : runs(ctts)) {
    for (const end = Math.min(at + count, samples); at < end;) shown[at++]! += offset | 0;
  }
  if (samples === 0) return { samples, durationSeconds: 0, largestGapSeconds: 0 };
  shown.sort();
  const usual = time / samples;
  let largest = usual;
  for (let i = 1; i < samples; i++) largest = Math.max(largest, shown[i]! - shown[i - 1]!);
  return {
    samples,
    durationSeconds: (shown[samples - 1]! - shown[0]! + usual) / ticksPerSecond,
    largestGapSeconds: (largest - usual) / ticksPerSecond,
  };
}

/** Pairs of 32-bit numbers after version, flags and count. A generator, because a hostile table has millions. */
function* runs(table: DataView): Generator<readonly [count: number, value: number]> {
  const entries = table.getUint32(4);
  if (8 + entries * 8 > table.byteLength) throw new RangeError("the table is cut");
  for (let at = 8; at < 8 + entries * 8; at += 8) yield [table.getUint32(at), table.getUint32(at + 4)];
}
