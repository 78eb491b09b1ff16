/**
 * Finds segments without audio between segments with audio, on one clock: their audio is lost. Pure.
 * Example: three segments of 4 s whose second has only video → "has audio again after 4.0 s without, …".
 */
import type { SegmentClock } from "./segment_clock.ts";

/** Audio frames are stored with the video before them, so a short segment may have none of its own. */
const MAX_HOLE_SECONDS = 0.5;

interface Segment {
  readonly clock: SegmentClock | null;
  readonly discontinuity: number;
  readonly init: string | null;
}

/** null: there is none. `segment` is the first one with audio again. */
export function findAudioHole(segments: readonly Segment[]): { segment: number; reason: string } | null {
  let last: { end: number; segment: number; discontinuity: number; init: string | null } | null = null;
  for (const [segment, { clock, discontinuity, init }] of segments.entries()) {
    const audio = clock?.tracks.find(({ kind }) => kind === "audio");
    if (audio === undefined) continue;
    const goesOn = last !== null && last.discontinuity === discontinuity && last.init === init;
    if (goesOn && segment > last!.segment + 1) {
      const hole = overWrap(audio.start - last!.end, clock!.wrapSeconds);
      if (hole > MAX_HOLE_SECONDS) {
        const reason = `has audio again after ${hole.toFixed(1)} s without, and no discontinuity: audio is missing`;
        return { segment, reason };
      }
    }
    last = { end: audio.lastStart + audio.step, segment, discontinuity, init };
  }
  return null;
}

function overWrap(seconds: number, wrapSeconds: number | null): number {
  return wrapSeconds !== null && seconds < -wrapSeconds / 2 ? seconds + wrapSeconds : seconds;
}
