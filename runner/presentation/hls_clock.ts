/**
 * A track's clock in HLS. Players place fragments by decoding time and treat tracks differently, so that every track starts with decoding
 * time 0 and is presented from 0: a late track's first sample is shown longer, late audio is preceded by silence. Pure.
 * Example: video that starts 0.021 s late, delayed by two frames of 40 ms → { mediaTime: 80 ms, hold: 21 ms, silence: 0 }.
 */
import { NotPresentable } from "./not_presentable.ts";
import type { TrackTables } from "./track_tables.ts";

export interface HlsClock {
  /** media_time of the edit in the init section. */
  readonly mediaTime: number;
  /** Ticks by which the first sample lasts longer. */
  readonly hold: number;
  /** Silent frames of 1024 ticks before the first sample. */
  readonly silence: number;
  /** Added to composition offsets, which are then never negative: ffmpeg shifts tracks with negative ones. */
  readonly lift: number;
  /** Seconds at which the track ends. */
  readonly end: number;
}

export const SILENT_TICKS = 1024;
/** Rounding of the movie's time scale. */
const ROUNDING_SECONDS = 0.002;
const MAX_HOLD_SECONDS = { video: 10, audio: 0.05 };
const MAX_SILENCE_SECONDS = 10;
/** Priming of an encoder. */
const MAX_PRIMING_SECONDS = 0.25;
/** Padding of the last frames that an edit list cuts off. */
const MAX_CUT_SECONDS = 0.25;

/** @throws {NotPresentable} */
export function videoClock({ timescale, edit, composition, durations, count }: TrackTables): HlsClock {
  let [decode, first, last, lowest] = [0, Infinity, 0, 0];
  for (let i = 0; i < count; i++) {
    const offset = composition === null ? 0 : composition[i]!;
    if (offset < lowest) lowest = offset;
    if (decode + offset < first) first = decode + offset;
    if (decode + offset + durations[i]! > last) last = decode + offset + durations[i]!;
    decode += durations[i]!;
  }
  if (first < (composition?.[0] ?? 0)) throw new NotPresentable("frames precede the first key frame");
  const late = first - edit.mediaTime + Math.round(edit.empty * timescale);
  if (late < -ROUNDING_SECONDS * timescale) throw new NotPresentable("its edit list skips frames at the start");
  if (late > MAX_HOLD_SECONDS.video * timescale) throw new NotPresentable("the video starts late");
  const hold = Math.max(0, late);
  const end = (last - first + hold) / timescale;
  assertNotCut(edit, { timescale, seconds: (last - edit.mediaTime) / timescale });
  return { mediaTime: first - lowest, hold, silence: 0, lift: -lowest, end };
}

/** @throws {NotPresentable} */
export function audioClock(
  { timescale, edit, composition, durations, count }: TrackTables,
  { mayAddSilence }: { mayAddSilence: boolean },
): HlsClock {
  if (composition !== null) throw new NotPresentable("audio frames are not in the order of presentation");
  let ticks = 0;
  for (let i = 0; i < count; i++) ticks += durations[i]!;
  assertNotCut(edit, { timescale, seconds: (ticks - edit.mediaTime) / timescale });
  const empty = Math.round(edit.empty * timescale);
  if (edit.mediaTime - empty > MAX_PRIMING_SECONDS * timescale) {
    throw new NotPresentable("its edit list skips audio at the start");
  }
  if (empty <= edit.mediaTime) {
    const mediaTime = edit.mediaTime - empty;
    return { mediaTime, hold: 0, silence: 0, lift: 0, end: (ticks - mediaTime) / timescale };
  }
  const silence = mayAddSilence ? Math.floor(empty / SILENT_TICKS) : 0;
  const hold = empty - silence * SILENT_TICKS;
  if (empty > MAX_SILENCE_SECONDS * timescale || hold > MAX_HOLD_SECONDS.audio * timescale) {
    throw new NotPresentable("the audio starts late");
  }
  return { mediaTime: edit.mediaTime, hold, silence, lift: 0, end: (empty + ticks - edit.mediaTime) / timescale };
}

function assertNotCut(edit: TrackTables["edit"], media: { timescale: number; seconds: number }): void {
  if (edit.seconds === null || media.seconds - edit.seconds < MAX_CUT_SECONDS) return;
  throw new NotPresentable("its edit list cuts off the end");
}
