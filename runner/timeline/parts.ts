/**
 * Splits the segments of a rendition into parts with one clock and one configuration, and finds segments that are missing, cut or in the
 * wrong order. Pure. The proof is the segments' own timestamps: within a part, each segment starts where the one before it ends.
 * Example: 8 segments with a discontinuity after the fourth → two parts, [0, 4) and [4, 8).
 */
import { findAudioHole } from "./audio_holes.ts";
import { type SegmentClock, shiftClock, type TrackClock } from "./segment_clock.ts";

/** Encoders round, and audio frames do not end where video frames do. */
const MAX_GAP_SECONDS = 0.5;
/** Joins nearer than this at a discontinuity are none: the clock goes on. */
const SEAMLESS_SECONDS = 0.04;
/** Each part is a run of ffmpeg and a file. */
const MAX_PARTS = 2_000;

export interface TimedSegment {
  /** null: raw audio without a timestamp, which continues where the segment before it ends. */
  readonly clock: SegmentClock | null;
  readonly discontinuity: number;
  /** Equal for equal init sections; null for MPEG-TS and raw audio. */
  readonly init: string | null;
  readonly config: string;
  /** As announced; for raw audio, of its frames. */
  readonly seconds: number;
}

export interface Part {
  /** Segments [from, to). */
  readonly from: number;
  readonly to: number;
  /** The first and the last discontinuity number. */
  readonly discontinuity: readonly [first: number, last: number];
  /** Earliest presentation of any track, in seconds on the source's clock. */
  readonly start: number;
  readonly tracks: readonly PartTrack[];
  /** A configuration changes inside a segment, where the part cannot be split. */
  readonly mixed: boolean;
  /** Segments before which a still picture is shown, or the end of a segment is missing: decoding tells. */
  readonly doubtful: readonly number[];
}

/** Seconds on the source's clock, continued over a wrap. */
export interface PartTrack {
  readonly kind: TrackClock["kind"];
  readonly start: number;
  readonly lastStart: number;
  readonly step: number;
  readonly longestStep: number;
}

/** A segment that is lost, cut or misplaced. */
export interface TimelineProblem {
  readonly segment: number;
  readonly reason: string;
}

export function splitIntoParts(segments: readonly TimedSegment[]): Part[] | TimelineProblem {
  const hole = findAudioHole(segments);
  if (hole !== null) return hole;
  const parts: Part[] = [];
  let open: Open | null = null;
  for (const [i, segment] of segments.entries()) {
    const clock: SegmentClock = segment.clock ?? continued(open, segment);
    if (open !== null) {
      const tagged = segment.discontinuity !== open.discontinuity;
      const next = nearest(clock, open.clock);
      const join = compare(open.clock, next);
      const changed = segment.init !== open.init || !sameConfig(open.config, segment.config);
      if (join !== null && !changed && (!tagged || join.seamless)) {
        const still = isStillPicture(join, { next, before: open.clock, announced: segments[i - 1]!.seconds });
        const problem = tagged || still ? null : misplaced(join, i);
        if (problem !== null) return problem;
        open = extend(open, { ...segment, clock: next }, still ? i : null);
        continue;
      }
      // Another init section or configuration without a discontinuity goes on with the same clock.
      if (join !== null && !tagged && join.gap > MAX_GAP_SECONDS) return misplaced(join, i)!;
      parts.push(close(open, i));
      if (parts.length === MAX_PARTS) {
        return { segment: i, reason: `starts part ${MAX_PARTS + 1}, ${MAX_PARTS} are allowed` };
      }
    }
    open = begin(i, { ...segment, clock });
  }
  if (open !== null) parts.push(close(open, segments.length));
  return parts;
}

interface Open {
  readonly from: number;
  readonly init: string | null;
  readonly config: string;
  readonly mixed: boolean;
  readonly firstDiscontinuity: number;
  readonly discontinuity: number;
  /** Of the last segment. */
  readonly clock: SegmentClock;
  readonly tracks: readonly PartTrack[];
  readonly doubtful: readonly number[];
}

type ClockedSegment = TimedSegment & { readonly clock: SegmentClock };

function begin(from: number, segment: ClockedSegment): Open {
  const { init, config, discontinuity, clock } = segment;
  const mixed = config.includes(",");
  const position = { from, init, config, mixed, firstDiscontinuity: discontinuity, discontinuity };
  return { ...position, clock, tracks: clock.tracks, doubtful: [] };
}

function extend(open: Open, { clock, config, discontinuity }: ClockedSegment, doubtful: number | null): Open {
  const tracks = clock.tracks.map((track, i): PartTrack => {
    const before = open.tracks[i] ?? track;
    return {
      kind: track.kind,
      start: Math.min(before.start, track.start),
      lastStart: Math.max(before.lastStart, track.lastStart),
      step: track.step || before.step,
      longestStep: Math.max(before.longestStep, track.longestStep),
    };
  });
  // A track that ended earlier keeps its times.
  const merged = tracks.length >= open.tracks.length ? tracks : open.tracks.map((track, i) => tracks[i] ?? track);
  return {
    ...open,
    config: open.config || config,
    mixed: open.mixed || config.includes(","),
    ...{ discontinuity, clock, tracks: merged },
    doubtful: doubtful === null ? open.doubtful : [...open.doubtful, doubtful],
  };
}

function close(open: Open, to: number): Part {
  return {
    from: open.from,
    to,
    discontinuity: [open.firstDiscontinuity, open.discontinuity],
    start: Math.min(...open.tracks.map((track) => track.start), Infinity),
    tracks: open.tracks,
    mixed: open.mixed,
    doubtful: open.doubtful,
  };
}

/** Raw audio without a timestamp starts at 0, or where the segment before it ends. */
function continued(open: Open | null, { seconds, config }: TimedSegment): SegmentClock {
  const last = open?.clock.tracks[0];
  const start = last === undefined ? 0 : last.lastStart + last.step;
  const lastStart = Math.max(start, start + seconds - (last?.step ?? 0));
  const track = {
    kind: "audio" as const,
    ...{ start, lastStart, firstDecode: start, lastDecode: lastStart, step: last?.step ?? 0, longestStep: 0, config },
  };
  return { tracks: [track], wrapSeconds: null };
}

/** The same clock, moved by whole wraps to where it continues `before`. */
function nearest(clock: SegmentClock, before: SegmentClock): SegmentClock {
  const [first, last] = [clock.tracks[0], before.tracks[0]];
  if (clock.wrapSeconds === null || first === undefined || last === undefined) return clock;
  return shiftClock(clock, Math.round((last.lastDecode - first.firstDecode) / clock.wrapSeconds) * clock.wrapSeconds);
}

interface Join {
  /** Seconds from the end of one segment to the start of the next, of the track that continues best. */
  readonly gap: number;
  /** Seconds by which every track starts before its predecessor ends. */
  readonly overlap: number;
  /** The clock of every track goes on. */
  readonly seamless: boolean;
}

/** null if the segments have different tracks, except that audio may end early. */
function compare(before: SegmentClock, next: SegmentClock): Join | null {
  const kinds = (clock: SegmentClock) => clock.tracks.map((track) => track.kind).join();
  const ended = before.tracks.length > next.tracks.length && kinds(before).startsWith(kinds(next));
  if (next.tracks.length === 0 || (kinds(before) !== kinds(next) && !ended)) return null;
  let [gap, overlap, seamless] = [Infinity, Infinity, true];
  for (const [i, track] of next.tracks.entries()) {
    const last = before.tracks[i]!;
    const distance = track.firstDecode - last.lastDecode - Math.max(last.step, track.step);
    gap = Math.min(gap, Math.max(distance, 0));
    overlap = Math.min(overlap, -distance);
    const tolerance = SEAMLESS_SECONDS + (track.kind === "audio" ? last.longestStep : 0);
    seamless &&= Math.abs(distance) < tolerance;
  }
  return { gap, overlap, seamless };
}

/**
 * A gap in video alone, with the next segment where it is announced: the last picture may be shown that long. With audio, or in fragmented
 * MP4, whose samples have durations, nothing is in doubt.
 */
function isStillPicture(
  { gap }: Join,
  { next, before, announced }: { next: SegmentClock; before: SegmentClock; announced: number },
): boolean {
  const [track, last] = [next.tracks[0]!, before.tracks[0]!];
  if (gap <= MAX_GAP_SECONDS || next.tracks.length > 1 || track.kind !== "video" || next.wrapSeconds === null) {
    return false;
  }
  return Math.abs(last.start + announced - track.start) <= MAX_GAP_SECONDS / 2;
}

function misplaced({ gap, overlap }: Join, segment: number): TimelineProblem | null {
  if (overlap > MAX_GAP_SECONDS) {
    const reason = `starts ${overlap.toFixed(1)} s before segment ${segment} ends, without a discontinuity`;
    return { segment, reason: `${reason}: it is repeated, in the wrong order or from another video` };
  }
  if (gap <= MAX_GAP_SECONDS) return null;
  return {
    segment,
    reason: `starts ${gap.toFixed(1)} s after segment ${segment} ends, without a discontinuity: media is missing`,
  };
}

/** Unknown configurations fit every other one. */
function sameConfig(a: string, b: string): boolean {
  return a === b || a === "" || b === "";
}
