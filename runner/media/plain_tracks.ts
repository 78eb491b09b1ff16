/** The tracks of a plain archive: what a menu shows, without playlists. Pure. */
import type { PresentationTrack } from "../../core/presentation.ts";
import { languageLabel, languageTag } from "../presentation/track_labels.ts";
import type { Track } from "./verify.ts";

export function plainTracks(tracks: readonly Track[]): PresentationTrack[] {
  const numbers = { video: 0, audio: 0, subtitles: 0 };
  return tracks.flatMap(({ type, language: stated, width, height }) => {
    if (type === "other") return [];
    const kind = type === "subtitle" ? "subtitles" : type;
    const number = ++numbers[kind];
    const language = languageTag(stated ?? "");
    return [{
      ...{
        kind,
        playlist: null,
        codec: null,
        language,
        label: languageLabel({ language, kind, number, forced: false }),
      },
      ...{ default: kind !== "subtitles" && number === 1, forced: false, channels: null, width, height },
      ...{ frame_rate: null, bandwidth: null, average_bandwidth: null },
    }];
  });
}
