/**
 * Where segments start: at the first key frame after each multiple of the target, as ffmpeg cuts, so that qualities of one title have
 * borders close to each other. Tracks that outlast the video are cut further. Pure.
 */
import { type HlsClock, SILENT_TICKS } from "./hls_clock.ts";
import { NotPresentable } from "./not_presentable.ts";
import type { TrackTables } from "./track_tables.ts";

/** Of the target: key frames at irregular times make no shorter segments. */
const LEAST_PART = 1 / 3;
/** Segments of high bit rates are shorter, see plan.ts. */
const LONG_SEGMENT_BYTES = 6_000_000;
/** What keepstream's own reader of playlists accepts. */
const MAX_SEGMENTS = 20_000;

/** First samples of the video's segments. @throws {NotPresentable} */
export function cutVideo(track: TrackTables, clock: HlsClock, target: number): number[] {
  const { count, sizes, sync, composition, durations, descriptions, timescale } = track;
  if (sync !== null && sync[0] !== 1) throw new NotPresentable("the video does not start with a key frame");
  const starts = [0];
  let [decode, cut, bytes] = [0, 0, 0];
  for (let i = 0; i < count; decode += durations[i]!, bytes += sizes[i]!, i++) {
    if (i === 0) continue;
    const changes = descriptions !== null && descriptions[i] !== descriptions[i - 1];
    if (sync !== null && sync[i] !== 1) {
      if (changes) throw new NotPresentable("the sample entry changes between two key frames");
      continue;
    }
    const at = (decode + (composition?.[i] ?? 0) + clock.lift - clock.mediaTime + clock.hold) / timescale;
    if (!changes && bytes < LONG_SEGMENT_BYTES && !isDue(at, cut, target)) continue;
    if (starts.length === MAX_SEGMENTS) throw new NotPresentable("it has too many segments");
    starts.push(i);
    [cut, bytes] = [at, 0];
  }
  return starts;
}

function isDue(at: number, cut: number, target: number): boolean {
  const due = (Math.floor(cut / target + 1e-6) + 1) * target;
  return at >= due - 1e-6 && at - cut >= target * LEAST_PART;
}

/** Seconds at which segments start, from those of the video (none: audio only) to the end of the longest track. */
export function bordersOf(videoStarts: readonly number[], ends: { video: number; longest: number }, target: number) {
  const borders = [...videoStarts];
  for (let at = videoStarts.length === 0 ? 0 : ends.video; ends.longest - at > target * LEAST_PART; at += target) {
    if (borders.length === MAX_SEGMENTS) throw new NotPresentable("it has too many segments");
    if (at - (borders.at(-1) ?? -Infinity) > target * LEAST_PART) borders.push(at);
  }
  return borders.length === 0 ? [0] : borders;
}

/** First samples of a track's part of each segment: [0, 0, 281, …, count]. A sample that crosses a border belongs where more of it is. */
export function cutAtBorders(
  { count, durations, timescale, edit, handler }: TrackTables,
  clock: HlsClock | null,
  borders: readonly number[],
): number[] {
  const starts = [0];
  const shift = clock === null
    ? edit.empty * timescale - edit.mediaTime
    : clock.silence * SILENT_TICKS + clock.hold - clock.mediaTime;
  let ticks = 0;
  for (let i = 0; i < count; i++) {
    const middle = handler === "soun" ? durations[i]! / 2 : 0;
    const at = (ticks + shift + middle) / timescale;
    while (starts.length < borders.length && at >= borders[starts.length]! - 1e-9) starts.push(i);
    ticks += durations[i]!;
  }
  while (starts.length <= borders.length) starts.push(count);
  return starts;
}
