/**
 * Counts the packets of every track of a finished file, because exit codes and container durations prove nothing: ffmpeg exits with 0 if
 * half of the segments are missing. Also searches for bytes that are not media (foreign_bytes.ts), and decodes samples of the file
 * (decode_check.ts). Needs ffprobe and ffmpeg on PATH.
 * Example: `await verifyMedia(path, { format: "mov", expected, signal })` → its tracks, or a KeepstreamError that names one.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { lastLines, runChildForText } from "../process/child.ts";
import { MAX_MOOV_BYTES, readAt, readTopLevelBoxes } from "../mp4/boxes.ts";
import { findForeignBytes } from "./foreign_bytes.ts";
import { parseMovie } from "../mp4/movie.ts";
import { readSampleTables, type SampleTrack } from "../mp4/sample_tables.ts";
import { type DecodeCheck, findDecodeProblem } from "./decode_check.ts";

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

/** Numbers of tracks; null for a file, which has no other reference. */
export type Expectation = {
  readonly videoTracks: number | null;
  readonly audioTracks: number | null;
  readonly subtitleTracks: number | null;
};

export type ProbeFormat = "mov" | "matroska" | "mpegts";

/** Reads the whole file. Throws `unsupported` with the problem; such a file is never uploaded. */
export async function verifyMedia(
  path: string,
  options: DecodeCheck & { format: ProbeFormat; expected: Expectation },
): Promise<MediaInfo> {
  const { expected, signal } = options;
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const moov = await readMoov(file, size);
  const tables = readSampleTables(moov);
  const tracks = parseMovie(moov)?.tracks ?? [];
  const isCounted = tracks.length > 0 && tracks.every(({ samples }) => samples.count > 0);
  // All read the same bytes, one from the disk.
  const searching = findForeignBytes(file, tables, signal);
  const decoding = findDecodeProblem(path, tracks, options);
  const probing = probeMedia(path, { ...options, count: !isCounted });
  const [probed] = await Promise.allSettled([probing, searching, decoding]);
  if (probed.status === "rejected") throw probed.reason;
  const info = isCounted ? withPackets(probed.value, tables, size) : probed.value;
  const problem = findProblem(info, expected) ?? await searching ?? await decoding;
  if (problem !== null) throw new KeepstreamError("unsupported", `the download is incomplete or damaged: ${problem}`);
  return info;
}

/** The samples that the file contains, by its own tables: for a plain MP4, all that ffprobe's demuxer would read. */
function withPackets(info: MediaInfo, tables: readonly SampleTrack[], fileBytes: number): MediaInfo {
  return {
    ...info,
    tracks: info.tracks.map((track) => {
      const chunks = tables.find(({ index }) => index === track.index)?.chunks ?? [];
      const packets = chunks.reduce((sum, chunk) => sum + samplesWithin(chunk, fileBytes), 0);
      return { ...track, packets };
    }),
  };
}

function samplesWithin({ offset, sizes }: SampleTrack["chunks"][number], fileBytes: number): number {
  let [end, samples] = [offset, 0];
  for (const size of sizes) {
    end += size;
    if (end > fileBytes) break;
    samples++;
  }
  return samples;
}

/** With `count`, ffprobe's demuxer reads every packet and reports what a remux with ffmpeg would report. */
export async function probeMedia(
  path: string,
  options: { format: ProbeFormat; signal: AbortSignal; count?: boolean },
): Promise<MediaInfo> {
  // Packets outside the edit list, such as the end of the last audio frame, are counted, too.
  const all = options.format === "mov" ? ["-ignore_editlist", "1"] : [];
  const { code, stdout, stderr } = await runChildForText("ffprobe", [
    ...["-v", "error", ...all, "-f", options.format, "-protocol_whitelist", "file"],
    ...[...(options.count === false ? [] : ["-count_packets"]), "-show_entries"],
    "stream=index,codec_type,codec_name,nb_frames,nb_read_packets,width,height:stream_tags=language:format=duration",
    ...["-of", "compact", `file:${path}`],
  ], options);
  if (code !== 0) throw new KeepstreamError("unsupported", `the file cannot be read as video: ${lastLines(stderr)}`);
  return { ...parseProbe(stdout), complaints: lastLines(stderr) };
}

/** Empty for other containers. */
async function readMoov(file: Deno.FsFile, size: number): Promise<Uint8Array> {
  const boxes = await readTopLevelBoxes(file, size);
  const moov = boxes?.find((box) => box.type === "moov");
  const bytes = moov === undefined || moov.size > MAX_MOOV_BYTES ? null : await readAt(file, moov.offset, moov.size);
  return bytes ?? new Uint8Array(0);
}

/** The first problem, or null. Pure. */
export function findProblem(probe: MediaInfo, expected: Expectation): string | null {
  const of = (type: Track["type"]) => probe.tracks.filter((track) => track.type === type);
  if (of("video").length === 0 && ((expected.videoTracks ?? 0) > 0 || of("audio").length === 0)) {
    return "it has no video track";
  }
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
      return `${name} has ${track.packets} of ${track.declaredPackets} packets`;
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
