/**
 * Places the parts of all renditions on the archive's timeline. Pure. The video's parts follow each other without a gap; audio keeps its
 * distance to the video of the same part. RFC 8216 §6.2.4: parts with one discontinuity number share a clock.
 * Example: video parts that start at 10 s and 1.4 s and last 8 s each → placed at 0 and 8.
 */
import type { Part, PartTrack } from "./parts.ts";
import { TS_WRAP_SECONDS } from "./ts_clock.ts";

/** Audio that outlasts the video by less is cut off by the next part. */
const MAX_TAIL_SECONDS = 0.3;
/** Renditions whose clocks differ by more have no common clock. */
const MAX_CLOCK_DIFFERENCE_SECONDS = 10;

export interface PlacedPart extends Part {
  /** Where its earliest presentation is on the archive's timeline, in seconds. */
  readonly at: number;
}

/** `renditions[0]` has the video, or is the only one. */
export function placeParts(renditions: readonly (readonly Part[])[]): PlacedPart[][] {
  const [main = [], ...others] = renditions;
  let at = 0;
  const placedMain = main.map((part): PlacedPart => {
    const placed = { ...part, at };
    at += lengthOf(part);
    return placed;
  });
  // Tracks keep their distance; only the part's reference (video) has to be without a gap.
  const adjusted = alignReferences(placedMain);
  return zeroed([adjusted, ...others.map((parts) => placeBeside(parts, adjusted))]);
}

/** Seconds to where the next part's video starts, from this part's. */
function lengthOf(part: Part): number {
  const reference = referenceOf(part);
  const end = endOf(reference);
  // How long the last packet of another track lasts is not certain.
  const outlasting = part.tracks.filter((track) => track.lastStart - end > MAX_TAIL_SECONDS);
  return Math.max(end, ...outlasting.map(endOf)) - reference.start;
}

/** `at` so far is where the reference track starts; the part may start earlier. */
function alignReferences(parts: readonly PlacedPart[]): PlacedPart[] {
  return parts.map((part) => ({ ...part, at: part.at - (referenceOf(part).start - part.start) }));
}

function placeBeside(parts: readonly Part[], main: readonly PlacedPart[]): PlacedPart[] {
  let end = 0;
  return parts.map((part) => {
    const beside = main.find(({ discontinuity: [first, last] }) =>
      first <= part.discontinuity[0] && part.discontinuity[0] <= last
    );
    const at = beside === undefined ? end : positionBeside(part, { beside, end });
    end = at + Math.max(...part.tracks.map(endOf)) - part.start;
    return { ...part, at };
  });
}

function positionBeside(part: Part, { beside, end }: { beside: PlacedPart; end: number }): number {
  const wraps = Math.round((beside.start - part.start) / TS_WRAP_SECONDS) * TS_WRAP_SECONDS;
  const distance = part.start + wraps - beside.start;
  const length = Math.max(...beside.tracks.map(endOf)) - beside.start;
  const sameClock = distance > -MAX_CLOCK_DIFFERENCE_SECONDS && distance < length + MAX_CLOCK_DIFFERENCE_SECONDS;
  if (sameClock) return beside.at + distance;
  return part.discontinuity[0] === beside.discontinuity[0] ? beside.at : end;
}

/** Nothing is presented before 0, and something at 0. */
function zeroed(renditions: readonly (readonly PlacedPart[])[]): PlacedPart[][] {
  const first = Math.min(...renditions.map(([part]) => part?.at ?? Infinity));
  return renditions.map((parts) => parts.map((part) => ({ ...part, at: part.at - first })));
}

function referenceOf(part: Part): PartTrack {
  return part.tracks.find((track) => track.kind === "video") ?? part.tracks[0]!;
}

function endOf(track: PartTrack): number {
  return track.lastStart + track.step;
}
