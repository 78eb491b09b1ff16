/**
 * moov of the written file: every byte of the input's, except that each track's stsc and stco (or co64) list the new chunks. Pure.
 * Example: `replaceChunkTables(moov, tables)` → pieces to write one after another.
 */
import { childBoxes } from "../mp4/boxes.ts";
import { fullBox, u32, u32s } from "../mp4/write_boxes.ts";
import { NotPresentable } from "./not_presentable.ts";

/** Chunks of one track, in the order of the file. */
export interface Chunks {
  readonly counts: readonly number[];
  readonly descriptions: readonly number[];
}

export interface ChunkTables {
  readonly stsc: Uint8Array;
  readonly offsets: Uint8Array;
}

/** Runs of equal counts and sample entries are one entry. */
export function chunkTables({ counts, descriptions }: Chunks, offsets: ArrayLike<number>, wide: boolean): ChunkTables {
  const runs: number[] = [];
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] === counts[i - 1] && descriptions[i] === descriptions[i - 1]) continue;
    runs.push(i + 1, counts[i]!, descriptions[i]!);
  }
  return { stsc: fullBox("stsc", {}, u32(runs.length / 3), u32s(runs)), offsets: offsetTable(offsets, wide) };
}

function offsetTable(offsets: ArrayLike<number>, wide: boolean): Uint8Array {
  if (!wide) return fullBox("stco", {}, u32(offsets.length), u32s(offsets));
  const view = new DataView(new ArrayBuffer(8 * offsets.length));
  for (let i = 0; i < offsets.length; i++) view.setBigUint64(8 * i, BigInt(offsets[i]!));
  return fullBox("co64", {}, u32(offsets.length), new Uint8Array(view.buffer));
}

const PATH = ["moov", "trak", "mdia", "minf", "stbl"];

/** `tables` per trak, in order. */
export function replaceChunkTables(moov: Uint8Array, tables: readonly ChunkTables[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let trak = -1;
  let copied = 0;
  const keep = (until: number) => {
    if (until > copied) pieces.push(moov.subarray(copied, until));
    copied = until;
  };
  /** Returns the change in size. */
  function walk(place: { start: number; end: number }, depth: number): number {
    let change = 0;
    for (const box of childBoxes(moov, place) ?? []) {
      if (depth < PATH.length && box.type === PATH[depth]) {
        if (box.type === "trak") trak++;
        if (box.body - box.offset !== 8) throw new NotPresentable(`${box.type} has a size of 64 bits`);
        keep(box.offset);
        const header = moov.slice(box.offset, box.body);
        pieces.push(header);
        copied = box.body;
        const inside = walk({ start: box.body, end: box.end }, depth + 1);
        new DataView(header.buffer).setUint32(0, box.size + inside);
        change += inside;
      } else if (depth === PATH.length && (box.type === "stsc" || box.type === "stco" || box.type === "co64")) {
        keep(box.offset);
        const table = box.type === "stsc" ? tables[trak]!.stsc : tables[trak]!.offsets;
        pieces.push(table);
        copied = box.end;
        change += table.length - box.size;
      }
    }
    return change;
  }
  walk({ start: 0, end: moov.length }, 0);
  keep(moov.length);
  return pieces;
}
