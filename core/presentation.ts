/**
 * How an archive can be played: as one MP4, and (form `hybrid`) as HLS by byte ranges of the same file, with playlists beside it.
 * Stored with the archive (video_store.media) and in its manifest, and shown by the API.
 * Example: { form: "hybrid", plain_because: null, duration: 1440.1, segments: 264, tracks: [{ kind: "video", playlist: "v", … }] }.
 */
export interface Presentation {
  readonly form: "hybrid" | "plain";
  /** Why the file is a plain MP4, for people; null for `hybrid`. */
  readonly plain_because: string | null;
  /** Seconds. */
  readonly duration: number;
  /** Segments of the longest track; 0 for `plain`. */
  readonly segments: number;
  /** In the order of the file. */
  readonly tracks: readonly PresentationTrack[];
}

export interface PresentationTrack {
  readonly kind: "video" | "audio" | "subtitles";
  /** Its media playlist is `{file_key}.{playlist}.m3u8`: `v`, `a0`, `s0`, …; null for `plain`. */
  readonly playlist: string | null;
  /** RFC 6381: `avc1.64001f`, `mp4a.40.2`; null for subtitles. */
  readonly codec: string | null;
  /** BCP 47; null if unknown. */
  readonly language: string | null;
  /** What a menu shows: "Japanese", "English (forced)". */
  readonly label: string;
  readonly default: boolean;
  readonly forced: boolean;
  readonly channels: number | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly frame_rate: number | null;
  /** Bits per second: the largest of a segment, and the average. */
  readonly bandwidth: number | null;
  readonly average_bandwidth: number | null;
}

/**
 * Endings of the files beside `{file_key}.mp4`. The master playlist is `.m3u8`; media playlists and subtitles are `.{playlist}.m3u8` and
 * `.s0.vtt`; `.i.m3u8` lists I-frames. Every name inside a playlist is a file of the same key.
 */
export const SIDECAR_ENDING =
  /^\.(m3u8|manifest|poster\.jpg|sprite\.(jpg|vtt)|(v|i|a\d{1,2}|s\d{1,2})\.m3u8|s\d{1,2}\.vtt)$/;

export const MASTER_ENDING = ".m3u8";
export const MANIFEST_ENDING = ".manifest";
