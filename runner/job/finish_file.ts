/**
 * Turns a downloaded or muxed file into the archive's file: MP4, moov in front, hashed while written, every packet of every track read.
 * Example: `await finishFile("media.bin", { format: "mov", expected }, tools)`. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { writeFastStart } from "../media/fast_start.ts";
import { remuxFile } from "../media/mux.ts";
import { checkProbe, type Expectation, type Probe, type ProbeFormat, probeMedia } from "../media/verify.ts";
import type { FetchedSource, SourceTools } from "./source_tools.ts";

const TEXT_SUBTITLES = new Set(["subrip", "ass", "ssa", "webvtt", "mov_text", "text"]);

export async function finishFile(
  input: string,
  what: { format: ProbeFormat; expected: Expectation },
  tools: SourceTools,
): Promise<FetchedSource> {
  const { dir, signal } = tools;
  const probe = await probeMedia(input, { format: what.format, signal });
  checkProbe(probe, what.expected);
  const path = `${dir.path}/final.mp4`;
  tools.progress.enter("finalising");
  tools.onPhase();
  const written = what.format === "mov" ? await writeFastStart(input, path, signal) : null;
  if (written?.kind === "done") return { final: written.file, durationSeconds: duration(probe) };
  return await remux(input, { ...what, probe, path }, tools);
}

/** Another container, or an MP4 in pieces: ffmpeg writes it anew, and the result is judged like any other. */
async function remux(
  input: string,
  what: { format: ProbeFormat; expected: Expectation; probe: Probe; path: string },
  tools: SourceTools,
): Promise<FetchedSource> {
  const { signal } = tools;
  const output = `${tools.dir.path}/remuxed.mp4`;
  const textSubtitles = what.probe.tracks
    .filter((track) => track.type === "subtitle" && TEXT_SUBTITLES.has(track.codec))
    .map((track) => track.index);
  await remuxFile(input, { dir: tools.dir.path, output, signal, format: what.format, textSubtitles });
  const probe = await probeMedia(output, { format: "mov", signal });
  const audioTracks = what.probe.tracks.filter((track) => track.type === "audio").length;
  checkProbe(probe, { ...what.expected, audioTracks, subtitleTracks: textSubtitles.length });
  const written = await writeFastStart(output, what.path, signal);
  if (written.kind === "done") return { final: written.file, durationSeconds: duration(probe) };
  throw new KeepstreamError("unsupported", `the file cannot be made to start fast: ${written.reason}`);
}

function duration(probe: Probe): number {
  return probe.durationSeconds || Math.max(0, ...probe.tracks.map((track) => track.durationSeconds));
}
