/**
 * Writes media playlists whose segments are byte ranges of one file. Pure. RFC 8216 §4.3.
 * Example: a segment { seconds: 6.006, offset: 250795, bytes: 1156001 } → "#EXTINF:6.006,\n#EXT-X-BYTERANGE:1156001@250795\nep.mp4".
 */
export interface ByteRangeSegment {
  readonly seconds: number;
  readonly offset: number;
  readonly bytes: number;
}

export interface ByteRangePlaylist {
  /** Name of the file, relative to the playlist. */
  readonly file: string;
  readonly map: { readonly offset: number; readonly bytes: number };
  readonly segments: readonly ByteRangeSegment[];
  /** Each segment is one I-frame, for trick play. */
  readonly iFramesOnly?: boolean;
}

export function writeMediaPlaylist({ file, map, segments, iFramesOnly = false }: ByteRangePlaylist): string {
  const durations = roundedDurations(segments.map(({ seconds }) => seconds));
  return [
    "#EXTM3U",
    "#EXT-X-VERSION:7",
    `#EXT-X-TARGETDURATION:${targetDuration(durations)}`,
    "#EXT-X-PLAYLIST-TYPE:VOD",
    iFramesOnly ? "#EXT-X-I-FRAMES-ONLY" : "#EXT-X-INDEPENDENT-SEGMENTS",
    `#EXT-X-MAP:URI="${file}",BYTERANGE="${map.bytes}@${map.offset}"`,
    ...segments.flatMap(({ offset, bytes }, i) => [
      `#EXTINF:${durations[i]},`,
      `#EXT-X-BYTERANGE:${bytes}@${offset}`,
      file,
    ]),
    "#EXT-X-ENDLIST",
    "",
  ].join("\n");
}

/** One file of WebVTT for the whole video. */
export function writeSubtitlePlaylist({ file, seconds }: { file: string; seconds: number }): string {
  return [
    "#EXTM3U",
    "#EXT-X-VERSION:7",
    `#EXT-X-TARGETDURATION:${Math.max(1, Math.ceil(seconds))}`,
    "#EXT-X-PLAYLIST-TYPE:VOD",
    `#EXTINF:${Math.round(seconds * 1000) / 1000},`,
    file,
    "#EXT-X-ENDLIST",
    "",
  ].join("\n");
}

/** Milliseconds, so that the sum of the first n is never off by more than half of one. */
function roundedDurations(seconds: readonly number[]): number[] {
  let [exact, written] = [0, 0];
  return seconds.map((duration) => {
    exact += duration;
    const rounded = Math.max(0, Math.round(exact * 1000) - written);
    written += rounded;
    return rounded / 1000;
  });
}

function targetDuration(durations: readonly number[]): number {
  return Math.max(1, durations.reduce((longest, seconds) => Math.max(longest, Math.round(seconds)), 0));
}
