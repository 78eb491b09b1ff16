/**
 * The sample tables of every track, checked: a file whose tables contradict each other stays as it is. Pure. Typed arrays only, because a
 * film has millions of samples. Example: `parseTracks(moov, { mediaRanges })` → [{ id: 1, handler: "vide", sizes: Uint32Array(34560), … }].
 * ISO/IEC 14496-12 §8.5.2 (stsd), §8.6.1 (stts, ctts), §8.6.2 (stss), §8.7 (stsz, stsc, stco, co64, dref).
 */
import { boxAt, type BoxBody, childBoxes, viewOf } from "../mp4/boxes.ts";
import { type Edit, parseEdit } from "./edit.ts";
import { NotPresentable } from "./not_presentable.ts";

/** 18 hours at 60 frames per second, with audio. */
const MAX_SAMPLES = 8_000_000;
const MAX_TRACKS = 80;
const MAX_ENTRIES = 16;
const MAX_SECONDS = 48 * 3600;
/** Positions of other data, or samples that need it: this writer moves samples only. */
const REFUSED_IN_STBL = new Set(["saio", "saiz", "senc", "stz2", "cmov"]);

export interface TrackTables {
  readonly id: number;
  /** vide, soun, sbtl, text, … */
  readonly handler: string;
  readonly timescale: number;
  /** Three letters in 15 bits, as in mdhd. */
  readonly language: number;
  /** The whole box, to copy. */
  readonly trak: Uint8Array;
  /** Whole sample entries. */
  readonly entries: readonly Uint8Array[];
  readonly edit: Edit;
  readonly count: number;
  readonly sizes: Uint32Array;
  readonly offsets: Float64Array;
  /** Index of the file of each sample; null: one file. */
  readonly files: Uint16Array | null;
  /** Ticks. */
  readonly durations: Uint32Array;
  /** Ticks from decoding to presentation; null: none. */
  readonly composition: Int32Array | null;
  /** 1: a sync sample; null: all are. */
  readonly sync: Uint8Array | null;
  /** Sample entry, from 1; null: the first. */
  readonly descriptions: Uint8Array | null;
}

/** Where samples are: in ranges of the file, or stated by the caller, per track. */
export type Placement =
  | { readonly mediaRanges: readonly (readonly [from: number, to: number])[] }
  | { readonly placed: readonly { readonly offsets: Float64Array; readonly files: Uint16Array }[] };

/** @throws {NotPresentable} */
export function parseTracks(moov: Uint8Array, placement: Placement): TrackTables[] {
  const root = childBoxes(moov, { start: 0, end: moov.length })?.[0];
  const boxes = root === undefined ? null : childBoxes(moov, { start: root.body, end: root.end });
  const mvhd = boxes?.find((box) => box.type === "mvhd");
  if (!boxes || mvhd === undefined) throw new NotPresentable("moov cannot be read");
  if (boxes.some(({ type }) => type === "mvex" || type === "cmov")) {
    throw new NotPresentable("moov announces fragments");
  }
  const traks = boxes.filter((box) => box.type === "trak");
  if (traks.length > MAX_TRACKS) throw new NotPresentable(`it has ${traks.length} tracks`);
  try {
    const movieTimescale = timescaleOf(viewOf(moov, mvhd));
    const budget = { samples: MAX_SAMPLES };
    const tracks = traks.map((trak, i) => parseTrack(moov, trak, { movieTimescale, budget, placement, index: i }));
    if (new Set(tracks.map(({ id }) => id)).size < tracks.length) throw new NotPresentable("two tracks have one id");
    return tracks;
  } catch (error) {
    if (error instanceof RangeError) throw new NotPresentable("a table exceeds its box");
    throw error;
  }
}

interface Context {
  readonly movieTimescale: number;
  readonly budget: { samples: number };
  readonly placement: Placement;
  readonly index: number;
}

function parseTrack(moov: Uint8Array, trak: BoxBody & { offset: number }, context: Context): TrackTables {
  const at = (path: readonly string[]) => boxAt(moov, trak, path);
  const [tkhd, mdhd, hdlr] = [at(["tkhd"]), at(["mdia", "mdhd"]), at(["mdia", "hdlr"])];
  const stbl = at(["mdia", "minf", "stbl"]);
  const tables = stbl && childBoxes(moov, { start: stbl.body, end: stbl.end });
  if (!tkhd || !mdhd || !hdlr || !tables) throw new NotPresentable("a track lacks its header or its tables");
  const refused = tables.find(({ type }) => REFUSED_IN_STBL.has(type));
  if (refused !== undefined) throw new NotPresentable(`a track has ${refused.type}`);
  assertSelfContained(moov, at(["mdia", "minf", "dinf", "dref"]));
  const view = (type: string) => {
    const own = tables.filter((box) => box.type === type);
    if (own.length > 1) throw new NotPresentable(`a track has ${type} twice`);
    return own[0] === undefined ? null : viewOf(moov, own[0]);
  };
  const need = (table: DataView | null): DataView => {
    if (table === null) throw new NotPresentable("a track lacks a table");
    return table;
  };
  const stsd = tables.find(({ type }) => type === "stsd");
  const entries = stsd && childBoxes(moov, { start: stsd.body + 8, end: stsd.end });
  if (!entries || entries.length === 0 || entries.length > MAX_ENTRIES) {
    throw new NotPresentable("a track's sample entries cannot be read");
  }
  const mdhdView = viewOf(moov, mdhd);
  const timescale = timescaleOf(mdhdView);
  if (timescale === 0) throw new NotPresentable("a track has no time scale");
  const sizes = sizesOf(need(view("stsz")), context.budget);
  const durations = durationsOf(need(view("stts")), sizes.length);
  let ticks = 0;
  for (let i = 0; i < durations.length; i++) ticks += durations[i]!;
  if (ticks / timescale > MAX_SECONDS) throw new NotPresentable("a track is longer than two days");
  const wide = view("stco") === null;
  const tkhdView = viewOf(moov, tkhd);
  return {
    id: tkhdView.getUint32(tkhdView.getUint8(0) === 1 ? 20 : 12),
    handler: latin1(moov.subarray(hdlr.body + 8, hdlr.body + 12)),
    timescale,
    language: mdhdView.getUint16(mdhdView.getUint8(0) === 1 ? 32 : 20),
    trak: moov.subarray(trak.offset, trak.end),
    entries: entries.map((entry) => moov.subarray(entry.offset, entry.end)),
    edit: parseEdit(moov, trak, context.movieTimescale),
    count: sizes.length,
    sizes,
    durations,
    composition: compositionOf(view("ctts"), sizes.length),
    sync: syncOf(view("stss"), sizes.length),
    ...("placed" in context.placement ? { ...context.placement.placed[context.index]!, descriptions: null } : {
      ...positionsOf({ sizes, stsc: need(view("stsc")), chunks: need(view("stco") ?? view("co64")), wide }, {
        entries: entries.length,
        mediaRanges: context.placement.mediaRanges,
      }),
      files: null,
    }),
  };
}

function assertSelfContained(moov: Uint8Array, dref: BoxBody | null): void {
  const references = dref && childBoxes(moov, { start: dref.body + 8, end: dref.end });
  const inside = references?.every(({ body, end }) => body + 4 <= end && (moov[body + 3]! & 1) === 1);
  if (!inside) throw new NotPresentable("a track refers to another file");
}

function sizesOf(stsz: DataView, budget: { samples: number }): Uint32Array {
  const [same, count] = [stsz.getUint32(4), stsz.getUint32(8)];
  budget.samples -= count;
  if (budget.samples < 0) throw new NotPresentable("it has too many samples");
  if (same === 0 && 12 + 4 * count > stsz.byteLength) throw new NotPresentable("a table exceeds its box");
  const sizes = new Uint32Array(count);
  if (same !== 0) return sizes.fill(same);
  for (let i = 0; i < count; i++) sizes[i] = stsz.getUint32(12 + 4 * i);
  return sizes;
}

function durationsOf(stts: DataView, count: number): Uint32Array {
  const durations = new Uint32Array(count);
  const filled = fillRuns(stts, count, (from, to, value) => durations.fill(value, from, to));
  if (filled !== count) throw new NotPresentable("a track's times and sizes differ in number");
  return durations;
}

/** null if all are 0. Values of version 0 are signed, too, as players read them. */
function compositionOf(ctts: DataView | null, count: number): Int32Array | null {
  if (ctts === null) return null;
  const offsets = new Int32Array(count);
  let some = 0;
  const filled = fillRuns(ctts, count, (from, to, value) => {
    some |= value;
    offsets.fill(value | 0, from, to);
  });
  if (filled !== count) throw new NotPresentable("a track's composition offsets and sizes differ in number");
  return some === 0 ? null : offsets;
}

/** Pairs of count and value. Returns the sum of the counts. */
function fillRuns(table: DataView, limit: number, fill: (from: number, to: number, value: number) => void): number {
  const runs = table.getUint32(4);
  let at = 0;
  for (let run = 0; run < runs; run++) {
    const count = table.getUint32(8 + 8 * run);
    if (count > limit - at) return Infinity;
    fill(at, at + count, table.getUint32(12 + 8 * run));
    at += count;
  }
  return at;
}

function syncOf(stss: DataView | null, count: number): Uint8Array | null {
  if (stss === null) return null;
  const sync = new Uint8Array(count);
  let before = 0;
  for (let i = 0, syncs = stss.getUint32(4); i < syncs; i++) {
    const number = stss.getUint32(8 + 4 * i);
    if (number <= before || number > count) throw new NotPresentable("a track's sync samples are not in order");
    sync[number - 1] = 1;
    before = number;
  }
  return sync;
}

function positionsOf(
  { sizes, stsc, chunks, wide }: { sizes: Uint32Array; stsc: DataView; chunks: DataView; wide: boolean },
  { entries, mediaRanges }: { entries: number; mediaRanges: readonly (readonly [number, number])[] },
): Pick<TrackTables, "offsets" | "descriptions"> {
  const [chunkCount, runs] = [chunks.getUint32(4), stsc.getUint32(4)];
  const offsets = new Float64Array(sizes.length);
  const descriptions = entries === 1 ? null : new Uint8Array(sizes.length);
  let [sample, end] = [0, 0];
  for (let run = 0; run < runs; run++) {
    const from = stsc.getUint32(8 + 12 * run);
    const to = run + 1 < runs ? stsc.getUint32(20 + 12 * run) : chunkCount + 1;
    const [perChunk, entry] = [stsc.getUint32(12 + 12 * run), stsc.getUint32(16 + 12 * run)];
    if (run === 0 && from !== 1 || to <= from || to > chunkCount + 1) throw new NotPresentable("stsc is not in order");
    if (entry < 1 || entry > entries) throw new NotPresentable("a sample entry is missing");
    for (let chunk = from - 1; chunk < to - 1; chunk++) {
      const start = wide ? Number(chunks.getBigUint64(8 + 8 * chunk)) : chunks.getUint32(8 + 4 * chunk);
      if (start < end) throw new NotPresentable("chunks overlap or are not in the order of the file");
      if (perChunk > sizes.length - sample) throw new NotPresentable("chunks have more samples than sizes");
      end = start;
      for (const last = sample + perChunk; sample < last; sample++) {
        offsets[sample] = end;
        end += sizes[sample]!;
        if (descriptions !== null) descriptions[sample] = entry;
      }
      if (!mediaRanges.some(([from, to]) => from <= start && end <= to)) {
        throw new NotPresentable("a chunk is outside of the media data");
      }
    }
  }
  if (sample !== sizes.length) throw new NotPresentable("a track's chunks and sizes differ in number");
  return { offsets, descriptions };
}

/** mvhd and mdhd have the same layout up to here. */
function timescaleOf(view: DataView): number {
  return view.getUint32(view.getUint8(0) === 1 ? 20 : 12);
}

export function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
