/** Makes a text track (mov_text) of each subtitle rendition. Needs ffmpeg on PATH. */
import type { DownloadedRendition } from "../download/hls.ts";
import type { OutputTrack } from "../mp4/moov.ts";
import { runChildOrThrow } from "../process/child.ts";
import type { PlacedPart } from "../timeline/placement.ts";
import { joinParts } from "./join_parts.ts";
import { readMovie } from "./part_files.ts";
import { describeTrack } from "./track_names.ts";
import { joinWebVtt } from "./web_vtt.ts";

/** `video`: the video's parts, whose clock the cues use. */
export async function muxSubtitles(
  renditions: readonly DownloadedRendition[],
  { video, dir, signal }: { video: readonly PlacedPart[]; dir: string; signal: AbortSignal },
): Promise<OutputTrack[]> {
  const tracks: OutputTrack[] = [];
  for (const [i, rendition] of renditions.entries()) {
    if (rendition.role !== "subtitles" || rendition.container !== "vtt") continue;
    const segments = await Promise.all(rendition.files.map(async (path) => ({ text: await Deno.readTextFile(path) })));
    const [part] = video;
    const vtt = `${dir}/subtitles${i}.vtt`;
    await Deno.writeTextFile(vtt, joinWebVtt(segments, part === undefined ? null : part.start - part.at));
    const track = await textTrack(vtt, { output: `${dir}/subtitles${i}.mp4`, signal });
    if (track !== null) tracks.push(describeTrack(track, rendition));
  }
  return tracks;
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
