/**
 * Reads every packet of every track of a finished file, because exit codes and container durations prove nothing: ffmpeg exits with 0 if
 * half of the segments are missing. Also searches for bytes that are not media (foreign_bytes.ts). Needs ffprobe on PATH.
 * Example: `await verifyMedia(path, { format: "mov", expected, signal })` → its tracks, or a KeepstreamError that names one.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { lastLines, runChildForText } from "../process/child.ts";
import { MAX_MOOV_BYTES, readAt, readTopLevelBoxes } from "../mp4/boxes.ts";
import { findForeignBytes } from "./foreign_bytes.ts";
import { readSampleTables } from "../mp4/sample_tables.ts";
import { readSampleTimes, type SampleTimes } from "../mp4/sample_times.ts";

const MAX_GAP_SECONDS = 0.5;
const DURATION_TOLERANCE = 0.01;
const MIN_TOLERANCE_SECONDS = 0.5;
/** Audio may be a little shorter or longer than the video. */
const TRACK_TOLERANCE_SECONDS = 2;

export type Track = {
  readonly index: number;
  readonly type: "video" | "audio" | "subtitle" | "other";
  readonly codec: string;
  readonly language: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly declaredPackets: number | null;
  readonly packets: number;
};

export type MediaInfo = {
  readonly tracks: readonly Track[];
  readonly durationSeconds: number;
  readonly complaints: string;
};

export type Expectation = {
  /**
   * Sum of the playlist's segments, which must be seamless. null for a file, which has no other reference and may contain still images.
   */
  readonly durationSeconds: number | null;
  readonly audioTracks: number | null;
  readonly subtitleTracks: number | null;
};

export type ProbeFormat = "mov" | "matroska" | "mpegts";

/** Reads the whole file. Throws `unsupported` with the problem; such a file is never uploaded. */
export async function verifyMedia(
  path: string,
  options: { format: ProbeFormat; expected: Expectation; signal: AbortSignal },
): Promise<MediaInfo> {
  const { expected, signal } = options;
  using file = await Deno.open(path);
  const moov = await readMoov(file);
  // Both read the same bytes, one from the page cache.
  const looking = findForeignBytes(file, readSampleTables(moov), signal);
  const [probed] = await Promise.allSettled([probeMedia(path, options), looking]);
  if (probed.status === "rejected") throw probed.reason;
  const times = expected.durationSeconds === null ? [] : readSampleTimes(moov);
  const problem = findProblem({ ...probed.value, times }, expected) ?? await looking;
  if (problem !== null) throw new KeepstreamError("unsupported", `the download is incomplete or damaged: ${problem}`);
  return probed.value;
}

/** ffprobe's demuxer reads every packet and reports what a remux with ffmpeg would report. */
export async function probeMedia(
  path: string,
  options: { format: ProbeFormat; signal: AbortSignal },
): Promise<MediaInfo> {
  const { code, stdout, stderr } = await runChildForText("ffprobe", [
    ...["-v", "error", "-f", options.format, "-protocol_whitelist", "file", "-count_packets", "-show_entries"],
    "stream=index,codec_type,codec_name,nb_frames,nb_read_packets,width,height:stream_tags=language:format=duration",
    ...["-of", "compact", `file:${path}`],
  ], options);
  if (code !== 0) throw new KeepstreamError("unsupported", `the file cannot be read as video: ${lastLines(stderr)}`);
  return { ...parseProbe(stdout), complaints: lastLines(stderr) };
}

/** Empty for other containers. */
async function readMoov(file: Deno.FsFile): Promise<Uint8Array> {
  const boxes = await readTopLevelBoxes(file, (await file.stat()).size);
  const moov = boxes?.find((box) => box.type === "moov");
  const bytes = moov === undefined || moov.size > MAX_MOOV_BYTES ? null : await readAt(file, moov.offset, moov.size);
  return bytes ?? new Uint8Array(0);
}

/** The first problem, or null. Pure. */
export function findProblem(
  probe: MediaInfo & { readonly times: readonly (SampleTimes | null)[] },
  expected: Expectation,
): string | null {
  const of = (type: Track["type"]) => probe.tracks.filter((track) => track.type === type);
  if (of("video").length === 0) return "it has no video track";
  if (probe.complaints !== "") return probe.complaints;
  if (expected.audioTracks !== null && of("audio").length !== expected.audioTracks) {
    return `${of("audio").length} of ${expected.audioTracks} audio tracks arrived`;
  }
  if (expected.subtitleTracks !== null && of("subtitle").length !== expected.subtitleTracks) {
    return `${of("subtitle").length} of ${expected.subtitleTracks} subtitle tracks arrived`;
  }
  for (const track of [...of("video").slice(0, 1), ...of("audio")]) {
    const name = `track ${track.index} (${track.codec})`;
    if (track.packets === 0) return `${name} is empty`;
    if (track.declaredPackets !== null && track.packets !== track.declaredPackets) {
      return `${name} holds ${track.packets} of ${track.declaredPackets} packets`;
    }
    const whole = expected.durationSeconds;
    const times = probe.times[track.index] ?? null;
    if (whole === null) continue;
    if (times === null || times.samples !== track.packets) return `${name} has an inconsistent index`;
    if (times.largestGapSeconds > MAX_GAP_SECONDS) {
      return `${name} has a gap of ${times.largestGapSeconds.toFixed(1)} s`;
    }
    const slack = track.type === "video" ? MIN_TOLERANCE_SECONDS : TRACK_TOLERANCE_SECONDS;
    if (Math.abs(times.durationSeconds - whole) > Math.max(slack, whole * DURATION_TOLERANCE)) {
      return `${name} lasts ${times.durationSeconds.toFixed(1)} s instead of ${whole.toFixed(1)} s`;
    }
  }
  return null;
}

/** ffprobe's compact lines. Pure. */
export function parseProbe(text: string): Omit<MediaInfo, "complaints"> {
  const tracks = new Map<number, Track>(); // for MPEG-TS, ffprobe lists streams twice: per programme, and all
  let durationSeconds = 0;
  for (const line of text.split("\n")) {
    const fields = new Map(
      line.split("|").slice(1).map((field) => {
        const equals = field.indexOf("=");
        return [field.slice(0, equals), field.slice(equals + 1)];
      }),
    );
    if (line.startsWith("format|")) durationSeconds = Number(fields.get("duration")) || 0;
    if (!line.startsWith("stream|")) continue;
    const type = fields.get("codec_type");
    const index = Number(fields.get("index"));
    tracks.set(index, {
      index,
      type: type === "video" || type === "audio" || type === "subtitle" ? type : "other",
      codec: fields.get("codec_name") ?? "unknown",
      language: fields.get("tag:language") ?? null,
      width: number(fields.get("width")),
      height: number(fields.get("height")),
      declaredPackets: number(fields.get("nb_frames")),
      packets: number(fields.get("nb_read_packets")) ?? 0,
    });
  }
  return { tracks: [...tracks.values()], durationSeconds };
}

function number(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
