/**
 * The edit list of a track, if it only delays the track or skips its start: other lists cannot be expressed in HLS. Pure.
 * ISO/IEC 14496-12 §8.6.6.
 */
import { boxAt, type BoxBody, viewOf } from "../mp4/boxes.ts";
import { NotPresentable } from "./not_presentable.ts";

export interface Edit {
  /** Seconds of the movie before the track starts. */
  readonly empty: number;
  /** The media tick that is presented there. */
  readonly mediaTime: number;
  /** Seconds that are presented; null: to the end. */
  readonly seconds: number | null;
}

const NORMAL_RATE = 0x10000;
const MAX_EDITS = 2;

/** @throws {NotPresentable} */
export function parseEdit(moov: Uint8Array, trak: BoxBody, movieTimescale: number): Edit {
  const box = boxAt(moov, trak, ["edts", "elst"]);
  if (box === null) return { empty: 0, mediaTime: 0, seconds: null };
  const view = viewOf(moov, box);
  const long = view.getUint8(0) === 1;
  const count = view.getUint32(4);
  if (count > MAX_EDITS || movieTimescale === 0) throw new NotPresentable(`a track has ${count} edits`);
  const edits = Array.from({ length: count }, (_, i) => {
    const at = 8 + i * (long ? 20 : 12);
    return {
      duration: long ? Number(view.getBigUint64(at)) : view.getUint32(at),
      time: long ? Number(view.getBigInt64(at + 8)) : view.getInt32(at + 4),
      rate: view.getUint32(at + (long ? 16 : 8)),
    };
  });
  const [first, second] = edits;
  if (first === undefined) return { empty: 0, mediaTime: 0, seconds: null };
  const empty = first.time === -1 && second !== undefined ? first : null;
  const edit = empty === null ? first : second!;
  if (edit.time < 0 || edit.rate !== NORMAL_RATE || empty === null && second !== undefined) {
    throw new NotPresentable("a track's edit list does more than delay it or skip its start");
  }
  return {
    empty: empty === null ? 0 : empty.duration / movieTimescale,
    mediaTime: edit.time,
    seconds: edit.duration === 0 ? null : edit.duration / movieTimescale,
  };
}
