/**
 * Reads a segment of raw audio: its timestamp, from the ID3 tag in front, and its frames. Pure. RFC 8216 §3.4.
 * Example: `readAudioClock(bytes)` → { format: "aac", start: 73, clock: { tracks: [{ kind: "audio", start: 10, … }], … } }.
 */
import { type AudioFormat, readAudioFrame } from "./audio_frames.ts";
import { type SegmentClock, TrackTimes } from "./segment_clock.ts";
import { TS_WRAP_SECONDS } from "./ts_clock.ts";

const TICKS_PER_SECOND = 90_000;
const TIMESTAMP_OWNER = "com.apple.streaming.transportStreamTimestamp\0";

export interface RawAudio {
  readonly format: AudioFormat;
  /** Position of the first frame. */
  readonly start: number;
  /** null: the segment has no timestamp and continues where the one before it ends. */
  readonly clock: SegmentClock | null;
  readonly seconds: number;
  readonly config: string;
}

/** null if there is no known audio frame. */
export function readAudioClock(bytes: Uint8Array): RawAudio | null {
  const start = afterId3(bytes);
  const first = readAudioFrame(bytes, start);
  if (first === null) return null;
  const tagged = timestampOf(bytes.subarray(0, start));
  const times = new TrackTimes();
  let seconds = 0;
  let config = first.config;
  for (let at = start;;) {
    const frame = readAudioFrame(bytes, at);
    if (frame === null || at + frame.bytes > bytes.length) break;
    if (frame.config !== first.config) config = `${first.config},${frame.config}`;
    if (frame.seconds > 0) times.add((tagged ?? 0) + seconds, (tagged ?? 0) + seconds);
    seconds += frame.seconds;
    at += frame.bytes;
  }
  times.config = config;
  const track = times.clock("audio", first.seconds);
  const clock = track === null || tagged === null ? null : { tracks: [track], wrapSeconds: TS_WRAP_SECONDS };
  return { format: first.format, start, clock, seconds, config };
}

/** The end of all ID3v2 tags at the start. */
function afterId3(bytes: Uint8Array): number {
  let at = 0;
  while (bytes[at] === 0x49 && bytes[at + 1] === 0x44 && bytes[at + 2] === 0x33 && at + 10 <= bytes.length) {
    const size = (bytes[at + 6]! << 21) | (bytes[at + 7]! << 14) | (bytes[at + 8]! << 7) | bytes[at + 9]!;
    at += 10 + size + (bytes[at + 5]! & 0x10 ? 10 : 0);
  }
  return at;
}

/** The PRIV frame with 33 bits of 90 kHz, in seconds. */
function timestampOf(tags: Uint8Array): number | null {
  const at = new TextDecoder("latin1").decode(tags).indexOf(TIMESTAMP_OWNER);
  const value = at + TIMESTAMP_OWNER.length;
  if (at === -1 || value + 8 > tags.length) return null;
  const ticks = new DataView(tags.buffer, tags.byteOffset + value, 8).getBigUint64(0);
  return Number(ticks & 0x1_ffff_ffffn) / TICKS_PER_SECOND;
}
