/** Builds moov from sample tables. Pure. ISO/IEC 14496-12 §8. */
import type { MovieTrack, Samples } from "./movie.ts";
import { box, fullBox, i64, join, text, u16, u32, u32s, u64 } from "./write_boxes.ts";

/** Divides the usual sampling and frame rates, and its durations fit 32 bits up to 13 hours. */
const MOVIE_TIMESCALE = 90_000;
const TKHD_ENABLED_IN_MOVIE = 3;

export interface OutputTrack
  extends Pick<MovieTrack, "timescale" | "tkhd" | "hdlr" | "mediaHeader" | "language" | "entries"> {
  /** Input files that `samples.files` refers to. */
  readonly files: readonly string[];
  /** The first decoding time is 0. */
  readonly samples: Samples & { readonly files: Uint16Array };
  /** Seconds of the movie at which the track starts, and the media tick that is presented there. */
  readonly start: number;
  readonly mediaTime: number;
  /** vide, soun, sbtl, text, … */
  readonly handlerType: string;
  readonly isDefault: boolean;
  /** Subtitles that players show by themselves. */
  readonly forced?: boolean;
  /** What the text track shows, with what tx3g cannot hold. */
  readonly cues?: readonly TextCue[];
}

/** A cue in WebVTT. */
export interface TextCue {
  /** Seconds. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** `line:0 align:start`. */
  readonly settings?: string;
}

export const FTYP = box("ftyp", text("isom"), u32(0x200), text("isomiso2avc1mp41"));

export function buildMoov(
  tracks: readonly OutputTrack[],
  chunks: readonly (readonly { count: number; offset: number }[])[],
): Uint8Array<ArrayBuffer> {
  const durations = tracks.map(movieTicks);
  const mvhd = fullBox(
    "mvhd",
    { version: 1 },
    ...[u64(0), u64(0), u32(MOVIE_TIMESCALE), u64(Math.max(0, ...durations))],
    ...[u32(0x10000), u16(0x100), new Uint8Array(10), MATRIX, new Uint8Array(24), u32(tracks.length + 1)],
  );
  const traks = tracks.map((track, i) =>
    buildTrak(track, { id: i + 1, ticks: durations[i]!, chunks: chunks[i] ?? [] })
  );
  return box("moov", mvhd, ...traks);
}

const MATRIX = join([u32(0x10000), u32(0), u32(0), u32(0), u32(0x10000), u32(0), u32(0), u32(0), u32(0x40000000)]);

function buildTrak(
  track: OutputTrack,
  { id, ticks, chunks }: { id: number; ticks: number; chunks: readonly { count: number; offset: number }[] },
): Uint8Array {
  const { samples, timescale } = track;
  const mediaTicks = endTick(samples);
  const mdhd = fullBox(
    "mdhd",
    { version: 1 },
    ...[u64(0), u64(0), u32(timescale), u64(mediaTicks), u16(track.language), u16(0)],
  );
  const dinf = box("dinf", fullBox("dref", {}, u32(1), fullBox("url ", { flags: 1 })));
  const stbl = box(
    "stbl",
    fullBox("stsd", {}, u32(track.entries.length), ...track.entries),
    ...timeTables(samples),
    ...sampleTables(samples, chunks),
  );
  const minf = box("minf", track.mediaHeader, dinf, stbl);
  return box(
    "trak",
    buildTkhd(track, { id, ticks }),
    buildEdits(track, ticks),
    box("mdia", mdhd, track.hdlr, minf),
    ...(track.forced ? [FORCED] : []),
  );
}

/** `kind` with a role of ISO/IEC 23009-1. */
const FORCED = box("udta", fullBox("kind", {}, text("urn:mpeg:dash:role:2011\0forced-subtitle\0")));

/** Volume, matrix and size are copied. */
function buildTkhd({ tkhd, isDefault }: OutputTrack, { id, ticks }: { id: number; ticks: number }): Uint8Array {
  const view = new DataView(tkhd.buffer, tkhd.byteOffset, tkhd.byteLength);
  const rest = tkhd.subarray(view.getUint8(8) === 1 ? 44 : 32);
  const flags = isDefault ? TKHD_ENABLED_IN_MOVIE : TKHD_ENABLED_IN_MOVIE - 1;
  return fullBox("tkhd", { version: 1, flags }, u64(0), u64(0), u32(id), u32(0), u64(ticks), rest);
}

function buildEdits({ start, mediaTime }: OutputTrack, ticks: number): Uint8Array {
  const empty = Math.round(start * MOVIE_TIMESCALE);
  const edits = empty > 0 ? [u64(empty), i64(-1), u32(0x10000)] : [];
  edits.push(u64(ticks - empty), i64(mediaTime), u32(0x10000));
  return box("edts", fullBox("elst", { version: 1 }, u32(edits.length / 3), ...edits));
}

function timeTables({ count, decode, composition, sync, lastDuration }: Samples): Uint8Array[] {
  const durations = runs(count, (i) => i + 1 < count ? decode[i + 1]! - decode[i]! : lastDuration);
  const offsets = runs(count, (i) => composition[i]!);
  const signed = composition.some((offset) => offset < 0) ? 1 : 0;
  const syncs = sync.every((flag) => flag === 1) ? [] : [...sync.keys()].filter((i) => sync[i] === 1).map((i) => i + 1);
  return [
    fullBox("stts", {}, u32(durations.length), u32s(durations.flat())),
    ...(offsets.length === 1 && offsets[0]![1] === 0
      ? []
      : [fullBox("ctts", { version: signed }, u32(offsets.length), u32s(offsets.flat()))]),
    ...(syncs.length === 0 ? [] : [fullBox("stss", {}, u32(syncs.length), u32s(syncs))]),
  ];
}

function sampleTables({ sizes, count }: Samples, chunks: readonly { count: number; offset: number }[]): Uint8Array[] {
  const counts: number[] = [];
  for (const [i, chunk] of chunks.entries()) {
    if (chunks[i - 1]?.count !== chunk.count) counts.push(i + 1, chunk.count, 1);
  }
  const offsets = join(chunks.map(({ offset }) => u64(offset)));
  return [
    fullBox("stsz", {}, u32(0), u32(count), u32s(sizes)),
    fullBox("stsc", {}, u32(counts.length / 3), u32s(counts)),
    fullBox("co64", {}, u32(chunks.length), offsets),
  ];
}

/** Seconds of the movie until the track ends, in movie ticks. */
function movieTicks({ samples, timescale, mediaTime, start }: OutputTrack): number {
  return Math.round((start + Math.max(0, presentationEnd(samples) - mediaTime) / timescale) * MOVIE_TIMESCALE);
}

function endTick({ count, decode, lastDuration }: Samples): number {
  return count === 0 ? 0 : decode[count - 1]! + lastDuration;
}

function presentationEnd({ count, decode, composition, lastDuration }: Samples): number {
  let last = 0;
  for (let i = 0; i < count; i++) last = Math.max(last, decode[i]! + composition[i]!);
  return last + lastDuration;
}

function runs(count: number, valueOf: (i: number) => number): [count: number, value: number][] {
  const found: [number, number][] = [];
  for (let i = 0; i < count; i++) {
    const value = valueOf(i);
    const last = found.at(-1);
    if (last !== undefined && last[1] === value) last[0]++;
    else found.push([1, value]);
  }
  return found;
}
