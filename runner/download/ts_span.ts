/**
 * The duration of a piece of MPEG-TS by its PES timestamps: detects an incomplete body even if all lengths agree. Pure.
 * Example: `span.push(chunk)` for each chunk, then `span.seconds()` → 3.96. ISO/IEC 13818-1 §2.4.3.
 */
const PACKET = 188;
const PTS_WRAP = 2 ** 33;
const PTS_PER_SECOND = 90_000;

/** Accepts chunks of any length. */
export class TsSpan {
  readonly #seen = new Map<number, { first: number; min: number; max: number }>();
  /** The incomplete last packet of the previous chunk. */
  #begun = new Uint8Array(0);

  push(piece: Uint8Array): void {
    const missing = this.#begun.length === 0 ? 0 : PACKET - this.#begun.length;
    if (missing > 0) {
      const packet = new Uint8Array([...this.#begun, ...piece.subarray(0, missing)]);
      this.#begun = packet;
      if (packet.length < PACKET) return;
      this.#see(packet, 0);
    }
    let at = missing;
    for (; at + PACKET <= piece.length; at += PACKET) this.#see(piece, at);
    this.#begun = piece.slice(at);
  }

  /** Whether the last packet is complete. */
  get whole(): boolean {
    return this.#begun.length === 0;
  }

  /** Seconds between the first and last PTS of the longest stream; null if nothing has a timestamp. */
  seconds(): number | null {
    if (this.#seen.size === 0) return null;
    return Math.max(...[...this.#seen.values()].map((span) => span.max - span.min)) / PTS_PER_SECOND;
  }

  #see(bytes: Uint8Array, at: number): void {
    if (bytes[at] !== 0x47 || (bytes[at + 1]! & 0x40) === 0) return;
    const pts = packetPts(bytes, at);
    if (pts === null) return;
    const pid = ((bytes[at + 1]! & 0x1f) << 8) | bytes[at + 2]!;
    const span = this.#seen.get(pid);
    if (span === undefined) {
      this.#seen.set(pid, { first: pts, min: 0, max: 0 });
      return;
    }
    // Relative to the first PTS, so that a wrap inside the segment is a small step and not 26 hours.
    const step = ((pts - span.first + PTS_WRAP * 1.5) % PTS_WRAP) - PTS_WRAP / 2;
    span.min = Math.min(span.min, step);
    span.max = Math.max(span.max, step);
  }
}

/** The earliest PTS, in seconds; null if nothing has a timestamp. */
export function tsStartSeconds(bytes: Uint8Array): number | null {
  let start: number | null = null;
  for (let at = 0; at + PACKET <= bytes.length; at += PACKET) {
    if (bytes[at] !== 0x47 || (bytes[at + 1]! & 0x40) === 0) continue;
    const pts = packetPts(bytes, at);
    if (pts !== null && (start === null || pts < start)) start = pts;
  }
  return start === null ? null : start / PTS_PER_SECOND;
}

function packetPts(bytes: Uint8Array, at: number): number | null {
  const adaptation = (bytes[at + 3]! >> 4) & 3;
  if ((adaptation & 1) === 0) return null;
  const pes = at + 4 + (adaptation === 3 ? 1 + bytes[at + 4]! : 0);
  if (pes + 14 > at + PACKET) return null;
  if (bytes[pes] !== 0 || bytes[pes + 1] !== 0 || bytes[pes + 2] !== 1) return null;
  if ((bytes[pes + 7]! & 0x80) === 0) return null;
  const p = pes + 9;
  return ((bytes[p]! >> 1) & 7) * 2 ** 30 + bytes[p + 1]! * 2 ** 22 + (bytes[p + 2]! >> 1) * 2 ** 15 +
    bytes[p + 3]! * 2 ** 7 + (bytes[p + 4]! >> 1);
}
