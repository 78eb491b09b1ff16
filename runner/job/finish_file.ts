/**
 * Turns a downloaded or muxed file into the archive's file: MP4, moov in front, hashed while every packet of every track is read.
 * Example: `await finishFile("media.bin", { format: "mov", expected }, tools)`. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { type FastStart, writeFastStart } from "../media/fast_start.ts";
import { remuxFile } from "../media/mux.ts";
import { type Expectation, type Probe, type ProbeFormat, verifyMedia } from "../media/verify.ts";
import type { FetchedSource, SourceTools } from "./source_tools.ts";

const TEXT_SUBTITLES = new Set(["subrip", "ass", "ssa", "webvtt", "mov_text", "text"]);

export type FinishTools = Pick<SourceTools, "dir" | "signal" | "progress" | "onPhase">;

/** `input` is used up. */
export async function finishFile(
  input: string,
  what: { format: ProbeFormat; expected: Expectation },
  tools: FinishTools,
): Promise<FetchedSource> {
  tools.progress.enter("verifying");
  tools.onPhase();
  const { probe, written } = await verifyAndWrite(input, what, tools);
  if (written?.kind === "done") return await finished(written, probe, tools);
  tools.progress.enter("finalising");
  tools.onPhase();
  return await remux(input, { ...what, probe }, tools);
}

/** Both read the same bytes while they are in memory, on a processor each. */
async function verifyAndWrite(
  input: string,
  what: { format: ProbeFormat; expected: Expectation },
  { dir, signal }: FinishTools,
): Promise<{ probe: Probe; written: FastStart | null }> {
  const verifying = verifyMedia(input, { ...what, signal });
  const writing = what.format === "mov" ? writeFastStart(input, finalPath(dir), signal) : null;
  await Promise.allSettled([verifying, writing]); // neither is left behind when the other fails
  return { probe: await verifying, written: await writing };
}

/** Another container, or an MP4 in pieces: ffmpeg writes it anew, and the result is judged like any other. */
async function remux(
  input: string,
  what: { format: ProbeFormat; expected: Expectation; probe: Probe },
  tools: FinishTools,
): Promise<FetchedSource> {
  const { dir, signal } = tools;
  const output = `${dir.path}/remuxed.mp4`;
  const textSubtitles = what.probe.tracks
    .filter((track) => track.type === "subtitle" && TEXT_SUBTITLES.has(track.codec))
    .map((track) => track.index);
  await remuxFile(input, { dir: dir.path, output, signal, format: what.format, textSubtitles });
  const audioTracks = what.probe.tracks.filter((track) => track.type === "audio").length;
  const expected = { ...what.expected, audioTracks, subtitleTracks: textSubtitles.length };
  const { probe, written } = await verifyAndWrite(output, { format: "mov", expected }, tools);
  if (written?.kind === "done") return await finished(written, probe, tools);
  throw new KeepstreamError("unsupported", `the file cannot be made to start fast: ${written?.reason}`);
}

async function finished(
  { file, moved }: Extract<FastStart, { kind: "done" }>,
  probe: Probe,
  { dir }: FinishTools,
): Promise<FetchedSource> {
  const path = finalPath(dir);
  if (!moved) await Deno.rename(file.path, path);
  return { final: { ...file, path }, durationSeconds: probe.durationSeconds };
}

function finalPath(dir: FinishTools["dir"]): string {
  return `${dir.path}/final.mp4`;
}
