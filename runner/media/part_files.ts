/**
 * Muxes each part of a rendition into an MP4 of its own, copying the samples. Parts whose configurations one sample entry cannot describe are
 * muxed again: video with its parameter sets in the samples, the shorter audio re-encoded like the longer one.
 * Needs ffmpeg on PATH. It reads stdin only: never a name from outside.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { DownloadedRendition } from "../download/hls.ts";
import { MAX_MOOV_BYTES, readAt, readTopLevelBoxes } from "../mp4/boxes.ts";
import { type Movie, type MovieTrack, parseMovie } from "../mp4/movie.ts";
import { runChildOrThrow } from "../process/child.ts";
import type { PlacedPart } from "../timeline/placement.ts";
import type { Conversion } from "../../core/media_report.ts";
import type { RenditionParts } from "./rendition_parts.ts";
import { audioEncoder, sampleConfig, videoFilter } from "./sample_config.ts";

const READ_BYTES = 1 << 18;

export interface PartFile {
  readonly path: string;
  readonly part: PlacedPart;
  readonly movie: Movie;
}

export interface PartFilesOptions {
  readonly dir: string;
  readonly name: string;
  readonly signal: AbortSignal;
}

/** One file per part, with tracks that can be joined. */
export async function muxParts(
  rendition: DownloadedRendition,
  { parts, raw }: { parts: readonly PlacedPart[]; raw: RenditionParts["raw"] },
  options: PartFilesOptions,
): Promise<{ files: PartFile[]; converted: Conversion[] }> {
  const mux = (part: PlacedPart, i: number, change: Change) =>
    muxPart(rendition, { part, raw }, {
      ...change,
      path: `${options.dir}/${options.name}-${i}.mp4`,
      signal: options.signal,
    });
  let files: PartFile[] = [];
  for (const [i, part] of parts.entries()) files.push(await mux(part, i, {}));
  assertSameTracks(files);
  const changes = planChanges(files);
  files = await inOrder(files, async (file, i) => {
    const change = changes.byPart[i]!;
    return Object.keys(change).length === 0 ? file : await mux(file.part, i, change);
  });
  return { files, converted: changes.converted };
}

interface Change {
  readonly videoFilter?: string;
  /** ffmpeg's arguments for the audio. */
  readonly audio?: readonly string[];
}

async function muxPart(
  rendition: DownloadedRendition,
  { part, raw }: { part: PlacedPart; raw: RenditionParts["raw"] },
  options: Change & { path: string; signal: AbortSignal },
): Promise<PartFile> {
  const { path, signal } = options;
  const format = raw?.[part.from]?.format ?? (rendition.container === "ts" ? "mpegts" : "mov");
  await runChildOrThrow("ffmpeg", [
    ...["-v", "error", "-nostats", "-y", "-f", format, "-protocol_whitelist", "pipe", "-i", "pipe:0"],
    ...["-map", "0:V:0?", "-map", "0:a?", "-c", "copy", ...(options.audio ?? [])],
    ...(options.videoFilter === undefined ? [] : ["-bsf:v", options.videoFilter]),
    // ffmpeg 5 calls FLAC in MP4 experimental.
    ...["-strict", "experimental", "-f", "mp4", "-protocol_whitelist", "file", `file:${path}`],
  ], {
    signal,
    feed: async (write) => {
      const map = rendition.maps[part.from] ?? null;
      if (map !== null && !await copyFile(map, 0, write)) return;
      for (let i = part.from; i < part.to; i++) {
        if (!await copyFile(rendition.files[i]!, raw?.[i]?.start ?? 0, write)) return;
      }
    },
  });
  const movie = await readMovie(path);
  if (movie === null) {
    throw new KeepstreamError("unsupported", `segments ${part.from + 1} to ${part.to} cannot be muxed into an MP4`);
  }
  return { path, part, movie };
}

/** false if the reader has stopped. */
export async function copyFile(
  path: string,
  start: number,
  write: (bytes: Uint8Array) => Promise<boolean>,
): Promise<boolean> {
  const buffer = new Uint8Array(READ_BYTES);
  using file = await Deno.open(path);
  await file.seek(start, Deno.SeekMode.Start);
  for (let read = await file.read(buffer); read !== null; read = await file.read(buffer)) {
    if (!await write(buffer.subarray(0, read))) return false;
  }
  return true;
}

/** null if the file has no index that can be read. */
export async function readMovie(path: string): Promise<Movie | null> {
  using file = await Deno.open(path);
  const boxes = await readTopLevelBoxes(file, (await file.stat()).size);
  const moov = boxes?.find((box) => box.type === "moov");
  if (moov === undefined || moov.size > MAX_MOOV_BYTES) return null;
  const bytes = await readAt(file, moov.offset, moov.size);
  return bytes === null ? null : parseMovie(bytes);
}

function assertSameTracks(files: readonly PartFile[]): void {
  const kinds = ({ movie }: PartFile) =>
    movie.tracks.map((track) => track.handler === "vide" ? "video" : "audio").join(" + ");
  const first = files[0]!;
  for (const file of files) {
    if (kinds(file) === kinds(first)) continue;
    const { from, to } = file.part;
    const there = kinds(file) || "no track";
    throw new KeepstreamError(
      "unsupported",
      `segments ${from + 1} to ${to} have ${there}, those before ${kinds(first)}`,
    );
  }
}

function planChanges(files: readonly PartFile[]): { byPart: Change[]; converted: Conversion[] } {
  const converted: Conversion[] = [];
  const byPart: Change[] = files.map(() => ({}));
  const tracks = files[0]!.movie.tracks;
  for (const [t, { handler }] of tracks.entries()) {
    const own = files.map(({ movie }) => movie.tracks[t]!);
    const configs = own.map((track) => sampleConfig(track.entries[0]!));
    if (handler === "vide") {
      if (new Set(configs.map(({ key }) => key)).size === 1) continue;
      const filter = commonFilter(configs.map(({ codec }) => codec));
      if (filter === null) continue; // VP9 and AV1 have their configuration in every key frame
      byPart.forEach((change, i) => byPart[i] = { ...change, videoFilter: filter });
      converted.push({
        track: "video",
        code: "parameter_sets_inband",
        detail: "the video's parameter sets change and are kept in its key frames",
      });
    } else {
      planAudio(files, own, { byPart, converted });
    }
  }
  return { byPart, converted };
}

/** @throws {KeepstreamError} if the codec changes: no track can hold two. */
function commonFilter(codecs: readonly string[]): string | null {
  const other = codecs.find((codec) => codec !== codecs[0]);
  if (other === undefined) return videoFilter(codecs[0]!);
  throw new KeepstreamError("unsupported", `the video codec changes from ${codecs[0]} to ${other}`);
}

function planAudio(
  files: readonly PartFile[],
  tracks: readonly MovieTrack[],
  { byPart, converted }: { byPart: Change[]; converted: Conversion[] },
): void {
  const configs = tracks.map((track) => sampleConfig(track.entries[0]!));
  if (new Set(configs.map(({ key }) => key)).size === 1 && !files.some(({ part }) => part.mixed)) return;
  const seconds = new Map<string, number>();
  for (const [i, { key }] of configs.entries()) {
    if (!files[i]!.part.mixed) seconds.set(key, (seconds.get(key) ?? 0) + durationOf(tracks[i]!));
  }
  const [longest] = [...seconds].sort((a, b) => b[1] - a[1]);
  const kept = configs.find(({ key }) => key === longest?.[0]);
  const target = kept ?? configs[0]!;
  const encoder = audioEncoder(target);
  let converting = 0;
  for (const [i, { key }] of configs.entries()) {
    if (encoder.exact && key === target.key && !files[i]!.part.mixed) continue;
    byPart[i] = { ...byPart[i], audio: encoder.args };
    converting += durationOf(tracks[i]!);
  }
  converted.push({
    track: "audio",
    code: "audio_reencoded",
    detail: `${converting.toFixed(1)} s of audio re-encoded to ${encoder.label}, like the rest`,
  });
}

function durationOf({ samples, timescale }: MovieTrack): number {
  return samples.count === 0 ? 0 : (samples.decode[samples.count - 1]! + samples.lastDuration) / timescale;
}

async function inOrder<T, R>(items: readonly T[], make: (item: T, i: number) => Promise<R>): Promise<R[]> {
  const made: R[] = [];
  for (const [i, item] of items.entries()) made.push(await make(item, i));
  return made;
}
