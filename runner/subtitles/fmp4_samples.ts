/**
 * The samples of a text track in fragmented MP4, with their times on the track's clock. Pure.
 * ISO/IEC 14496-12 §8.8 (trex, tfhd, tfdt, trun); sample entries: ISO/IEC 14496-30.
 */
import { boxAt, type BoxBody, childBoxes, viewOf } from "../mp4/boxes.ts";

const MAX_SAMPLES = 100_000;

export interface TextTrack {
  readonly id: number;
  /** Type of the sample entry: wvtt, stpp, … */
  readonly format: string;
  readonly timescale: number;
  readonly defaultDuration: number;
  readonly defaultSize: number;
}

/** Seconds. */
export interface TextSample {
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
}

/** The first track of an init section; null if there is none that can be read. */
export function readTextTrack(init: Uint8Array): TextTrack | null {
  try {
    const moov = boxAt(init, { body: 0, end: init.length }, ["moov"]);
    const trak = moov && boxAt(init, moov, ["trak"]);
    const [tkhd, mdhd, stsd] = trak === null
      ? []
      : [["tkhd"], ["mdia", "mdhd"], ["mdia", "minf", "stbl", "stsd"]].map((path) => boxAt(init, trak, path));
    if (!moov || !tkhd || !mdhd || !stsd) return null;
    const entry = childBoxes(init, { start: stsd.body + 8, end: stsd.end })?.[0];
    const timescale = longOrShort(viewOf(init, mdhd), 12, 20);
    if (entry === undefined || timescale === 0) return null;
    const id = longOrShort(viewOf(init, tkhd), 12, 20);
    const trex = all(init, boxAt(init, moov, ["mvex"]), "trex").map((box) => viewOf(init, box))
      .find((box) => box.getUint32(4) === id);
    const defaults = { defaultDuration: trex?.getUint32(12) ?? 0, defaultSize: trex?.getUint32(16) ?? 0 };
    return { id, format: entry.type, timescale, ...defaults };
  } catch (error) {
    if (error instanceof RangeError) return null; // a box is cut
    throw error;
  }
}

/** null if a fragment cannot be read. */
export function readTextSamples(segment: Uint8Array, track: TextTrack): TextSample[] | null {
  const samples: TextSample[] = [];
  try {
    for (const moof of childBoxes(segment, { start: 0, end: segment.length })?.filter(isMoof) ?? []) {
      for (const traf of all(segment, moof, "traf")) {
        for (const sample of readFragment(segment, { moof: moof.offset, traf, track })) samples.push(sample);
        if (samples.length > MAX_SAMPLES) return null;
      }
    }
    return samples;
  } catch (error) {
    if (error instanceof RangeError) return null; // a table exceeds its box, or a sample the segment
    throw error;
  }
}

function readFragment(
  segment: Uint8Array,
  { moof, traf, track }: { moof: number; traf: BoxBody; track: TextTrack },
): TextSample[] {
  const [tfhdBox, tfdtBox] = [boxAt(segment, traf, ["tfhd"]), boxAt(segment, traf, ["tfdt"])];
  if (tfhdBox === null) return [];
  const tfhd = viewOf(segment, tfhdBox);
  if (tfhd.getUint32(4) !== track.id) return [];
  const flags = tfhd.getUint32(0) & 0xffffff;
  const base = flags & 1 ? Number(tfhd.getBigUint64(8)) : moof;
  let at = 8 + (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0);
  const next = (present: number, otherwise: number) => {
    if (!present) return otherwise;
    at += 4;
    return tfhd.getUint32(at - 4);
  };
  const duration = next(flags & 8, track.defaultDuration);
  const size = next(flags & 16, track.defaultSize);
  const tfdt = tfdtBox && viewOf(segment, tfdtBox);
  const state = {
    time: !tfdt ? 0 : tfdt.getUint8(0) === 1 ? Number(tfdt.getBigUint64(4)) : tfdt.getUint32(4),
    offset: base,
  };
  return all(segment, traf, "trun").flatMap((box) =>
    readRun(segment, { trun: viewOf(segment, box), base, state, duration, size, timescale: track.timescale })
  );
}

interface Run {
  readonly trun: DataView;
  readonly base: number;
  /** Where the next run continues. */
  readonly state: { time: number; offset: number };
  readonly duration: number;
  readonly size: number;
  readonly timescale: number;
}

function readRun(segment: Uint8Array, { trun, base, state, timescale, ...defaults }: Run): TextSample[] {
  const flags = trun.getUint32(0) & 0xffffff;
  const count = trun.getUint32(4);
  if (count > MAX_SAMPLES) throw new RangeError("too many samples");
  let at = 8;
  const next = (present: number, otherwise: number) => {
    if (!present) return otherwise;
    at += 4;
    return trun.getUint32(at - 4);
  };
  if (flags & 1) state.offset = base + (next(1, 0) | 0);
  next(flags & 4, 0);
  return Array.from({ length: count }, (): TextSample => {
    const duration = next(flags & 0x100, defaults.duration);
    const size = next(flags & 0x200, defaults.size);
    next(flags & 0x400, 0);
    const shift = next(flags & 0x800, 0) | 0;
    if (state.offset < 0 || state.offset + size > segment.length) throw new RangeError("a sample exceeds the segment");
    const bytes = segment.subarray(state.offset, state.offset + size);
    const start = state.time + shift;
    state.offset += size;
    state.time += duration;
    return { start: start / timescale, end: (start + duration) / timescale, bytes };
  });
}

function isMoof({ type }: { type: string }): boolean {
  return type === "moof";
}

function all(bytes: Uint8Array, place: BoxBody | null, type: string): BoxBody[] {
  if (place === null) return [];
  return childBoxes(bytes, { start: place.body, end: place.end })?.filter((box) => box.type === type) ?? [];
}

/** A field after two times, which have 8 bytes each in version 1. */
function longOrShort(box: DataView, short: number, long: number): number {
  return box.getUint32(box.getUint8(0) === 1 ? long : short);
}
