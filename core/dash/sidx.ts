// Reads a segment index box (ISO/IEC 14496-12, 8.16.3): the byte ranges of a file's segments, or of further indexes.
// Example: parseSidx(bytes, 800) → [{ isIndex: false, byteRange: { offset: 912, length: 50210 }, durationSeconds: 4 }, …]
import type { ByteSpan } from "../hls/playlist.ts";

export interface IndexEntry {
  /** Refers to another sidx. */
  readonly isIndex: boolean;
  readonly byteRange: ByteSpan;
  readonly durationSeconds: number;
}

/** `bytes` contains the box, which may follow others; `offset` is its first byte's position in the file. null: no valid sidx. */
export function parseSidx(bytes: Uint8Array, offset: number): readonly IndexEntry[] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    let at = 0;
    while (view.getUint32(at + 4) !== SIDX) {
      const size = view.getUint32(at);
      if (size < 8) return null;
      at += size;
    }
    const end = at + view.getUint32(at);
    const timescale = view.getUint32(at + 16);
    const is64 = view.getUint8(at + 8) === 1;
    const firstOffset = is64 ? Number(view.getBigUint64(at + 28)) : view.getUint32(at + 24);
    const count = view.getUint16(at + (is64 ? 38 : 30));
    const entries: IndexEntry[] = [];
    let position = offset + end + firstOffset;
    let entry = at + (is64 ? 40 : 32);
    if (timescale === 0 || entry + 12 * count > end) return null;
    for (let i = 0; i < count; i++, entry += 12) {
      const reference = view.getUint32(entry);
      const length = reference & 0x7fffffff;
      const isIndex = reference >>> 31 === 1;
      entries.push({
        isIndex,
        byteRange: { offset: position, length },
        durationSeconds: view.getUint32(entry + 4) / timescale,
      });
      position += length;
    }
    return entries;
  } catch (error) {
    if (error instanceof RangeError) return null; // truncated
    throw error;
  }
}

const SIDX = 0x73696478;
