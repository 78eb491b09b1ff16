/**
 * Moves cues from the source's clock to the archive's timeline. Pure. RFC 8216 §3.5.
 * Example: a video that starts at 10 s on its clock, cues at 11 and 15 s on the same clock → 1 and 5 s.
 */
import type { Cue } from "./cue.ts";
import type { PlacedCue } from "./cue_list.ts";

/** A part of the video with one clock: where it starts on the source's clock, and in the archive. Seconds. */
export interface ClockPart {
  /** The first and the last discontinuity number. */
  readonly discontinuity: readonly [first: number, last: number];
  readonly start: number;
  readonly at: number;
}

/** Cues with one clock: a WebVTT segment, or a sample of an MP4. */
export interface CueGroup {
  /** `end` is Infinity if the cue ends with its segment. */
  readonly cues: readonly Cue[];
  readonly discontinuity: number;
  /** Where the playlist announces the segment, in the archive. */
  readonly window: { readonly start: number; readonly end: number };
  /**
   * What to add to a cue's time for the source's clock: one value, or several of which the best is used for the whole rendition; null for
   * times that are on the archive's timeline already. Every group has the same number of values.
   */
  readonly offsets: readonly (number | null)[];
}

/** X-TIMESTAMP-MAP and MPEG-TS count 33 bits of 90 kHz. */
const WRAP_SECONDS = 2 ** 33 / 90_000;
/** Another clock has to fit better than the first by this, and by half: announced durations are not exact. */
const MIN_BENEFIT_SECONDS = 0.1;
const MAX_DISTANCE_RATIO = 0.5;

export function placeCues(groups: readonly CueGroup[], parts: readonly ClockPart[]): PlacedCue[] {
  const partsOf = partFinder(parts);
  const shifts = groups.map((group) => {
    const candidates = partsOf(group);
    return group.offsets.map((offset) => shiftBy(offset, group, candidates));
  });
  const chosen = chooseClock(groups, shifts);
  return groups.flatMap((group, i) => {
    const shift = shifts[i]![chosen]!;
    return group.cues.map((cue): PlacedCue => {
      const end = cue.end === Infinity ? group.window.end : cue.end + shift;
      return { ...cue, start: cue.start + shift, end, group: i };
    }).filter(({ start, end }) => start < end);
  });
}

/** Seconds from a cue's time to its time in the archive, by the part that brings the first cue nearest to its segment. */
function shiftBy(offset: number | null, { cues, window }: CueGroup, parts: readonly ClockPart[]): number {
  const [cue] = cues;
  if (offset === null || cue === undefined) return 0;
  const shifts = parts.map((part) => {
    const shift = part.at + offset - part.start;
    // The clock wraps: of the possible times, the one nearest to the segment counts.
    return shift + Math.round((window.start - cue.start - shift) / WRAP_SECONDS) * WRAP_SECONDS;
  });
  const distances = shifts.map((shift) => distanceTo(window, cue.start + shift));
  return shifts[distances.indexOf(Math.min(...distances))] ?? 0;
}

function distanceTo({ start, end }: CueGroup["window"], time: number): number {
  return Math.max(0, start - time) + Math.max(0, time - end);
}

/** Index of the clock with which the cues start in their segments: the first one, unless another fits much better. */
function chooseClock(groups: readonly CueGroup[], shifts: readonly (readonly number[])[]): number {
  const distances = Array.from(
    { length: groups[0]?.offsets.length ?? 1 },
    (_, clock) => distanceOf(groups, (i) => shifts[i]![clock]!),
  );
  const [first = 0] = distances;
  const best = distances.indexOf(Math.min(...distances));
  return distances[best]! + MIN_BENEFIT_SECONDS < first * MAX_DISTANCE_RATIO ? best : 0;
}

/** Seconds between cues and their segments. A cue that several segments contain belongs to the first one. */
function distanceOf(groups: readonly CueGroup[], shiftOf: (group: number) => number): number {
  const seen = new Set<string>();
  let sum = 0;
  for (const [i, { cues, window }] of groups.entries()) {
    for (const cue of cues) {
      const start = cue.start + shiftOf(i);
      const key = `${start.toFixed(3)} ${cue.text}`;
      if (!seen.has(key)) sum += distanceTo(window, start);
      seen.add(key);
    }
  }
  return sum;
}

/**
 * The part with the group's discontinuity number, and the one at its place: some subtitle playlists leave out the discontinuities of the
 * video.
 */
function partFinder(parts: readonly ClockPart[]): (group: CueGroup) => readonly ClockPart[] {
  return ({ discontinuity, window }) => {
    const first = search(parts, (part) => part.discontinuity[1] >= discontinuity);
    const after = search(parts, (part) => part.discontinuity[0] > discontinuity);
    const place = Math.max(0, search(parts, (part) => part.at > window.start) - 1);
    const numbered = Math.max(first, Math.min(place, after - 1)); // several parts may have one number
    return [...(numbered < after ? [parts[numbered]!] : []), ...(parts[place] ? [parts[place]!] : [])];
  };
}

/** Index of the first part that fits; all after it fit as well. */
function search(parts: readonly ClockPart[], fits: (part: ClockPart) => boolean): number {
  let [from, to] = [0, parts.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (fits(parts[middle]!)) to = middle;
    else from = middle + 1;
  }
  return from;
}
