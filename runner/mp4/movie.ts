/**
 * The tracks of an MP4 with the position, time and kind of every sample, from moov. Pure.
 * Example: `parseMovie(moov).tracks[0]` → { handler: "vide", timescale: 90000, sizes: Uint32Array(240), … }.
 * ISO/IEC 14496-12 §8.3 (tkhd), §8.4 (mdia), §8.5 (stsd), §8.6 (times, sync samples, edits), §8.7 (sizes, chunks).
 */
import { boxAt, type BoxBody, childBoxes, viewOf } from "./boxes.ts";
import { readSampleTables } from "./sample_tables.ts";

export interface Movie {
  readonly tracks: readonly MovieTrack[];
}

export interface MovieTrack {
  /** vide, soun, sbtl, text, … */
  readonly handler: string;
  /** Ticks per second. */
  readonly timescale: number;
  /** Whole boxes, to copy. */
  readonly tkhd: Uint8Array;
  readonly hdlr: Uint8Array;
  readonly mediaHeader: Uint8Array;
  /** As in mdhd: three letters in 15 bits. */
  readonly language: number;
  /** Whole sample entries (avc1, mp4a, …) and, for each sample, the index of its entry. */
  readonly entries: readonly Uint8Array[];
  readonly samples: Samples;
  /** Seconds to add to a sample's time for its presentation in the movie. */
  readonly shift: number;
  /** Seconds of the movie at which the track is first presented: samples before it are skipped. */
  readonly presentedFrom: number;
}

/** Parallel arrays, in decoding order. */
export interface Samples {
  readonly count: number;
  readonly offsets: Float64Array;
  readonly sizes: Uint32Array;
  /** Ticks. */
  readonly decode: Float64Array;
  /** Ticks from decoding to presentation. */
  readonly composition: Int32Array;
  /** 1: a sync sample. */
  readonly sync: Uint8Array;
  /** Ticks of the last sample. */
  readonly lastDuration: number;
}

/** null if moov cannot be read; tracks with several sample entries or unusual edits are refused the same way. */
export function parseMovie(moov: Uint8Array): Movie | null {
  const root = childBoxes(moov, { start: 0, end: moov.length })?.[0];
  if (root === undefined) return null;
  const boxes = childBoxes(moov, { start: root.body, end: root.end });
  const mvhd = boxes?.find((box) => box.type === "mvhd");
  if (boxes === null || mvhd === undefined) return null;
  const tables = readSampleTables(moov);
  try {
    const movieTimescale = timescaleOf(viewOf(moov, mvhd));
    const traks = boxes.filter((box) => box.type === "trak");
    const tracks = traks.map((trak, index) => {
      const table = tables.find((table) => table.index === index);
      return table === undefined ? null : parseTrack(moov, trak, { chunks: table.chunks, movieTimescale });
    });
    return tracks.includes(null) ? null : { tracks: tracks as MovieTrack[] };
  } catch (error) {
    if (error instanceof RangeError) return null; // a table exceeds its box
    throw error;
  }
}

function parseTrack(
  moov: Uint8Array,
  trak: BoxBody,
  { chunks, movieTimescale }: { chunks: ReturnType<typeof readSampleTables>[number]["chunks"]; movieTimescale: number },
): MovieTrack | null {
  const at = (path: readonly string[]) => boxAt(moov, trak, path);
  const [tkhd, mdhd, hdlr, minf] = [at(["tkhd"]), at(["mdia", "mdhd"]), at(["mdia", "hdlr"]), at(["mdia", "minf"])];
  const stbl = at(["mdia", "minf", "stbl"]);
  const stsd = stbl && boxAt(moov, stbl, ["stsd"]);
  const stts = stbl && boxAt(moov, stbl, ["stts"]);
  if (!tkhd || !mdhd || !hdlr || !minf || !stbl || !stsd || !stts) return null;
  const entries = childBoxes(moov, { start: stsd.body + 8, end: stsd.end });
  const mediaHeader = childBoxes(moov, { start: minf.body, end: minf.end })?.find((box) => /^.mhd$/.test(box.type));
  if (entries?.length !== 1 || mediaHeader === undefined) return null;
  const mdhdView = viewOf(moov, mdhd);
  const timescale = timescaleOf(mdhdView);
  if (timescale === 0) return null;
  const edit = parseEdits(moov, trak);
  if (edit === null) return null;
  const presentedFrom = movieTimescale === 0 ? 0 : edit.empty / movieTimescale;
  const samples = parseSamples(moov, stbl, chunks);
  return samples === null ? null : {
    handler: new TextDecoder("latin1").decode(moov.subarray(hdlr.body + 8, hdlr.body + 12)),
    timescale,
    tkhd: moov.subarray(tkhd.body - 8, tkhd.end),
    hdlr: moov.subarray(hdlr.body - 8, hdlr.end),
    mediaHeader: moov.subarray(mediaHeader.offset, mediaHeader.end),
    language: mdhdView.getUint16(mdhdView.getUint8(0) === 1 ? 32 : 20),
    entries: entries.map((entry) => moov.subarray(entry.offset, entry.end)),
    samples,
    shift: presentedFrom - edit.mediaTime / timescale,
    presentedFrom,
  };
}

function parseSamples(
  moov: Uint8Array,
  stbl: BoxBody,
  chunks: ReturnType<typeof readSampleTables>[number]["chunks"],
): Samples | null {
  const view = (type: string) => {
    const box = boxAt(moov, stbl, [type]);
    return box === null ? null : viewOf(moov, box);
  };
  const [stts, ctts, stss] = [view("stts")!, view("ctts"), view("stss")];
  const count = chunks.reduce((sum, chunk) => sum + chunk.sizes.length, 0);
  const [offsets, sizes] = [new Float64Array(count), new Uint32Array(count)];
  let at = 0;
  for (const chunk of chunks) {
    let offset = chunk.offset;
    for (const size of chunk.sizes) {
      [offsets[at], sizes[at]] = [offset, size];
      offset += size;
      at++;
    }
  }
  const decode = new Float64Array(count);
  let [sample, time, lastDuration] = [0, 0, 0];
  for (const [samples, duration] of runsOf(stts)) {
    for (const end = Math.min(sample + samples, count); sample < end; time += duration) decode[sample++] = time;
    lastDuration = duration;
  }
  if (sample !== count) return null;
  const composition = new Int32Array(count);
  sample = 0;
  for (const [samples, offset] of ctts === null ? [] : runsOf(ctts)) {
    const end = Math.min(sample + samples, count);
    composition.fill(offset | 0, sample, end);
    sample = end;
  }
  const sync = new Uint8Array(count).fill(stss === null ? 1 : 0);
  for (let i = 0, syncs = stss === null ? 0 : stss.getUint32(4); i < syncs; i++) {
    const number = stss!.getUint32(8 + 4 * i);
    if (number >= 1 && number <= count) sync[number - 1] = 1;
  }
  return { count, offsets, sizes, decode, composition, sync, lastDuration };
}

/** Pairs of 32-bit numbers after version, flags and count. */
function* runsOf(table: DataView): Generator<readonly [count: number, value: number]> {
  const entries = table.getUint32(4);
  for (let at = 8; at < 8 + entries * 8; at += 8) yield [table.getUint32(at), table.getUint32(at + 4)];
}

/** An optional empty edit (in movie ticks), then one edit from a media time; null if there are others. */
function parseEdits(moov: Uint8Array, trak: BoxBody): { empty: number; mediaTime: number } | null {
  const box = boxAt(moov, trak, ["edts", "elst"]);
  if (box === null) return { empty: 0, mediaTime: 0 };
  const view = viewOf(moov, box);
  const long = view.getUint8(0) === 1;
  let [empty, mediaTime] = [0, null as number | null];
  for (let i = 0; i < view.getUint32(4); i++) {
    const at = 8 + i * (long ? 20 : 12);
    const duration = long ? Number(view.getBigUint64(at)) : view.getUint32(at);
    const time = long ? Number(view.getBigInt64(at + 8)) : view.getInt32(at + 4);
    if (mediaTime !== null || (time < 0 && empty > 0)) return null;
    if (time < 0) empty = duration;
    else mediaTime = time;
  }
  return { empty, mediaTime: mediaTime ?? 0 };
}

/** mvhd and mdhd have the same layout up to here. */
function timescaleOf(view: DataView): number {
  return view.getUint32(view.getUint8(0) === 1 ? 20 : 12);
}
