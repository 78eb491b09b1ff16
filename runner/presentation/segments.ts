/** The segments of a written track, as its media playlist lists them. Pure. */
import type { ByteRangeSegment } from "../../core/hls/write_media_playlist.ts";
import type { Layout } from "./layout.ts";
import type { Chunk, MediaTrack, Plan } from "./plan.ts";

export interface TrackSegments {
  readonly segments: readonly ByteRangeSegment[];
  /** Of each segment, the header of the fragment and its first sample. */
  readonly iFrames: readonly ByteRangeSegment[];
}

export function segmentsOf(track: MediaTrack, { chunks }: Plan, { positions }: Layout, index: number): TrackSegments {
  const own = [...chunks.entries()].filter(([, chunk]) => chunk.track === index);
  const starts = own.map(([, chunk]) => startOf(track, chunk));
  const segments: ByteRangeSegment[] = [];
  const iFrames: ByteRangeSegment[] = [];
  for (const [i, [at, { first, headBytes, payloadBytes }]] of own.entries()) {
    const seconds = Math.max(0, (starts[i + 1] ?? track.clock.end) - starts[i]!);
    segments.push({ seconds, offset: positions[at]!, bytes: headBytes + payloadBytes });
    iFrames.push({ seconds, offset: positions[at]!, bytes: headBytes + track.tables.sizes[first]! });
  }
  return { segments, iFrames };
}

/** Seconds at which the first of a fragment's samples is presented, in order of presentation. */
function startOf({ tables, clock }: MediaTrack, { first, end, fragment }: Chunk): number {
  if (first === 0) return 0;
  const { composition, durations, timescale } = tables;
  let decode = fragment!.decode;
  if (composition === null) return (decode + clock.lift - clock.mediaTime) / timescale;
  let earliest = Infinity;
  for (let i = first; i < end; i++) {
    if (decode + composition[i]! < earliest) earliest = decode + composition[i]!;
    decode += durations[i]!;
  }
  return (earliest + clock.lift - clock.mediaTime) / timescale;
}

/** Bits per second: the largest of a segment, and of all. */
export function bandwidthsOf(segments: readonly ByteRangeSegment[]): { bandwidth: number; averageBandwidth: number } {
  let [peak, bytes, seconds] = [0, 0, 0];
  for (const segment of segments) {
    bytes += segment.bytes;
    seconds += segment.seconds;
    // A last segment of a few frames says nothing about the rate.
    if (segment.seconds >= 0.5) peak = Math.max(peak, segment.bytes / segment.seconds);
  }
  const average = bytes / Math.max(0.001, seconds);
  return { bandwidth: Math.ceil(8 * Math.max(peak, average)), averageBandwidth: Math.ceil(8 * average) };
}
