/** The part of a media report that follows from the verified file. Pure. Example: `mediaReportOf(probe.tracks)` → { width: 1280, … }. */
import type { MediaReport, ReportedTrack } from "../../core/media_report.ts";
import type { Track } from "./verify.ts";

/** ISO 639-2 of a track whose language is not stated. */
const UNDETERMINED = "und";

export function mediaReportOf(tracks: readonly Track[]): MediaReport {
  const video = tracks.find(({ type }) => type === "video");
  return {
    width: video?.width ?? null,
    height: video?.height ?? null,
    tracks: tracks.flatMap((track) => reported(track) ?? []),
    variant: null,
    converted: [],
    left_out: [],
    presentation: null,
  };
}

function reported({ type, codec, language }: Track): ReportedTrack | null {
  if (type === "other") return null;
  return {
    type: type === "subtitle" ? "subtitles" : type,
    codec,
    language: language === UNDETERMINED ? null : language,
    name: null,
  };
}
