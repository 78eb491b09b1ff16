/**
 * The description of a written file and the texts beside it: a master, a media playlist per track, WebVTT per subtitle track. Pure.
 * Example: `describe({ plan, layout, cues }, "9f3c")` → { presentation, texts: Map { ".m3u8" → "#EXTM3U…", ".v.m3u8" → … } }.
 */
import { type Master, writeMasterPlaylist } from "../../core/hls/write_master_playlist.ts";
import { writeMediaPlaylist, writeSubtitlePlaylist } from "../../core/hls/write_media_playlist.ts";
import { MASTER_ENDING, type Presentation, type PresentationTrack } from "../../core/presentation.ts";
import type { Layout } from "./layout.ts";
import { isMedia, type MediaTrack, type Plan } from "./plan.ts";
import { bandwidthsOf, segmentsOf } from "./segments.ts";
import type { TextCue } from "../mp4/moov.ts";
import { writeWebVtt } from "./text_cues.ts";
import { labelsOf } from "./track_labels.ts";

export interface Described {
  readonly presentation: Presentation;
  /** By ending: `.m3u8`, `.v.m3u8`, `.s0.vtt`, … */
  readonly texts: ReadonlyMap<string, string>;
}

/** `cues` by track; tracks without are not described. */
export function describe(
  { plan, layout, cues }: { plan: Plan; layout: Layout; cues: ReadonlyMap<number, readonly TextCue[]> },
  fileKey: string,
): Described {
  const texts = new Map<string, string>();
  const tracks: PresentationTrack[] = [];
  let [segments, iFrameBandwidth, audios, subtitles] = [0, 0, 0, 0];
  for (const [i, track] of plan.tracks.entries()) {
    if (isMedia(track)) {
      const listed = segmentsOf(track, plan, layout, i);
      const playlist = { file: `${fileKey}.mp4`, map: layout.inits[i]! };
      texts.set(`.${track.playlist}.m3u8`, writeMediaPlaylist({ ...playlist, segments: listed.segments }));
      if (track.role === "video") {
        texts.set(".i.m3u8", writeMediaPlaylist({ ...playlist, segments: listed.iFrames, iFramesOnly: true }));
        iFrameBandwidth = bandwidthsOf(listed.iFrames).bandwidth;
      }
      segments = Math.max(segments, listed.segments.length);
      tracks.push(describeMedia(track, bandwidthsOf(listed.segments), track.role === "audio" ? ++audios : 1));
    } else if (track.role === "subtitles" && (cues.get(i)?.length ?? 0) > 0) {
      texts.set(`.${track.playlist}.vtt`, writeWebVtt(cues.get(i)!));
      const file = `${fileKey}.${track.playlist}.vtt`;
      texts.set(`.${track.playlist}.m3u8`, writeSubtitlePlaylist({ file, seconds: plan.duration }));
      const { language, label, isDefault, forced } = labelsOf(track.tables, "subtitles", ++subtitles);
      const labels = { language, label, default: isDefault, forced };
      tracks.push({ ...NOTHING, kind: "subtitles", playlist: track.playlist, ...labels });
    }
  }
  texts.set(MASTER_ENDING, writeMasterPlaylist(masterOf(tracks, { fileKey, iFrameBandwidth })));
  const duration = Math.round(plan.duration * 1000) / 1000;
  return { presentation: { form: "hybrid", plain_because: null, duration, segments, tracks }, texts };
}

const NOTHING = {
  ...{ codec: null, channels: null, width: null, height: null, frame_rate: null },
  ...{ bandwidth: null, average_bandwidth: null },
};

function describeMedia(
  { role, playlist, entry, tables }: MediaTrack,
  rates: ReturnType<typeof bandwidthsOf>,
  number: number,
): PresentationTrack {
  const { language, label, isDefault } = labelsOf(tables, role, number);
  let ticks = 0;
  for (let i = 0; i < tables.count; i++) ticks += tables.durations[i]!;
  const rate = ticks === 0 ? null : Math.round(1000 * tables.count * tables.timescale / ticks) / 1000;
  return {
    ...{ kind: role, playlist, codec: entry.codec, language, label, default: isDefault, forced: false },
    ...{ channels: entry.channels, width: entry.width, height: entry.height },
    frame_rate: role === "video" ? rate : null,
    bandwidth: rates.bandwidth,
    average_bandwidth: rates.averageBandwidth,
  };
}

function masterOf(
  tracks: readonly PresentationTrack[],
  { fileKey, iFrameBandwidth }: { fileKey: string; iFrameBandwidth: number },
): Master {
  const uri = ({ playlist }: PresentationTrack) => `${fileKey}.${playlist}.m3u8`;
  const rates = ({ bandwidth, average_bandwidth }: PresentationTrack) => ({
    bandwidth: bandwidth ?? 0,
    averageBandwidth: average_bandwidth ?? 0,
  });
  const labels = (track: PresentationTrack) => ({
    ...{ name: track.label, language: track.language, isDefault: track.default, uri: uri(track) },
  });
  const of = (kind: PresentationTrack["kind"]) => tracks.filter((track) => track.kind === kind);
  return {
    variants: of("video").map((track) => ({
      ...{ codec: track.codec!, width: track.width ?? 0, height: track.height ?? 0, frameRate: track.frame_rate },
      ...rates(track),
      uri: uri(track),
      iFrames: { uri: `${fileKey}.i.m3u8`, bandwidth: iFrameBandwidth },
    })),
    audio: of("audio").map((track) => ({
      ...{ ...labels(track), ...rates(track), codec: track.codec!, channels: track.channels },
    })),
    subtitles: of("subtitles").map((track) => ({ ...labels(track), forced: track.forced })),
  };
}
