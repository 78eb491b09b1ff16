/**
 * The initialization section of one track: its sample entries without samples. Pure. RFC 8216bis §3.3: durations 0, mvex, iso6.
 * `hev1` becomes `hvc1`, which Apple's players require.
 */
import { boxAt, type BoxBody, childBoxes } from "../mp4/boxes.ts";
import { box, fullBox, i64, join, text, u16, u32 } from "../mp4/write_boxes.ts";
import { NotPresentable } from "./not_presentable.ts";
import type { TrackTables } from "./track_tables.ts";

const MOVIE_TIMESCALE = 1000;
/** Enabled and in the movie: ffmpeg marks all but the default audio as disabled. */
const TKHD_FLAGS = 3;
const MATRIX = join([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32));

export function buildInitSection(track: TrackTables, mediaTime: number): Uint8Array<ArrayBuffer> {
  const { trak, timescale, language, entries, id } = track;
  const [root] = childBoxes(trak, { start: 0, end: trak.length }) ?? [];
  if (root === undefined) throw new NotPresentable("a track cannot be read");
  const [tkhd, hdlr, minf] = [["tkhd"], ["mdia", "hdlr"], ["mdia", "minf"]].map((path) => need(trak, root, path));
  const header = childBoxes(trak, { start: minf!.body, end: minf!.end })?.find(({ type }) => /^.mhd$/.test(type));
  if (header === undefined) throw new NotPresentable("a track has no media header");
  // Volume, matrix and size.
  const rest = trak.subarray(tkhd!.body + (trak[tkhd!.body] === 1 ? 36 : 24), tkhd!.end);
  const stbl = box(
    "stbl",
    fullBox("stsd", {}, u32(entries.length), ...entries.map(withHvc1)),
    ...[fullBox("stts", {}, u32(0)), fullBox("stsc", {}, u32(0))],
    ...[fullBox("stsz", {}, u32(0), u32(0)), fullBox("stco", {}, u32(0))],
  );
  const edits = box("edts", fullBox("elst", { version: 1 }, u32(1), i64(0), i64(mediaTime), u32(0x10000)));
  const mdhd = fullBox("mdhd", {}, u32(0), u32(0), u32(timescale), u32(0), u16(language), u16(0));
  const dinf = box("dinf", fullBox("dref", {}, u32(1), fullBox("url ", { flags: 1 })));
  const mvhd = fullBox(
    "mvhd",
    {},
    ...[u32(0), u32(0), u32(MOVIE_TIMESCALE), u32(0), u32(0x10000), u16(0x100)],
    ...[new Uint8Array(10), MATRIX, new Uint8Array(24), u32(id + 1)],
  );
  return join([
    box("ftyp", text("iso6"), u32(0), text("iso6cmfcmp41")),
    box(
      "moov",
      mvhd,
      box(
        "trak",
        fullBox("tkhd", { flags: TKHD_FLAGS }, u32(0), u32(0), u32(id), u32(0), u32(0), rest),
        ...(mediaTime > 0 ? [edits] : []),
        box(
          "mdia",
          mdhd,
          hdlrOf(trak, hdlr!),
          box("minf", trak.subarray(header.offset, header.end), dinf, stbl),
        ),
      ),
      box("mvex", fullBox("trex", {}, u32(id), u32(1), u32(0), u32(0), u32(0))),
    ),
  ]);
}

function need(trak: Uint8Array, root: BoxBody, path: readonly string[]): BoxBody {
  const found = boxAt(trak, root, path);
  if (found === null) throw new NotPresentable(`a track has no ${path.at(-1)}`);
  return found;
}

function hdlrOf(trak: Uint8Array, { body, end }: BoxBody): Uint8Array {
  return box("hdlr", trak.subarray(body, end));
}

function withHvc1(entry: Uint8Array): Uint8Array {
  if (new TextDecoder("latin1").decode(entry.subarray(4, 8)) !== "hev1") return entry;
  const renamed = entry.slice();
  renamed.set(text("hvc1"), 4);
  return renamed;
}
