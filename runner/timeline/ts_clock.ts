/**
 * Reads the PES timestamps of a piece of MPEG-TS. Pure. ISO/IEC 13818-1 §2.4.3.
 * Example: `clock.push(chunk)` for each chunk, then `clock.read()` → { tracks: [{ kind: "video", start: 1.48, … }], … }.
 */
import { type SegmentClock, type TrackClock, TrackTimes } from "./segment_clock.ts";

const PACKET_BYTES = 188;
const TICKS_PER_SECOND = 90_000;
const WRAP_TICKS = 2 ** 33;
export const TS_WRAP_SECONDS = WRAP_TICKS / TICKS_PER_SECOND;
const SYNC_BYTE = 0x47;
/** More streams are not read: a hostile segment could name 8,192. */
const MAX_STREAMS = 64;

/** Accepts chunks of any length. */
export class TsClock {
  readonly #streams = new Map<number, { kind: TrackClock["kind"] | "other"; times: TrackTimes }>();
  #first: number | null = null;
  readonly #packet = new Uint8Array(PACKET_BYTES);
  #filled = 0;

  push(chunk: Uint8Array): void {
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(PACKET_BYTES - this.#filled, chunk.length);
      this.#packet.set(chunk.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < PACKET_BYTES) return;
      this.#filled = 0;
      this.#readPacket(this.#packet, 0);
    }
    for (; at + PACKET_BYTES <= chunk.length; at += PACKET_BYTES) this.#readPacket(chunk, at);
    this.#packet.set(chunk.subarray(at));
    this.#filled = chunk.length - at;
  }

  read(): SegmentClock {
    const streams = [...this.#streams].sort(([a], [b]) => a - b);
    const tracks = streams.flatMap(([, { kind, times }]) => {
      const track = kind === "other" ? null : times.clock(kind);
      return track === null ? [] : [track];
    });
    tracks.sort((a, b) => Number(a.kind === "audio") - Number(b.kind === "audio"));
    return { tracks, wrapSeconds: TS_WRAP_SECONDS };
  }

  #readPacket(bytes: Uint8Array, at: number): void {
    if (bytes[at] !== SYNC_BYTE || (bytes[at + 1]! & 0x40) === 0) return; // no PES packet starts here
    const pes = pesStart(bytes, at);
    if (pes === null) return;
    const pid = ((bytes[at + 1]! & 0x1f) << 8) | bytes[at + 2]!;
    const payload = bytes.subarray(Math.min(pes + 9 + bytes[pes + 8]!, at + PACKET_BYTES), at + PACKET_BYTES);
    let stream = this.#streams.get(pid);
    if (stream === undefined) {
      if (this.#streams.size === MAX_STREAMS) return;
      stream = { kind: kindOf(bytes[pes + 3]!, payload), times: new TrackTimes() };
      this.#streams.set(pid, stream);
    }
    if (stream.kind === "audio") stream.times.config = joinConfigs(stream.times.config, audioConfig(payload));
    const flags = bytes[pes + 7]! >> 6;
    if (flags < 2) return;
    const presentation = this.#seconds(timestamp(bytes, pes + 9));
    stream.times.add(presentation, flags === 3 ? this.#seconds(timestamp(bytes, pes + 14)) : presentation);
  }

  /** Relative to the first timestamp of the segment, so that a wrap is a small step and not 26 hours. */
  #seconds(ticks: number): number {
    this.#first ??= ticks;
    const step = ((ticks - this.#first + WRAP_TICKS * 1.5) % WRAP_TICKS) - WRAP_TICKS / 2;
    return (this.#first + step) / TICKS_PER_SECOND;
  }
}

/** Position of the PES header in a packet; null if the packet has none. */
function pesStart(bytes: Uint8Array, at: number): number | null {
  const adaptation = (bytes[at + 3]! >> 4) & 3;
  if ((adaptation & 1) === 0) return null;
  const pes = at + 4 + (adaptation === 3 ? 1 + bytes[at + 4]! : 0);
  if (pes + 19 > at + PACKET_BYTES) return null;
  return bytes[pes] === 0 && bytes[pes + 1] === 0 && bytes[pes + 2] === 1 ? pes : null;
}

function timestamp(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! >> 1) & 7) * 2 ** 30 + bytes[at + 1]! * 2 ** 22 + (bytes[at + 2]! >> 1) * 2 ** 15 +
    bytes[at + 3]! * 2 ** 7 + (bytes[at + 4]! >> 1);
}

/** By stream_id. Private streams are audio only if they begin with an AC-3 frame: they may be subtitles or teletext. */
function kindOf(streamId: number, payload: Uint8Array): TrackClock["kind"] | "other" {
  if (streamId >= 0xe0 && streamId <= 0xef) return "video";
  if (streamId >= 0xc0 && streamId <= 0xdf) return "audio";
  return payload[0] === 0x0b && payload[1] === 0x77 ? "audio" : "other";
}

/** Profile, sampling frequency and channels of an ADTS header. ISO/IEC 13818-7 §6.2. */
function audioConfig(payload: Uint8Array): string {
  if (payload.length < 4) return "";
  if (payload[0] === 0x0b && payload[1] === 0x77) return "ac-3";
  if (payload[0] !== 0xff || (payload[1]! & 0xf0) !== 0xf0) return "";
  if ((payload[1]! & 0x06) !== 0) return "mpeg";
  const channels = ((payload[2]! & 1) << 2) | (payload[3]! >> 6);
  return `aac ${payload[2]! >> 6}/${(payload[2]! >> 2) & 15}/${channels}`;
}

/** A segment in which the configuration changes has both. */
function joinConfigs(known: string, next: string): string {
  if (next === "" || known === next || known.includes(",")) return known;
  return known === "" ? next : `${known},${next}`;
}
