/** Which tracks of a file an MP4 can keep, and which are left out or end the job. Pure. */
import { KeepstreamError } from "../../core/errors.ts";
import type { Omission } from "../../core/media_report.ts";
import type { Track } from "./verify.ts";

/** Codecs that MP4 defines and browsers or Apple's players decode. */
const VIDEO = new Set(["h264", "hevc", "vp9", "av1", "mpeg4"]);
const AUDIO = new Set(["aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac"]);
const TEXT = new Set(["subrip", "ass", "ssa", "webvtt", "mov_text", "text"]);

export interface TrackChoice {
  /** Indexes of the input's tracks. */
  readonly audio: readonly number[];
  readonly textSubtitles: readonly number[];
  readonly hevc: boolean;
  readonly leftOut: readonly Omission[];
}

/** @throws {KeepstreamError} unsupported, naming the codec, if the video or all of the audio cannot be kept. */
export function chooseTracks(tracks: readonly Track[]): TrackChoice {
  const of = (type: Track["type"]) => tracks.filter((track) => track.type === type);
  const [video] = of("video");
  if (video !== undefined && !VIDEO.has(video.codec) && !PICTURES.has(video.codec)) throw unsupported("video", video);
  const audio = of("audio").filter(({ codec }) => AUDIO.has(codec));
  const [lost] = of("audio").filter(({ codec }) => !AUDIO.has(codec));
  if (lost !== undefined && audio.length === 0) throw unsupported("audio", lost);
  const text = of("subtitle").filter(({ codec }) => TEXT.has(codec));
  const leftOut = [...of("audio"), ...of("subtitle")].filter((track) =>
    !audio.includes(track) && !text.includes(track)
  );
  return {
    audio: audio.map(({ index }) => index),
    textSubtitles: text.map(({ index }) => index),
    hevc: video?.codec === "hevc",
    leftOut: leftOut.map((track) => ({
      kind: track.type === "audio" ? "audio" : "subtitles",
      code: "unsupported_codec",
      detail: `track ${track.index} (${track.language ?? "und"}): MP4 cannot hold ${track.codec}`,
    })),
  };
}

/** Cover pictures. */
const PICTURES = new Set(["mjpeg", "png", "bmp", "gif"]);

function unsupported(type: string, { codec }: Track): KeepstreamError {
  return new KeepstreamError(
    "unsupported",
    `the ${type} codec ${codec} cannot be copied into an MP4 that browsers play: add a source with another codec`,
  );
}
