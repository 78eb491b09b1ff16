/**
 * The parts of a downloaded rendition: reads the timestamps of its segments and splits them where the clock or the configuration changes.
 * Example: `const { parts } = await readParts(rendition)`.
 */
import { createHash } from "node:crypto";
import { KeepstreamError } from "../../core/errors.ts";
import type { DownloadedRendition } from "../download/hls.ts";
import { type RawAudio, readAudioClock } from "../timeline/audio_clock.ts";
import { type InitTracks, readFmp4Clock, readInitTracks } from "../timeline/fmp4_clock.ts";
import { shiftClock } from "../timeline/segment_clock.ts";
import { type Part, splitIntoParts, type TimedSegment } from "../timeline/parts.ts";
import { TsClock } from "../timeline/ts_clock.ts";

const READ_BYTES = 1 << 18;

export interface RenditionParts {
  readonly parts: readonly Part[];
  /** Only of raw audio: its format, and where the frames start in each file. */
  readonly raw: readonly RawAudio[] | null;
  /** Where each segment starts on the source's clock, in seconds; null if it has no timestamp. */
  readonly starts: readonly (number | null)[];
}

/** @throws {KeepstreamError} unsupported, naming the segment that is missing, cut or misplaced. */
export async function readParts(rendition: DownloadedRendition): Promise<RenditionParts> {
  const { container, files, maps, segments, role } = rendition;
  const inits = new Inits();
  const timed: TimedSegment[] = [];
  const raw: RawAudio[] = [];
  for (const [i, path] of files.entries()) {
    const { discontinuity, durationSeconds } = segments[i]!;
    const common = { discontinuity, init: null, config: "", seconds: durationSeconds };
    if (container === "audio") {
      const audio = readAudioClock(await Deno.readFile(path));
      if (audio === null) throw unsupported(role, i, "has no audio frame that can be read");
      raw.push(audio);
      timed.push({ ...common, clock: audio.clock, config: `${audio.format} ${audio.config}`, seconds: audio.seconds });
    } else if (container === "ts") {
      const clock = await readTsClock(path);
      timed.push({ ...common, clock, config: configOf(clock.tracks) });
    } else {
      const map = maps[i] ?? null;
      if (map === null) throw unsupported(role, i, "is fragmented MP4 without an init section");
      const init = await inits.read(map);
      const clock = shiftClock(await readFmp4Clock(path, init.tracks), segments[i]!.timestampShift ?? 0);
      timed.push({ ...common, init: init.id, clock });
    }
  }
  const parts = splitIntoParts(timed);
  if (!Array.isArray(parts)) throw unsupported(role, parts.segment, parts.reason);
  const starts = timed.map(({ clock }) => clock?.tracks[0]?.start ?? null);
  return { parts, raw: container === "audio" ? raw : null, starts };
}

function unsupported(role: string, segment: number, reason: string): KeepstreamError {
  return new KeepstreamError("unsupported", `segment ${segment + 1} of ${role} ${reason}`);
}

/** Init sections by file. */
export class Inits {
  readonly #read = new Map<string, Promise<{ id: string; tracks: InitTracks }>>();

  /** `id` is equal for equal bytes. */
  read(path: string): Promise<{ id: string; tracks: InitTracks }> {
    let reading = this.#read.get(path);
    if (reading === undefined) {
      reading = Deno.readFile(path).then((bytes) => ({
        id: createHash("sha256").update(bytes).digest("hex"),
        tracks: readInitTracks(bytes),
      }));
      this.#read.set(path, reading);
    }
    return reading;
  }
}

export function configOf(tracks: readonly { readonly config: string }[]): string {
  return tracks.map((track) => track.config).filter((config) => config !== "").join(" + ");
}

async function readTsClock(path: string) {
  const clock = new TsClock();
  const buffer = new Uint8Array(READ_BYTES);
  using file = await Deno.open(path);
  for (let read = await file.read(buffer); read !== null; read = await file.read(buffer)) {
    clock.push(buffer.subarray(0, read));
  }
  return clock.read();
}
