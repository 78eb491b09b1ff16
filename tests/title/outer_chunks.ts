/** The chunks that the outer moov lists, with the number of samples of each. */
import { type Box, children, find, type View } from "./box_reader.ts";

export interface OuterChunk {
  readonly trackId: number;
  readonly offset: number;
  readonly count: number;
}

export function chunksOf(view: View): OuterChunk[] {
  const moov = find(view, ["moov"])!;
  const traks = children(view, moov.body, moov.end).filter(({ type }) => type === "trak");
  return traks.flatMap((trak) => trackChunks(view, trak));
}

function trackChunks(view: View, trak: Box): OuterChunk[] {
  const { data } = view;
  const table = (type: string) => find(view, ["mdia", "minf", "stbl", type], trak);
  const tkhd = find(view, ["tkhd"], trak)!;
  const trackId = data.getUint32(tkhd.body + (data.getUint8(tkhd.body) === 1 ? 20 : 12));
  const [stsc, stco, co64] = [table("stsc")!, table("stco"), table("co64")];
  const offsets = (stco ?? co64)!;
  const runs = data.getUint32(stsc.body + 4);
  const chunks: OuterChunk[] = [];
  for (let i = 0, run = -1; i < data.getUint32(offsets.body + 4); i++) {
    while (run + 1 < runs && data.getUint32(stsc.body + 8 + 12 * (run + 1)) === i + 1) run++;
    const at = offsets.body + 8;
    const offset = co64 ? Number(data.getBigUint64(at + 8 * i)) : data.getUint32(at + 4 * i);
    chunks.push({ trackId, offset, count: data.getUint32(stsc.body + 8 + 12 * run + 4) });
  }
  return chunks;
}
