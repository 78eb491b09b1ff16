/**
 * Decodes samples of a finished MP4: the first and the last group of pictures, one per minute, and two seconds around every join of parts.
 * Packet counts and durations prove nothing: only a decoder notices samples that do not fit their sample entry. Needs ffmpeg on PATH.
 */
import type { MovieTrack } from "../mp4/movie.ts";
import type { OutputTrack } from "../mp4/moov.ts";
import { streamMovie } from "../mp4/write_movie.ts";
import { type ChildOptions, lastLines, runChild } from "../process/child.ts";

const EVERY_SECONDS = 60;
const AROUND_JOIN_SECONDS = 2;
/** Of audio alone, which has no groups of pictures. */
const AUDIO_WINDOW_SECONDS = 4;
const BATCH_BYTES = 1 << 20;

export interface DecodeCheck {
  /** Seconds at which parts were joined. */
  readonly joins: readonly number[];
  readonly signal: AbortSignal;
}

/** What the decoder reports, or null. */
export async function findDecodeProblem(
  path: string,
  tracks: readonly MovieTrack[],
  check: DecodeCheck,
): Promise<string | null> {
  const media = tracks.filter(({ handler, samples }) =>
    (handler === "vide" || handler === "soun") && samples.count > 0
  );
  if (media.length === 0) return null;
  const windows = windowsOf(media, check.joins);
  const excerpt = media.map((track) => excerptOf(track, { windows, path }));
  if (await decode("pipe:0", check.signal, (write) => inBatches((add) => streamMovie(excerpt, add), write)) === null) {
    return null;
  }
  // A frame may refer to pictures before the excerpt: only errors in the whole file count.
  const problem = await decode(`file:${path}`, check.signal);
  return problem === null ? null : `it cannot be decoded: ${problem}`;
}

async function decode(input: string, signal: AbortSignal, feed?: ChildOptions["feed"]): Promise<string | null> {
  const { code, stderr } = await runChild("ffmpeg", [
    ...[
      ...(feed === undefined ? ["-nostdin"] : []),
      "-v",
      "error",
      "-nostats",
      "-threads",
      "1",
      "-skip_loop_filter",
      "all",
    ],
    ...["-f", "mov", "-protocol_whitelist", "file,pipe", "-i", input],
    // With the input's time base, because frames at irregular times would share a timestamp, which is an error of its own.
    ...["-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"],
  ], { signal, ...(feed === undefined ? {} : { feed }) });
  const lines = lastLines(stderr);
  return code === 0 && lines === "" ? null : lines || `ffmpeg ended with ${code}`;
}

/** Joins small pieces: an excerpt consists of thousands, and each write to a child costs more than a copy of its bytes. */
async function inBatches(
  produce: (add: (bytes: Uint8Array) => Promise<boolean>) => Promise<void>,
  write: (bytes: Uint8Array) => Promise<boolean>,
): Promise<void> {
  const batch = new Uint8Array(BATCH_BYTES);
  let used = 0;
  const flush = async () => {
    const full = batch.subarray(0, used);
    used = 0;
    return await write(full);
  };
  let open = true;
  await produce(async (bytes) => {
    for (let at = 0; open && at < bytes.length;) {
      const taken = bytes.subarray(at, at + batch.length - used);
      batch.set(taken, used);
      [at, used] = [at + taken.length, used + taken.length];
      if (used === batch.length) open = await flush();
    }
    return open;
  });
  if (open) await flush();
}

type Window = readonly [from: number, to: number];

/** Seconds of the presentation, in order and without overlap. */
function windowsOf(tracks: readonly MovieTrack[], joins: readonly number[]): Window[] {
  const lead = tracks.find(({ handler }) => handler === "vide") ?? tracks[0]!;
  const groups = groupsOf(lead);
  const end = groups.at(-1)![1];
  const windows: Window[] = [groups[0]!, groups.at(-1)!];
  for (let at = EVERY_SECONDS; at < end; at += EVERY_SECONDS) {
    const group = groups.findLast(([from]) => from <= at);
    if (group !== undefined) windows.push(group);
  }
  for (const join of joins) {
    const from = groups.findLast(([from]) => from <= join - AROUND_JOIN_SECONDS)?.[0] ?? 0;
    windows.push([from, join + AROUND_JOIN_SECONDS]);
  }
  windows.sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [from, to] of windows) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

/** From each sync sample to the next; audio in windows of a few seconds. */
function groupsOf(track: MovieTrack): Window[] {
  const { samples, handler } = track;
  const groups: [number, number][] = [];
  for (let i = 0; i < samples.count; i++) {
    const at = secondsAt(track, i);
    const last = groups.at(-1);
    const starts = handler === "vide" ? samples.sync[i] === 1 : at >= (last?.[0] ?? -Infinity) + AUDIO_WINDOW_SECONDS;
    if (last === undefined || starts) {
      if (last !== undefined) last[1] = at;
      groups.push([at, at]);
    }
  }
  const end = secondsAt(track, samples.count - 1) + samples.lastDuration / track.timescale;
  groups.at(-1)![1] = Math.max(end, groups.at(-1)![0]);
  return groups;
}

/** Decoding time on the movie's timeline: in groups of pictures, the order of samples. */
function secondsAt({ samples, timescale, shift }: MovieTrack, i: number): number {
  return samples.decode[i]! / timescale + shift;
}

/** The samples of the windows, one after the other. */
function excerptOf(track: MovieTrack, { windows, path }: { windows: readonly Window[]; path: string }): OutputTrack {
  const { samples, timescale } = track;
  const chosen: number[] = [];
  const decode: number[] = [];
  let time = 0;
  let window = 0;
  let inside = false;
  let syncShown = -Infinity;
  for (let i = 0; i < samples.count; i++) {
    const at = secondsAt(track, i);
    while (window < windows.length && at >= windows[window]![1]) [window, inside] = [window + 1, false];
    if (window === windows.length) break;
    if (at < windows[window]![0]) continue;
    const shown = samples.decode[i]! + samples.composition[i]!;
    if (!inside) {
      if (samples.sync[i] !== 1) continue;
      [inside, syncShown] = [true, shown];
    }
    if (shown < syncShown) continue; // refers to the group before
    chosen.push(i);
    decode.push(time);
    const next = i + 1 < samples.count ? samples.decode[i + 1]! - samples.decode[i]! : samples.lastDuration;
    time += Math.max(1, Math.min(next, timescale));
  }
  const pick = <T>(from: ArrayLike<T>) => chosen.map((i) => from[i]!);
  return {
    ...track,
    handlerType: track.handler,
    files: [path],
    samples: {
      count: chosen.length,
      offsets: Float64Array.from(pick(samples.offsets)),
      sizes: Uint32Array.from(pick(samples.sizes)),
      decode: Float64Array.from(decode),
      composition: Int32Array.from(pick(samples.composition)),
      sync: Uint8Array.from(pick(samples.sync)),
      files: new Uint16Array(chosen.length),
      lastDuration: samples.lastDuration,
    },
    start: 0,
    mediaTime: 0,
    isDefault: true,
  };
}
