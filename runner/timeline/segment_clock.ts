/** The timestamps of one segment, per track, on the source's own clock. EXTINF only announces durations; these are what is there. */

export interface SegmentClock {
  /** Video first. Tracks without timestamps are left out. */
  readonly tracks: readonly TrackClock[];
  /** Seconds after which the clock starts again at 0 (MPEG-TS: 26.5 hours); null if it does not. */
  readonly wrapSeconds: number | null;
}

/** All times in seconds. */
export interface TrackClock {
  readonly kind: "video" | "audio";
  /** Earliest presentation time. */
  readonly start: number;
  /** Latest presentation time; another sample may not start later. */
  readonly lastStart: number;
  /** Decoding times of the first and the last sample. */
  readonly firstDecode: number;
  readonly lastDecode: number;
  /** Average distance between two timestamps. MPEG-TS: of PES packets, which may contain several audio frames. */
  readonly step: number;
  /** The longest one. */
  readonly longestStep: number;
  /** Distinguishes configurations that one sample entry cannot describe. Example: "aac 1/4/1"; "" if unknown. */
  readonly config: string;
}

/** The same clock, `seconds` later. Pure. */
export function shiftClock(clock: SegmentClock, seconds: number): SegmentClock {
  if (seconds === 0) return clock;
  return {
    ...clock,
    tracks: clock.tracks.map((track) => ({
      ...track,
      start: track.start + seconds,
      lastStart: track.lastStart + seconds,
      firstDecode: track.firstDecode + seconds,
      lastDecode: track.lastDecode + seconds,
    })),
  };
}

/** Collects the timestamps of a track in the order of its samples. */
export class TrackTimes {
  #count = 0;
  #start = Infinity;
  #lastStart = -Infinity;
  #firstDecode = 0;
  #lastDecode = 0;
  #longestStep = 0;
  config = "";

  add(presentation: number, decode: number): void {
    if (this.#count++ === 0) this.#firstDecode = decode;
    else this.#longestStep = Math.max(this.#longestStep, decode - this.#lastDecode);
    this.#lastDecode = decode;
    this.#start = Math.min(this.#start, presentation);
    this.#lastStart = Math.max(this.#lastStart, presentation);
  }

  /** null without timestamps. `step` replaces the average if the samples state their durations. */
  clock(kind: TrackClock["kind"], step?: number): TrackClock | null {
    if (this.#count === 0) return null;
    const average = this.#count === 1 ? 0 : (this.#lastDecode - this.#firstDecode) / (this.#count - 1);
    return {
      kind,
      start: this.#start,
      lastStart: this.#lastStart,
      firstDecode: this.#firstDecode,
      lastDecode: this.#lastDecode,
      step: step ?? average,
      longestStep: Math.max(this.#longestStep, step ?? 0),
      config: this.config,
    };
  }
}
