/** Positions in the written file: ftyp, moov, mdat with init sections and chunks. Pure. */
import { join, text, u32, u64 } from "../mp4/write_boxes.ts";
import { buildInitSection } from "./init_section.ts";
import { type ChunkTables, chunkTables, replaceChunkTables } from "./outer_moov.ts";
import { isMedia, type Plan } from "./plan.ts";
import type { Source } from "./source.ts";

export interface Layout {
  /** Up to the first chunk: ftyp, moov, header of mdat, init sections. */
  readonly head: readonly Uint8Array[];
  /** Position of each chunk's head. */
  readonly positions: Float64Array;
  /** Of each track; null for those without HLS. */
  readonly inits: readonly ({ readonly offset: number; readonly bytes: number } | null)[];
  readonly sizeBytes: number;
}

const MAX_SHORT_SIZE = 0xffffffff;

export function layOut({ ftyp, moov }: Source, { tracks, chunks }: Plan): Layout {
  const inits = tracks.map((track) => isMedia(track) ? buildInitSection(track.tables, track.clock.mediaTime) : null);
  const initBytes = inits.reduce((sum, init) => sum + (init?.length ?? 0), 0);
  const mediaBytes = chunks.reduce((sum, { headBytes, payloadBytes }) => sum + headBytes + payloadBytes, initBytes);
  const own = tracks.map((_, track) => chunks.filter((chunk) => chunk.track === track));
  const tablesFrom = (first: number, wide: boolean): ChunkTables[] => {
    const offsets: number[][] = tracks.map(() => []);
    let at = first;
    for (const { track, headBytes, payloadBytes } of chunks) {
      offsets[track]!.push(at + headBytes);
      at += headBytes + payloadBytes;
    }
    return own.map((chunks, track) => {
      const counts = chunks.map(({ first, end }) => end - first);
      return chunkTables({ counts, descriptions: chunks.map(({ description }) => description) }, offsets[track]!, wide);
    });
  };
  const measure = (wide: boolean) => {
    const moovBytes = lengthOf(replaceChunkTables(moov, tablesFrom(0, wide)));
    const header = mediaBytes + 8 > MAX_SHORT_SIZE ? 16 : 8;
    return ftyp.length + moovBytes + header;
  };
  const wide = measure(false) + mediaBytes > MAX_SHORT_SIZE;
  const mediaAt = measure(wide);
  const head = [
    ftyp,
    ...replaceChunkTables(moov, tablesFrom(mediaAt + initBytes, wide)),
    mdatHeader(mediaBytes),
    ...inits.filter((init) => init !== null),
  ];
  let at = mediaAt;
  const placed = inits.map((init) => {
    if (init === null) return null;
    at += init.length;
    return { offset: at - init.length, bytes: init.length };
  });
  const positions = new Float64Array(chunks.length);
  for (const [i, { headBytes, payloadBytes }] of chunks.entries()) {
    positions[i] = at;
    at += headBytes + payloadBytes;
  }
  return { head, positions, inits: placed, sizeBytes: at };
}

function mdatHeader(bodyBytes: number): Uint8Array {
  const short = bodyBytes + 8 <= MAX_SHORT_SIZE;
  return short ? join([u32(bodyBytes + 8), text("mdat")]) : join([u32(1), text("mdat"), u64(bodyBytes + 16)]);
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}
