/**
 * One fragment of a track: moof with the header of mdat, and the silent frames that precede the samples. Pure.
 * ISO/IEC 14496-12 §8.8; RFC 8216bis §3.3: one track per fragment, positions relative to moof, tfdt.
 */
import { box, fullBox, join, text, u32, u32s, u64 } from "../mp4/write_boxes.ts";
import { type HlsClock, SILENT_TICKS } from "./hls_clock.ts";
import type { TrackTables } from "./track_tables.ts";

const SYNC = 0x02000000;
const NOT_SYNC = 0x01010000;
const BASE_IS_MOOF = 0x020000;
const TFHD = { description: 0x2, duration: 0x8, size: 0x10, flags: 0x20 };
const TRUN = { offset: 0x1, firstFlags: 0x4, duration: 0x100, size: 0x200, flags: 0x400, composition: 0x800 };
/** AAC-LC, mono and stereo. */
const SILENT_FRAMES: readonly Uint8Array[] = [
  Uint8Array.of(0x00, 0xc8, 0x00, 0x80, 0x23, 0x80),
  Uint8Array.of(0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80),
];

/** Samples `first` to `end` of a track. */
export interface Span {
  readonly first: number;
  readonly end: number;
}

/** How a fragment is written; follows from its samples alone. */
export interface FragmentForm {
  readonly silence: number;
  readonly sameDuration: boolean;
  readonly sameSize: boolean;
  readonly composition: boolean;
  readonly syncs: "all" | "first" | "listed";
  readonly description: number;
  /** Of the samples. */
  readonly payloadBytes: number;
  /** Of moof, the header of mdat and the silent frames. */
  readonly headBytes: number;
}

export function silentFrame(channels: number | null): Uint8Array | null {
  return SILENT_FRAMES[(channels ?? 0) - 1] ?? null;
}

export function formOf(track: TrackTables, clock: HlsClock, { first, end }: Span, silent: Uint8Array | null) {
  const { durations, sizes, composition, sync } = track;
  const [duration, size] = [durations[first]!, sizes[first]!];
  const silence = first === 0 ? clock.silence : 0;
  let [sameDuration, sameSize, shifted] = [silence === 0 && (first !== 0 || clock.hold === 0), silence === 0, false];
  let [syncs, payloadBytes] = [0, 0];
  for (let i = first; i < end; i++) {
    if (durations[i] !== duration) sameDuration = false;
    if (sizes[i] !== size) sameSize = false;
    if (composition !== null && composition[i]! + clock.lift !== 0) shifted = true;
    if (sync === null || sync[i] === 1) syncs++;
    payloadBytes += sizes[i]!;
  }
  const count = end - first;
  const form: Omit<FragmentForm, "headBytes"> = {
    ...{ silence, sameDuration, sameSize, payloadBytes },
    composition: shifted || clock.lift > 0,
    syncs: syncs === count ? "all" : syncs === 1 && (sync === null || sync[first] === 1) ? "first" : "listed",
    description: track.descriptions?.[first] ?? 1,
  };
  const fields = sampleFields(form);
  const tfhd = 16 + 4 * (1 + Number(form.sameDuration) + Number(form.sameSize) + Number(form.description !== 1));
  const trun = 20 + (form.syncs === "first" ? 4 : 0) + 4 * fields * (count + silence);
  const silentBytes = silence * (silent?.length ?? 0);
  return { ...form, headBytes: 8 + 16 + 8 + tfhd + 20 + trun + 8 + silentBytes };
}

function sampleFields({ sameDuration, sameSize, composition, syncs }: Omit<FragmentForm, "headBytes">): number {
  return Number(!sameDuration) + Number(!sameSize) + Number(composition) + Number(syncs === "listed");
}

export function buildFragmentHead(
  track: TrackTables,
  clock: HlsClock,
  { span: { first, end }, form, sequence, decode, silent }: {
    span: Span;
    form: FragmentForm;
    /** From 1. */
    sequence: number;
    /** Ticks. */
    decode: number;
    silent: Uint8Array | null;
  },
): Uint8Array {
  const { durations, sizes, composition, sync } = track;
  const silentBytes = form.silence * (silent?.length ?? 0);
  const table = new Uint32Array(sampleFields(form) * (end - first + form.silence));
  let at = 0;
  for (let i = first - form.silence; i < end; i++) {
    const isSilence = i < first;
    if (!form.sameDuration) table[at++] = isSilence ? SILENT_TICKS : durations[i]! + (i === 0 ? clock.hold : 0);
    if (!form.sameSize) table[at++] = isSilence ? silent!.length : sizes[i]!;
    if (form.syncs === "listed") table[at++] = isSilence || sync === null || sync[i] === 1 ? SYNC : NOT_SYNC;
    if (form.composition) table[at++] = isSilence ? 0 : (composition?.[i] ?? 0) + clock.lift;
  }
  const trunFlags = TRUN.offset | (form.syncs === "first" ? TRUN.firstFlags : 0) |
    (form.sameDuration ? 0 : TRUN.duration) | (form.sameSize ? 0 : TRUN.size) |
    (form.syncs === "listed" ? TRUN.flags : 0) | (form.composition ? TRUN.composition : 0);
  const tfhdFlags = BASE_IS_MOOF | TFHD.flags | (form.description === 1 ? 0 : TFHD.description) |
    (form.sameDuration ? TFHD.duration : 0) | (form.sameSize ? TFHD.size : 0);
  const tfhd = fullBox(
    "tfhd",
    { flags: tfhdFlags },
    u32(track.id),
    ...(form.description === 1 ? [] : [u32(form.description)]),
    ...(form.sameDuration ? [u32(durations[first]!)] : []),
    ...(form.sameSize ? [u32(sizes[first]!)] : []),
    u32(form.syncs === "all" ? SYNC : NOT_SYNC),
  );
  const moofBytes = form.headBytes - 8 - silentBytes;
  const trun = fullBox(
    "trun",
    { flags: trunFlags },
    ...[u32(end - first + form.silence), u32(moofBytes + 8)],
    ...(form.syncs === "first" ? [u32(SYNC)] : []),
    u32s(table),
  );
  const tfdt = fullBox("tfdt", { version: 1 }, u64(decode));
  return join([
    box("moof", fullBox("mfhd", {}, u32(sequence)), box("traf", tfhd, tfdt, trun)),
    ...[u32(8 + silentBytes + form.payloadBytes), text("mdat")],
    ...Array.from({ length: form.silence }, () => silent!),
  ]);
}
