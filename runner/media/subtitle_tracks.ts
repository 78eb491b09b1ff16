/** Makes a text track (mov_text) of each subtitle rendition that has cues. Needs ffmpeg on PATH. */
import type { DownloadedRendition } from "../download/hls.ts";
import type { OutputTrack } from "../mp4/moov.ts";
import { runChildOrThrow } from "../process/child.ts";
import type { PlacedPart } from "../timeline/placement.ts";
import { joinParts } from "./join_parts.ts";
import type { Omission } from "./media_report.ts";
import { readMovie } from "./part_files.ts";
import { collectSubtitles } from "./subtitles.ts";
import { describeTrack } from "./track_names.ts";

/** `video`: the video's parts, whose clock the cues use. */
export async function muxSubtitles(
  renditions: readonly DownloadedRendition[],
  { video, dir, signal }: { video: readonly PlacedPart[]; dir: string; signal: AbortSignal },
): Promise<{ tracks: readonly OutputTrack[]; leftOut: readonly Omission[] }> {
  const durationSeconds = Math.max(0, ...video.slice(-1).map(endOf));
  const { files, leftOut } = await collectSubtitles(renditions, { dir, clock: { parts: video, durationSeconds } });
  const tracks: OutputTrack[] = [];
  for (const file of files) {
    const track = await textTrack(file.path, { output: `${file.path}.mp4`, signal });
    if (track !== null) tracks.push(describeTrack(track, file));
  }
  return { tracks, leftOut };
}

/** Of a part, in the archive. */
function endOf({ at, start, tracks }: PlacedPart): number {
  return at - start + Math.max(...tracks.map(({ lastStart, step }) => lastStart + step));
}

/** null if there is no cue. */
async function textTrack(
  vtt: string,
  { output, signal }: { output: string; signal: AbortSignal },
): Promise<OutputTrack | null> {
  await runChildOrThrow("ffmpeg", [
    ...["-nostdin", "-v", "error", "-nostats", "-y", "-copyts"],
    ...["-f", "webvtt", "-protocol_whitelist", "file", "-i", `file:${vtt}`, "-c:s", "mov_text"],
    ...["-f", "mp4", "-protocol_whitelist", "file", `file:${output}`],
  ], { signal });
  const movie = await readMovie(output);
  if (movie === null || movie.tracks.length === 0) return null;
  const part = {
    from: 0,
    to: 1,
    discontinuity: [0, 0] as const,
    start: 0,
    tracks: [],
    mixed: false,
    doubtful: [],
    at: 0,
  };
  return joinParts([{ path: output, part, movie }], 0);
}
