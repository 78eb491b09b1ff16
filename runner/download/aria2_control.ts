/**
 * Reads which bytes of a partial download are on disk from aria2's control file (big-endian, "technical notes" of its manual): version 2,
 * extension 4, hash length 4, hash, piece length 4, total 8, uploaded 8, bitfield length 4, a bit per piece, … Pure.
 * Example: `completedSpans(await Deno.readFile("media.bin.aria2"))` → [{ offset: 0, length: 1048576 }].
 */
import type { ByteSpan } from "../../core/hls/playlist.ts";

const VERSION = 1;

/** Ascending, adjacent spans merged; null if the file is damaged. */
export function completedSpans(control: Uint8Array): ByteSpan[] | null {
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  try {
    const pieceAt = 10 + view.getUint32(6);
    const pieceLength = view.getUint32(pieceAt);
    const total = Number(view.getBigUint64(pieceAt + 4));
    const bitfield = new Uint8Array(view.buffer, view.byteOffset + pieceAt + 24, view.getUint32(pieceAt + 20));
    if (view.getUint16(0) !== VERSION || bitfield.length !== Math.ceil(Math.ceil(total / pieceLength) / 8)) return null;
    const spans: ByteSpan[] = [];
    for (let piece = 0; piece * pieceLength < total; piece++) {
      if ((bitfield[piece >> 3]! & (0x80 >> (piece & 7))) === 0) continue;
      const offset = piece * pieceLength;
      const length = Math.min(pieceLength, total - offset);
      const last = spans.at(-1);
      if (last !== undefined && last.offset + last.length === offset) {
        spans[spans.length - 1] = { offset: last.offset, length: last.length + length };
      } else spans.push({ offset, length });
    }
    return spans;
  } catch (error) {
    if (error instanceof RangeError) return null; // truncated
    throw error;
  }
}
