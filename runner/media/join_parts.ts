/**
 * Joins the parts of a track: each sample gets its time on the archive's timeline. Pure.
 * Example: two parts of 8 s placed at 0 and 8 → one track of 16 s.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { MovieTrack } from "../mp4/movie.ts";
import type { OutputTrack } from "../mp4/moov.ts";
import type { PartTrack } from "../timeline/parts.ts";
import type { PartFile } from "./part_files.ts";

/** Allowed distance of the last sample to its timestamp. For video, less than an audio frame: audio and video stay in sync. */
const MAX_DIFFERENCE_SECONDS = { audio: 0.05, video: 0.02 };

/** Track `index` of every part. `at` of a part is where its earliest presentation is. */
export function joinParts(files: readonly PartFile[], index: number): OutputTrack {
  const tracks = files.map(({ movie }) => movie.tracks[index]!);
  const [first] = tracks as [MovieTrack];
  const timescale = Math.max(...tracks.map((track) => track.timescale));
  const joined = new JoinedSamples(timescale, first.handler === "soun");
  let lastDuration = 0;
  for (const [i, file] of files.entries()) {
    const track = tracks[i]!;
    joined.append(track, { file: i, offset: offsetOf(file) });
    lastDuration = Math.round(durationOfLast(track) * timescale / track.timescale);
  }
  const largest = largestOf(tracks);
  const start = Math.max(0, offsetOf(files[0]!) + first.presentedFrom);
  const { samples, base } = joined.finish(lastDuration);
  return {
    ...first,
    timescale,
    handlerType: first.handler,
    tkhd: largest.tkhd,
    entries: [withHvc1(largest.entries[0]!)],
    files: files.map(({ path }) => path),
    samples,
    start,
    mediaTime: Math.max(0, Math.round(start * timescale) - base),
    isDefault: true,
  };
}

/**
 * Seconds from the part's own timeline to the archive's. The part's timeline starts with its earliest presentation, unless ffmpeg dropped
 * frames in front of the first key frame: audio, which it never drops, shows that.
 * @throws {KeepstreamError} if the muxed part does not last as long as the segments' timestamps say.
 */
export function offsetOf({ part, movie }: PartFile): number {
  const audioIndex = part.tracks.findIndex((track) => track.kind === "audio");
  const audio = movie.tracks.find((track) => track.handler === "soun");
  const video = movie.tracks.find((track) => track.handler === "vide");
  const videoClock = part.tracks.find((track) => track.kind === "video");
  let correction = 0;
  if (audio !== undefined && audioIndex !== -1) {
    correction = part.tracks[audioIndex]!.start - part.start - firstPresentation(audio);
  } else if (video !== undefined && videoClock !== undefined) {
    correction = videoClock.lastStart - part.start - lastPresentation(video);
  }
  if (Math.abs(correction) < 0.001) correction = 0;
  if (video !== undefined && videoClock !== undefined) assertEnd(video, { clock: videoClock, part, correction });
  if (audio !== undefined && audioIndex !== -1) assertEnd(audio, { clock: part.tracks[audioIndex]!, part, correction });
  return part.at + correction;
}

function assertEnd(
  track: MovieTrack,
  { clock, part, correction }: { clock: PartTrack; part: PartFile["part"]; correction: number },
): void {
  const difference = lastPresentation(track) + correction - (clock.lastStart - part.start);
  // The last PES packet of MPEG-TS may have several audio frames.
  const slack = clock.kind === "audio" ? clock.longestStep : 0;
  const allowed = MAX_DIFFERENCE_SECONDS[clock.kind];
  if (difference > -allowed && difference < slack + allowed) return;
  const names = `segments ${part.from + 1} to ${part.to}`;
  throw new KeepstreamError(
    "unsupported",
    `${names}: the ${clock.kind} ends ${difference.toFixed(2)} s off its timestamps after muxing`,
  );
}

function firstPresentation({ samples, timescale, shift, presentedFrom }: MovieTrack): number {
  let first = Infinity;
  for (let i = 0; i < Math.min(samples.count, 64); i++) {
    first = Math.min(first, (samples.decode[i]! + samples.composition[i]!) / timescale + shift);
  }
  return Math.max(first, presentedFrom);
}

function lastPresentation({ samples, timescale, shift }: MovieTrack): number {
  let last = -Infinity;
  for (let i = Math.max(0, samples.count - 64); i < samples.count; i++) {
    last = Math.max(last, (samples.decode[i]! + samples.composition[i]!) / timescale + shift);
  }
  return last;
}

class JoinedSamples {
  readonly #timescale: number;
  readonly #isAudio: boolean;
  readonly #files: number[] = [];
  readonly #offsets: number[] = [];
  readonly #sizes: number[] = [];
  readonly #decode: number[] = [];
  readonly #shown: number[] = [];
  readonly #sync: number[] = [];

  constructor(timescale: number, isAudio: boolean) {
    this.#timescale = timescale;
    this.#isAudio = isAudio;
  }

  append(track: MovieTrack, { file, offset }: { file: number; offset: number }): void {
    const { samples } = track;
    const ticks = (media: number) => Math.round((media / track.timescale + track.shift + offset) * this.#timescale);
    let first = 0;
    if (this.#isAudio && file > 0) {
      // Frames that prime the decoder are only needed at the start of the archive.
      const from = Math.round((track.presentedFrom + offset) * this.#timescale) - 1;
      while (first < samples.count && ticks(samples.decode[first]!) < from) first++;
      if (first < samples.count) this.#cutAt(ticks(samples.decode[first]!));
    }
    for (let i = first; i < samples.count; i++) {
      const earliest = this.#decode.length === 0 ? -Infinity : this.#decode.at(-1)! + 1;
      this.#decode.push(Math.max(earliest, ticks(samples.decode[i]!)));
      this.#shown.push(ticks(samples.decode[i]! + samples.composition[i]!));
      this.#files.push(file);
      this.#offsets.push(samples.offsets[i]!);
      this.#sizes.push(samples.sizes[i]!);
      this.#sync.push(samples.sync[i]!);
    }
  }

  /** Drops audio frames of the part before that last more than half a frame into the next. */
  #cutAt(tick: number): void {
    const arrays = [this.#files, this.#offsets, this.#sizes, this.#decode, this.#shown, this.#sync];
    for (let last = this.#decode.length - 1; last > 0; last--) {
      const duration = this.#decode[last]! - this.#decode[last - 1]!;
      if (this.#decode[last]! + duration / 2 < tick) return;
      for (const array of arrays) array.pop();
    }
  }

  finish(lastDuration: number): { samples: OutputTrack["samples"]; base: number } {
    const base = this.#decode[0] ?? 0;
    const decode = Float64Array.from(this.#decode, (tick) => tick - base);
    const samples = {
      count: decode.length,
      offsets: Float64Array.from(this.#offsets),
      sizes: Uint32Array.from(this.#sizes),
      decode,
      composition: Int32Array.from(this.#shown, (tick, i) => tick - base - decode[i]!),
      sync: Uint8Array.from(this.#sync),
      files: Uint16Array.from(this.#files),
      lastDuration,
    };
    return { samples, base };
  }
}

/** ffmpeg writes 0 if the source states no duration: then as long as the sample before it. */
function durationOfLast({ samples: { count, decode, lastDuration } }: MovieTrack): number {
  return lastDuration > 0 || count < 2 ? lastDuration : decode[count - 1]! - decode[count - 2]!;
}

/** The track with the largest picture: players allocate by its sample entry. */
function largestOf(tracks: readonly MovieTrack[]): MovieTrack {
  const area = ({ entries: [entry] }: MovieTrack) => {
    const view = new DataView(entry!.buffer, entry!.byteOffset, entry!.byteLength);
    return view.byteLength < 36 ? 0 : view.getUint16(32) * view.getUint16(34);
  };
  if (tracks[0]!.handler !== "vide") return tracks[0]!;
  return tracks.reduce((best, track) => area(track) > area(best) ? track : best);
}

/** Apple's players only accept hvc1. */
export function withHvc1(entry: Uint8Array): Uint8Array {
  if (new TextDecoder("latin1").decode(entry.subarray(4, 8)) !== "hev1") return entry;
  const renamed = entry.slice();
  renamed.set(new TextEncoder().encode("hvc1"), 4);
  return renamed;
}
