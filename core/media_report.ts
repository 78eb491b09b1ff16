import type { Presentation } from "./presentation.ts";

/**
 * What an archive contains, and what was chosen, converted or left out on the way there. Stored with the archive (video_store.media) and
 * shown by the API. Texts are for people; codes are for programs.
 */
export interface MediaReport {
  /** Displayed size of the video in pixels; null for audio only. */
  readonly width: number | null;
  readonly height: number | null;
  readonly tracks: readonly ReportedTrack[];
  /** The variant of a multivariant playlist (or of an MPD) that was archived; null if the source offered no choice. */
  readonly variant: ChosenVariant | null;
  readonly converted: readonly Conversion[];
  readonly left_out: readonly Omission[];
  /** Endings of the files that were stored beside it, such as `.poster.jpg`; absent: unknown. */
  readonly sidecars?: readonly string[];
  /** As the provider lists them, otherwise those of the file. */
  readonly chapters?: readonly ReportedChapter[];
  /** How the file can be played; null if an earlier version wrote it. */
  readonly presentation: Presentation | null;
}

export interface ReportedChapter {
  readonly seconds: number;
  readonly title: string;
  /** intro, outro, recap, preview, …; null: part of the story, or unknown. */
  readonly kind: string | null;
}

export interface ReportedTrack {
  readonly type: "video" | "audio" | "subtitles";
  /** As ffprobe names it: h264, hevc, aac, … */
  readonly codec: string;
  /** BCP 47 or ISO 639-2; null if the source does not state it. */
  readonly language: string | null;
  readonly name: string | null;
}

export interface ChosenVariant {
  readonly width: number | null;
  readonly height: number | null;
  /** Bits per second. */
  readonly bandwidth: number;
  readonly codecs: string | null;
  readonly frame_rate: number | null;
  /** Why this one. Example: "closest to 1080p; AVC and AAC before HEVC". */
  readonly reason: string;
}

export interface Conversion {
  readonly track: ReportedTrack["type"];
  /** Example: audio_reencoded, parameter_sets_inband. */
  readonly code: string;
  readonly detail: string;
}

export interface Omission {
  readonly kind: "audio" | "subtitles" | "segment";
  /** Example: not_found, empty, unreadable. */
  readonly code: string;
  readonly detail: string;
}
