/**
 * Reads every packet of every track of a finished file, because exit codes and container durations prove nothing: ffmpeg exits 0 with
 * half the segments missing. Example: `await verifyMedia(path, { format: "mov", expected })` → tracks with their packets and durations,
 * or a KeepstreamError naming the track. Runs on: Deno with ffprobe on PATH.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { lastLines, runChild } from "./child.ts";

const MAX_GAP_SECONDS = 0.5;
const DURATION_TOLERANCE = 0.01;
const MIN_TOLERANCE_SECONDS = 0.5;
/** Audio may end a little before or after the picture does. */
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
  /** From the first time stamp to the end of the last packet. */
  readonly durationSeconds: number;
  readonly largestGapSeconds: number;
};

export type Probe = {
  readonly tracks: readonly Track[];
  readonly durationSeconds: number;
  readonly complaints: string;
};

export type Expectation = {
  /** Sum of the playlist; null where the file itself is the only witness. */
  readonly durationSeconds: number | null;
  readonly audioTracks: number | null;
  readonly subtitleTracks: number | null;
  /** A segmented source must be seamless; a progressive one may hold pictures that stand for a while. */
  readonly seamless: boolean;
};

export type ProbeFormat = "mov" | "matroska" | "mpegts";

export async function probeMedia(
  path: string,
  options: { format: ProbeFormat; signal: AbortSignal },
): Promise<Probe> {
  const collector = new ProbeCollector();
  const { code, stderr } = await runChild("ffprobe", [
    ...["-v", "error", "-f", options.format, "-protocol_whitelist", "file"],
    ...["-show_entries", "packet=stream_index,pts_time,duration_time"],
    ...[
      "-show_entries",
      "stream=index,codec_type,codec_name,nb_frames,width,height:stream_tags=language:format=duration",
    ],
    ...["-of", "compact", `file:${path}`],
  ], { signal: options.signal, onStdout: (piece) => collector.add(piece) });
  if (code !== 0) throw new KeepstreamError("unsupported", `the file cannot be read as video: ${lastLines(stderr)}`);
  return collector.finish(lastLines(stderr));
}

/** Throws `unsupported` with what is wrong; the file is then never uploaded. */
export function checkProbe(probe: Probe, expected: Expectation): void {
  const problem = findProblem(probe, expected);
  if (problem !== null) throw new KeepstreamError("unsupported", `the download is not whole: ${problem}`);
}

/** Pure. */
export function findProblem(probe: Probe, expected: Expectation): string | null {
  const of = (type: Track["type"]) => probe.tracks.filter((track) => track.type === type);
  if (of("video").length === 0) return "it has no video track";
  if (probe.complaints !== "") return probe.complaints;
  if (expected.audioTracks !== null && of("audio").length !== expected.audioTracks) {
    return `${of("audio").length} of ${expected.audioTracks} audio tracks arrived`;
  }
  if (expected.subtitleTracks !== null && of("subtitle").length !== expected.subtitleTracks) {
    return `${of("subtitle").length} of ${expected.subtitleTracks} subtitle tracks arrived`;
  }
  const whole = expected.durationSeconds ?? of("video")[0]!.durationSeconds;
  for (const track of [...of("video").slice(0, 1), ...of("audio")]) {
    const name = `track ${track.index} (${track.codec})`;
    if (track.packets === 0) return `${name} is empty`;
    if (track.declaredPackets !== null && track.packets !== track.declaredPackets) {
      return `${name} holds ${track.packets} of ${track.declaredPackets} packets`;
    }
    if (expected.seamless && track.largestGapSeconds > MAX_GAP_SECONDS) {
      return `${name} has a gap of ${track.largestGapSeconds.toFixed(1)} s`;
    }
    const slack = track.type === "video" ? MIN_TOLERANCE_SECONDS : TRACK_TOLERANCE_SECONDS;
    const tolerance = Math.max(slack, whole * DURATION_TOLERANCE);
    if (expected.seamless && Math.abs(track.durationSeconds - whole) > tolerance) {
      return `${name} lasts ${track.durationSeconds.toFixed(1)} s instead of ${whole.toFixed(1)} s`;
    }
  }
  return null;
}

/** Takes ffprobe's compact lines as they come: a long episode prints a hundred thousand of them. */
export class ProbeCollector {
  #rest = "";
  readonly #decoder = new TextDecoder();
  readonly #times = new Map<number, { pts: number[]; end: number; packets: number }>();
  readonly #tracks: Omit<Track, "packets" | "durationSeconds" | "largestGapSeconds">[] = [];
  #duration = 0;

  add(piece: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(piece, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  finish(complaints: string): Probe {
    if (this.#rest !== "") this.#line(this.#rest);
    const tracks = this.#tracks.map((track) => ({ ...track, ...this.#measure(track.index) }));
    return { tracks, durationSeconds: this.#duration, complaints };
  }

  #line(line: string): void {
    if (line.startsWith("packet|")) return this.#packet(line);
    const fields = new Map(
      line.split("|").slice(1).map((field) => {
        const equals = field.indexOf("=");
        return [field.slice(0, equals), field.slice(equals + 1)];
      }),
    );
    if (line.startsWith("format|")) this.#duration = Number(fields.get("duration")) || 0;
    if (!line.startsWith("stream|")) return;
    const type = fields.get("codec_type");
    const index = Number(fields.get("index"));
    if (this.#tracks.some((track) => track.index === index)) return; // MPEG-TS lists streams per programme, and once more
    this.#tracks.push({
      index,
      type: type === "video" || type === "audio" || type === "subtitle" ? type : "other",
      codec: fields.get("codec_name") ?? "unknown",
      language: fields.get("tag:language") ?? null,
      width: number(fields.get("width")),
      height: number(fields.get("height")),
      declaredPackets: number(fields.get("nb_frames")),
    });
  }

  #packet(line: string): void {
    const [, index = "", pts = "", duration = ""] = line.split("|").map((field) => field.slice(field.indexOf("=") + 1));
    let times = this.#times.get(Number(index));
    if (times === undefined) this.#times.set(Number(index), times = { pts: [], end: 0, packets: 0 });
    times.packets++;
    const start = Number(pts);
    if (!Number.isFinite(start)) return; // "N/A"
    times.pts.push(start);
    times.end = Math.max(times.end, start + (Number(duration) || 0));
  }

  #measure(index: number) {
    const times = this.#times.get(index);
    if (times === undefined || times.pts.length === 0) {
      return { packets: times?.packets ?? 0, durationSeconds: 0, largestGapSeconds: 0 };
    }
    const pts = Float64Array.from(times.pts).sort();
    const usual = (times.end - pts[0]!) / pts.length;
    let gap = 0;
    for (let i = 1; i < pts.length; i++) gap = Math.max(gap, pts[i]! - pts[i - 1]! - usual);
    return { packets: times.packets, durationSeconds: times.end - pts[0]!, largestGapSeconds: gap };
  }
}

function number(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
