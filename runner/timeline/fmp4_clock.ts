/**
 * Reads the timestamps of fragmented MP4: the tracks of an init section, then the fragments of each segment.
 * ISO/IEC 14496-12 §8.8 (trex, tfhd, tfdt, trun), §8.6.6 (elst).
 */
import { boxAt, childBoxes, MAX_MOOV_BYTES, readAt, readTopLevelBoxes, viewOf } from "../mp4/boxes.ts";
import { type SegmentClock, TrackTimes } from "./segment_clock.ts";

const MAX_SAMPLES = 1_000_000;

/** Track id → what its fragments leave out. */
export type InitTracks = ReadonlyMap<number, InitTrack>;

interface InitTrack {
  readonly kind: "video" | "audio";
  readonly timescale: number;
  readonly defaultDuration: number;
  /** Seconds between the media's time 0 and its presentation. */
  readonly shift: number;
  /** Samples before this time only prime the decoder. */
  readonly presentedFrom: number;
}

/** Empty if the bytes are no init section. */
export function readInitTracks(init: Uint8Array): InitTracks {
  const tracks = new Map<number, InitTrack>();
  const moov = childBoxes(init, { start: 0, end: init.length })?.find((box) => box.type === "moov");
  const boxes = moov === undefined ? [] : childBoxes(init, { start: moov.body, end: moov.end }) ?? [];
  const mvhd = boxes.find((box) => box.type === "mvhd");
  const movieTimescale = mvhd === undefined ? 0 : timescaleOf(viewOf(init, mvhd));
  const defaults = new Map<number, number>();
  const mvex = moov === undefined ? null : boxAt(init, moov, ["mvex"]);
  for (const trex of mvex === null ? [] : childBoxes(init, { start: mvex.body, end: mvex.end }) ?? []) {
    const view = trex.type === "trex" ? viewOf(init, trex) : null;
    if (view !== null && view.byteLength >= 24) defaults.set(view.getUint32(4), view.getUint32(12));
  }
  for (const trak of boxes.filter((box) => box.type === "trak")) {
    const view = (path: readonly string[]) => {
      const box = boxAt(init, trak, path);
      return box === null ? null : viewOf(init, box);
    };
    try {
      const [tkhd, mdhd, hdlr] = [view(["tkhd"]), view(["mdia", "mdhd"]), view(["mdia", "hdlr"])];
      if (tkhd === null || mdhd === null || hdlr === null) continue;
      const handler = hdlr.getUint32(8);
      if (handler !== VIDE && handler !== SOUN) continue;
      const id = tkhd.getUint32(tkhd.getUint8(0) === 1 ? 20 : 12);
      const timescale = timescaleOf(mdhd);
      if (timescale === 0) continue;
      tracks.set(id, {
        kind: handler === VIDE ? "video" : "audio",
        timescale,
        defaultDuration: defaults.get(id) ?? 0,
        ...parseEdits(view(["edts", "elst"]), { timescale, movieTimescale }),
      });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // a box is cut
    }
  }
  return tracks;
}

/** Reads the segment's boxes, not its media. */
export async function readFmp4Clock(path: string, init: InitTracks): Promise<SegmentClock> {
  using file = await Deno.open(path);
  const boxes = await readTopLevelBoxes(file, (await file.stat()).size) ?? [];
  const times = new Map<number, TrackTimes>();
  const lastDurations = new Map<number, number>();
  for (const box of boxes) {
    if (box.type !== "moof" || box.size > MAX_MOOV_BYTES) continue;
    const moof = await readAt(file, box.offset, box.size);
    if (moof !== null) readMoof(moof, { init, times, lastDurations });
  }
  const tracks = [...times].flatMap(([id, track]) => {
    const { kind } = init.get(id)!;
    return track.clock(kind, lastDurations.get(id)) ?? [];
  });
  tracks.sort((a, b) => Number(a.kind === "audio") - Number(b.kind === "audio"));
  return { tracks, wrapSeconds: null };
}

const [VIDE, SOUN] = [0x76696465, 0x736f756e];

interface Found {
  readonly init: InitTracks;
  readonly times: Map<number, TrackTimes>;
  readonly lastDurations: Map<number, number>;
}

function readMoof(moof: Uint8Array, found: Found): void {
  const root = childBoxes(moof, { start: 0, end: moof.length })?.[0];
  const trafs = root === undefined ? [] : childBoxes(moof, { start: root.body, end: root.end }) ?? [];
  for (const traf of trafs.filter((box) => box.type === "traf")) {
    try {
      readTraf(moof, traf, found);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // a table exceeds its box
    }
  }
}

function readTraf(moof: Uint8Array, traf: { body: number; end: number }, found: Found): void {
  const boxes = childBoxes(moof, { start: traf.body, end: traf.end }) ?? [];
  const view = (type: string) => {
    const box = boxes.find((box) => box.type === type);
    return box === undefined ? null : viewOf(moof, box);
  };
  const [tfhd, tfdt] = [view("tfhd"), view("tfdt")];
  if (tfhd === null || tfdt === null) return;
  const id = tfhd.getUint32(4);
  const track = found.init.get(id);
  if (track === undefined) return;
  const flags = tfhd.getUint32(0) & 0xffffff;
  const durationAt = 8 + (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0);
  const defaultDuration = flags & 8 ? tfhd.getUint32(durationAt) : track.defaultDuration;
  let decode = tfdt.getUint8(0) === 1 ? Number(tfdt.getBigUint64(4)) : tfdt.getUint32(4);
  const times = found.times.get(id) ?? new TrackTimes();
  found.times.set(id, times);
  for (const box of boxes.filter((box) => box.type === "trun")) {
    const trun = viewOf(moof, box);
    const has = trun.getUint32(0) & 0xffffff;
    const count = trun.getUint32(4);
    if (count > MAX_SAMPLES) return;
    let at = 8 + (has & 1 ? 4 : 0) + (has & 4 ? 4 : 0);
    for (let sample = 0; sample < count; sample++) {
      const duration = has & 0x100 ? trun.getUint32(at) : defaultDuration;
      at += (has & 0x100 ? 4 : 0) + (has & 0x200 ? 4 : 0) + (has & 0x400 ? 4 : 0);
      const offset = has & 0x800 ? trun.getInt32(at) : 0;
      at += has & 0x800 ? 4 : 0;
      const shown = (decode + offset) / track.timescale + track.shift;
      times.add(Math.max(shown, track.presentedFrom), decode / track.timescale + track.shift);
      decode += duration;
      found.lastDurations.set(id, duration / track.timescale);
    }
  }
}

/** mvhd and mdhd have the same layout up to here. */
function timescaleOf(view: DataView): number {
  return view.getUint32(view.getUint8(0) === 1 ? 20 : 12);
}

/** An empty edit delays the track; the media time of the next edit is presented first. */
function parseEdits(
  elst: DataView | null,
  { timescale, movieTimescale }: { timescale: number; movieTimescale: number },
): Pick<InitTrack, "shift" | "presentedFrom"> {
  let presentedFrom = 0;
  const long = elst?.getUint8(0) === 1;
  const count = elst === null ? 0 : Math.min(elst.getUint32(4), 2);
  for (let i = 0; i < count; i++) {
    const at = 8 + i * (long ? 20 : 12);
    const duration = long ? Number(elst!.getBigUint64(at)) : elst!.getUint32(at);
    const mediaTime = long ? Number(elst!.getBigInt64(at + 8)) : elst!.getInt32(at + 4);
    if (mediaTime >= 0) return { presentedFrom, shift: presentedFrom - mediaTime / timescale };
    if (movieTimescale > 0) presentedFrom += duration / movieTimescale;
  }
  return { presentedFrom, shift: presentedFrom };
}
