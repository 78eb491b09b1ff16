/**
 * Muxes downloaded renditions into one MP4 without re-encoding. ffmpeg reads stdin, or files that this process wrote: never a name from
 * outside. Needs ffmpeg on PATH.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { DownloadedRendition, PlacedSegment } from "../download/hls.ts";
import type { OutputTrack } from "../mp4/moov.ts";
import { writeJoined, type WriteOptions, type Written } from "../presentation/write_presentation.ts";
import { runChildOrThrow } from "../process/child.ts";
import { readFmp4Clock } from "../timeline/fmp4_clock.ts";
import { splitIntoParts, type TimedSegment } from "../timeline/parts.ts";
import { type PlacedPart, placeParts } from "../timeline/placement.ts";
import { TsClock } from "../timeline/ts_clock.ts";
import { joinParts, offsetOf } from "./join_parts.ts";
import type { Conversion, Omission } from "../../core/media_report.ts";
import { copyFile, muxParts, type PartFile, readMovie } from "./part_files.ts";
import { configOf, Inits, readParts } from "./rendition_parts.ts";
import { muxSubtitles } from "./subtitle_tracks.ts";
import { describeTrack } from "./track_names.ts";
import type { TrackChoice } from "./track_choice.ts";
import { probeMedia } from "./verify.ts";

const QUIET = ["-nostdin", "-v", "error", "-nostats", "-y"];

export interface MuxOptions {
  readonly dir: string;
  readonly output: string;
  readonly signal: AbortSignal;
}

/** The expected tracks of the output; ffmpeg's exit code is not trusted. */
export interface MuxedTracks {
  readonly videoTracks: number;
  readonly audioTracks: number;
  readonly subtitleTracks: number;
  /** Seconds at which another part or a retried segment starts: verified by decoding around them. */
  readonly joins: readonly number[];
  readonly converted: readonly Conversion[];
  readonly leftOut: readonly Omission[];
}

/**
 * Muxes a rendition during its download. null: it has to be on disk first (`muxRenditions`), because of its format or because its clock or
 * configuration changes. fast_start.ts moves moov, which is written last.
 * @throws {KeepstreamError} unsupported, naming a segment that is missing, cut or misplaced.
 */
export async function muxAlongside(
  segments: AsyncIterable<PlacedSegment>,
  timing: readonly { readonly discontinuity: number; readonly durationSeconds: number }[],
  options: MuxOptions,
): Promise<MuxedTracks | null> {
  const iterator = segments[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done || (first.value.container !== "ts" && first.value.container !== "fmp4")) return null;
  const { container, map } = first.value;
  const tracks = await probeFirst(first.value, options.signal);
  const hevc = tracks.some((track) => track.type === "video" && track.codec === "hevc");
  const timed: TimedSegment[] = [];
  const retried: number[] = [];
  const inits = new Inits();
  await runChildOrThrow("ffmpeg", [
    ...["-v", "error", "-nostats", "-y", "-f", container === "ts" ? "mpegts" : "mov"],
    ...["-protocol_whitelist", "pipe", "-i", "pipe:0", "-map", "0:V:0?", "-map", "0:a?", "-c", "copy"],
    ...(hevc ? ["-tag:v", "hvc1"] : []), // Apple's players only accept hvc1
    // ffmpeg 5 calls FLAC in MP4 experimental.
    ...["-strict", "experimental", "-f", "mp4", "-protocol_whitelist", "file", `file:${options.output}`],
  ], {
    signal: options.signal,
    feed: async (write) => {
      if (map !== null && !await copyFile(map, 0, write)) return;
      for (let next: IteratorResult<PlacedSegment> = first; !next.done; next = await iterator.next()) {
        if (next.value.container !== container) throw new KeepstreamError("unsupported", "segments of two formats");
        const { discontinuity, durationSeconds: seconds } = timing[timed.length]!;
        const clock = new TsClock();
        if (next.value.retried) retried.push(timed.length);
        const copied = await copyFile(next.value.path, 0, (bytes) => {
          if (container === "ts") clock.push(bytes);
          return write(bytes);
        });
        if (!copied) return;
        const init = next.value.map === null ? null : await inits.read(next.value.map);
        const read = init === null ? clock.read() : await readFmp4Clock(next.value.path, init.tracks);
        const config = init === null ? configOf(read.tracks) : "";
        timed.push({ clock: read, discontinuity, seconds, config, init: init?.id ?? null });
      }
    },
  });
  const parts = splitIntoParts(timed);
  if (!Array.isArray(parts)) {
    throw new KeepstreamError("unsupported", `segment ${parts.segment + 1} of video ${parts.reason}`);
  }
  const [part] = parts;
  if (parts.length !== 1 || part === undefined || part.mixed) return null;
  const movie = await readMovie(options.output);
  if (movie !== null) offsetOf({ path: options.output, part: { ...part, at: 0 }, movie });
  // Players would skip a last sample without a duration: ffmpeg ends the edit list before it.
  if (movie?.tracks.some(({ samples }) => samples.lastDuration === 0)) return null;
  const count = (type: string) => tracks.filter((track) => track.type === type).length;
  return {
    videoTracks: Math.min(1, count("video")),
    audioTracks: count("audio"),
    subtitleTracks: 0,
    joins: [...part.doubtful, ...retried].flatMap((segment) => {
      const start = timed[segment]!.clock?.tracks[0]?.start;
      return start === undefined ? [] : [start - part.start];
    }),
    converted: [],
    leftOut: [],
  };
}

/** Muxes renditions on disk into the archive's file. */
export async function muxRenditions(
  renditions: readonly DownloadedRendition[],
  options: MuxOptions & WriteOptions,
): Promise<MuxedTracks & { written: Written }> {
  const media = renditions.filter((rendition) => rendition.role !== "subtitles");
  if (media.length === 0) throw new KeepstreamError("unsupported", "nothing to mux");
  const read = await Promise.all(media.map(readParts));
  const placed = placeParts(read.map(({ parts }) => parts));
  const tracks: OutputTrack[] = [];
  const converted: Conversion[] = [];
  for (const [i, rendition] of media.entries()) {
    const parts = { parts: placed[i]!, raw: read[i]!.raw };
    const muxed = await muxParts(rendition, parts, { dir: options.dir, name: `part${i}`, signal: options.signal });
    converted.push(...muxed.converted);
    const own = joinAll(muxed.files, i === 0);
    tracks.push(...i === 0 ? own : own.map((track) => describeTrack(track, rendition)));
  }
  const subtitles = await muxSubtitles(renditions, { video: placed[0]!, dir: options.dir });
  const all = withDefaults([...tracks, ...subtitles.tracks]);
  const written = await writeJoined(all, options);
  for (const path of new Set(all.flatMap((track) => track.files))) await Deno.remove(path);
  const count = (handler: string) => tracks.filter((track) => track.handlerType === handler).length;
  return {
    written,
    videoTracks: count("vide"),
    audioTracks: count("soun"),
    subtitleTracks: subtitles.tracks.length,
    joins: [...joinsOf(placed), ...media.flatMap((rendition, i) => retriedAt(rendition, placed[i]!, read[i]!.starts))],
    converted,
    leftOut: subtitles.leftOut,
  };
}

/** Only the first rendition's video is used: an audio rendition may come with a copy of it. */
function joinAll(files: readonly PartFile[], isMain: boolean): OutputTrack[] {
  const indexes = files[0]!.movie.tracks.flatMap(({ handler }, index) => isMain || handler !== "vide" ? [index] : []);
  return indexes.map((index) => joinParts(files, index));
}

/** Where parts of any rendition start. */
function joinsOf(renditions: readonly (readonly PlacedPart[])[]): number[] {
  return [...new Set(renditions.flatMap((parts) => parts.slice(1).map(({ at }) => at)))];
}

/** Where segments start whose first transfer failed. */
function retriedAt(
  { retried }: DownloadedRendition,
  parts: readonly PlacedPart[],
  starts: readonly (number | null)[],
): number[] {
  return [...retried].flatMap((segment) => {
    const part = parts.find(({ from, to }) => from <= segment && segment < to);
    const start = starts[segment] ?? null;
    return part === undefined || start === null ? [] : [part.at + start - part.start];
  });
}

/** One default track per kind. */
function withDefaults(tracks: readonly OutputTrack[]): OutputTrack[] {
  return tracks.map((track, i) => {
    const own = tracks.filter(({ handlerType }) => handlerType === track.handlerType);
    const chosen = own.find(({ isDefault }) => isDefault) ?? own[0];
    const subtitles = track.handlerType !== "vide" && track.handlerType !== "soun";
    return { ...track, isDefault: subtitles ? track.isDefault : tracks[i] === chosen };
  });
}

/** A WebVTT file that this process wrote. */
export interface AddedSubtitles {
  readonly path: string;
  /** ISO 639-2/T. */
  readonly language: string | null;
  readonly name: string;
}

/** Remuxes a file of another container (Matroska, MPEG-TS, fragmented MP4), or any file to add subtitles to it. */
export async function remuxFile(
  input: string,
  options: MuxOptions & Omit<TrackChoice, "leftOut"> & {
    format: "mov" | "matroska" | "mpegts";
    subtitles?: readonly AddedSubtitles[];
  },
): Promise<void> {
  const added = options.subtitles ?? [];
  await runChildOrThrow("ffmpeg", [
    ...QUIET,
    ...["-f", options.format, "-protocol_whitelist", "file", "-i", `file:${input}`],
    ...added.flatMap(({ path }) => ["-f", "webvtt", "-protocol_whitelist", "file", "-i", `file:${path}`]),
    ...["-map", "0:V:0?"], // not a cover picture
    ...[...options.audio, ...options.textSubtitles].flatMap((index) => ["-map", `0:${index}`]),
    ...added.flatMap((_, i) => ["-map", `${i + 1}:0`]),
    ...["-c:v", "copy", "-c:a", "copy", "-c:s", options.format === "mov" ? "copy" : "mov_text"],
    ...(options.hevc ? ["-tag:v", "hvc1"] : []),
    ...added.flatMap(({ language, name }, i) => {
      const track = `s:${options.textSubtitles.length + i}`;
      return [
        ...[`-c:${track}`, "mov_text", `-disposition:${track}`, "0", `-metadata:s:${track}`, `handler_name=${name}`],
        ...(language === null ? [] : [`-metadata:s:${track}`, `language=${language}`]),
      ];
    }),
    ...["-strict", "experimental", "-f", "mp4", "-protocol_whitelist", "file", `file:${options.output}`],
  ], { signal: options.signal });
}

async function probeFirst({ path, container, map }: PlacedSegment, signal: AbortSignal) {
  const ts = container === "ts";
  if (!ts && map === null) throw new KeepstreamError("unsupported", "fragmented MP4 without an init section");
  return (await probeMedia(ts ? path : map!, { format: ts ? "mpegts" : "mov", signal })).tracks;
}
