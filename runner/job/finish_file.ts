/**
 * Makes the archive's file from a downloaded or muxed one (presentation/write_presentation.ts). It is hashed while every packet is verified.
 * Example: `await finishFile("media.bin", { format: "mov", expected }, tools)`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { mediaReportOf } from "../media/media_report_of.ts";
import { remuxFile } from "../media/mux.ts";
import { chooseTracks } from "../media/track_choice.ts";
import { plainTracks } from "../media/plain_tracks.ts";
import { type Expectation, type MediaInfo, type ProbeFormat, verifyMedia } from "../media/verify.ts";
import { type NeedsRemux, writePresentation, type Written } from "../presentation/write_presentation.ts";
import type { FetchedSource, SourceTools } from "./source_tools.ts";

export type FinishTools = Pick<
  SourceTools,
  "dir" | "signal" | "progress" | "onPhase" | "fileKey" | "archive"
>;

/** Moves or deletes `input`. */
export async function finishFile(
  input: string,
  what: { format: ProbeFormat; expected: Expectation; joins?: readonly number[] },
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

/** Verifies a file in its final form. */
export async function finishWritten(
  written: Written,
  { expected, joins }: { expected: Expectation; joins: readonly number[] },
  tools: FinishTools,
): Promise<FetchedSource> {
  tools.progress.enter("verifying");
  tools.onPhase();
  const { signal } = tools;
  const probe = await verifyMedia(written.file.path, { format: "mov", expected, joins, signal });
  return await finished(written, probe, tools);
}

/** Both read the same bytes, one from the page cache. */
async function verifyAndWrite(
  input: string,
  { joins = [], ...what }: { format: ProbeFormat; expected: Expectation; joins?: readonly number[] },
  { dir, signal, fileKey, archive }: FinishTools,
): Promise<{ probe: MediaInfo; written: Written | NeedsRemux | null }> {
  const verifying = verifyMedia(input, { ...what, joins, signal });
  const writing = what.format === "mov"
    ? writePresentation({ path: input }, { ...archive, output: finalPath(dir), fileKey, signal })
    : null;
  await Promise.allSettled([verifying, writing]); // wait for both, even if one fails
  return { probe: await verifying, written: await writing };
}

/** Remuxes other containers and fragmented MP4s with ffmpeg, then verifies the result. */
async function remux(
  input: string,
  what: { format: ProbeFormat; expected: Expectation; probe: MediaInfo },
  tools: FinishTools,
): Promise<FetchedSource> {
  const { dir, signal } = tools;
  const output = `${dir.path}/remuxed.mp4`;
  const tracks = chooseTracks(what.probe.tracks);
  await remuxFile(input, { ...tracks, dir: dir.path, output, signal, format: what.format });
  const expected = {
    videoTracks: what.expected.videoTracks,
    audioTracks: tracks.audio.length,
    subtitleTracks: tracks.textSubtitles.length,
  };
  const { probe, written } = await verifyAndWrite(output, { format: "mov", expected }, tools);
  if (written?.kind === "done") {
    const fetched = await finished(written, probe, tools);
    return { ...fetched, media: { ...fetched.media, left_out: tracks.leftOut } };
  }
  throw new KeepstreamError("unsupported", `moov cannot be moved to the front: ${written?.reason}`);
}

async function finished(
  { file, presentation, texts }: Written,
  probe: MediaInfo,
  { dir }: FinishTools,
): Promise<FetchedSource> {
  const path = finalPath(dir);
  if (file.path !== path) await Deno.rename(file.path, path);
  const { durationSeconds, tracks } = probe;
  const described = presentation.form === "hybrid"
    ? presentation
    : { ...presentation, duration: durationSeconds, tracks: plainTracks(tracks) };
  const media = { ...mediaReportOf(tracks), presentation: described };
  return { final: { ...file, path }, durationSeconds, media, presentation: described, texts };
}

function finalPath(dir: FinishTools["dir"]): string {
  return `${dir.path}/final.mp4`;
}
