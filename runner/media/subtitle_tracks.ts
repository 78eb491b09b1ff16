/** Makes a text track of each subtitle rendition that has cues. */
import type { DownloadedRendition } from "../download/hls.ts";
import type { OutputTrack } from "../mp4/moov.ts";
import { buildTextTrack } from "../mp4/text_track.ts";
import { timedTextSample } from "../subtitles/timed_text.ts";
import type { PlacedPart } from "../timeline/placement.ts";
import type { Omission } from "../../core/media_report.ts";
import { collectSubtitles } from "./subtitles.ts";
import { describeTrack } from "./track_names.ts";

/** `video`: the video's parts, whose clock the cues use. */
export async function muxSubtitles(
  renditions: readonly DownloadedRendition[],
  { video, dir }: { video: readonly PlacedPart[]; dir: string },
): Promise<{ tracks: readonly OutputTrack[]; leftOut: readonly Omission[] }> {
  const durationSeconds = Math.max(0, ...video.slice(-1).map(endOf));
  const { tracks: found, leftOut } = await collectSubtitles(renditions, { parts: video, durationSeconds });
  const tracks: OutputTrack[] = [];
  for (const [i, { cues, styled, ...labels }] of found.entries()) {
    const path = `${dir}/subtitles${i}.tx3g`;
    const samples = cues.map(({ start, end, text }) => ({ start, end, bytes: timedTextSample(text) }));
    const { track, bytes } = buildTextTrack(samples, path);
    await Deno.writeFile(path, bytes);
    tracks.push({ ...describeTrack(track, labels), cues: styled });
  }
  return { tracks, leftOut };
}

/** Of a part, in the archive. */
function endOf({ at, start, tracks }: PlacedPart): number {
  return at - start + Math.max(...tracks.map(({ lastStart, step }) => lastStart + step));
}
