/**
 * What the writer reads: moov, and where the samples are. Either an ordinary MP4, or tracks that were joined from several files.
 * Example: `await readSource("muxed.mp4")` → { kind: "source", moov, tracks: 3 }.
 */
import { type Box, boxAt, childBoxes, MAX_MOOV_BYTES, readAt, readTopLevelBoxes } from "../mp4/boxes.ts";
import { nameHvc1 } from "../mp4/fast_start.ts";
import { buildMoov, FTYP, type OutputTrack, type TextCue } from "../mp4/moov.ts";
import { NotPresentable } from "./not_presentable.ts";
import { parseTracks, type TrackTables } from "./track_tables.ts";

const MAX_FTYP_BYTES = 4096;
/** Boxes that mean nothing to a reader. */
const PADDING = new Set(["free", "skip", "wide"]);

export interface Source {
  readonly ftyp: Uint8Array;
  readonly moov: Uint8Array;
  readonly tracks: readonly TrackTables[];
  readonly files: readonly string[];
  /** By track, if they are known. */
  readonly cues: readonly (readonly TextCue[] | undefined)[];
}

/** @throws {NotPresentable} */
export async function readSource(path: string): Promise<Source> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const boxes = await readTopLevelBoxes(file, size);
  const of = (type: string) => boxes?.filter((box) => box.type === type) ?? [];
  const [[moovBox, ...others], media, [ftypBox, ...more]] = [of("moov"), of("mdat"), of("ftyp")];
  if (
    boxes === null || moovBox === undefined || others.length > 0 || more.length > 0 || moovBox.size > MAX_MOOV_BYTES
  ) {
    throw new NotPresentable("its boxes are inconsistent");
  }
  const foreign = boxes.find((box) => !PADDING.has(box.type) && !["ftyp", "moov", "mdat"].includes(box.type));
  if (foreign !== undefined) throw new NotPresentable(`it has a box ${foreign.type.replace(/[^\x20-\x7e]/g, "?")}`);
  if ((ftypBox?.size ?? 0) > MAX_FTYP_BYTES) throw new NotPresentable("its ftyp is too long");
  const moov = await need(file, moovBox);
  assertNoItems(moov);
  nameHvc1(moov);
  const mediaRanges = media.map(({ offset, size }) => [offset + 8, offset + size] as const);
  const tracks = parseTracks(moov, { mediaRanges });
  // Chunks that several tracks share would be copied many times.
  const bytes = tracks.reduce((sum, { sizes }) => sum + sizes.reduce((all, one) => all + one, 0), 0);
  if (bytes > size) throw new NotPresentable("tracks share their samples");
  return { ftyp: ftypBox === undefined ? FTYP : await need(file, ftypBox), moov, tracks, files: [path], cues: [] };
}

/** @throws {NotPresentable} */
export function sourceOfTracks(tracks: readonly OutputTrack[]): Source {
  const moov = buildMoov(tracks, []);
  const files = [...new Set(tracks.flatMap((track) => track.files))];
  const placed = tracks.map(({ samples, files: own }) => {
    const indexes = own.map((path) => files.indexOf(path));
    return { offsets: samples.offsets, files: samples.files.map((file) => indexes[file]!) };
  });
  const cues = tracks.map((track) => track.cues);
  return { ftyp: FTYP, moov, tracks: parseTracks(moov, { placed }), files, cues };
}

async function need(file: Deno.FsFile, { offset, size }: Box): Promise<Uint8Array> {
  const bytes = await readAt(file, offset, size);
  if (bytes === null) throw new NotPresentable("the file ends early");
  return bytes;
}

/** Items of a `meta` box have positions in the file of their own. */
function assertNoItems(moov: Uint8Array): void {
  const [root] = childBoxes(moov, { start: 0, end: moov.length }) ?? [];
  const boxes = root === undefined ? [] : childBoxes(moov, { start: root.body, end: root.end }) ?? [];
  for (const box of boxes) {
    const metas = box.type === "meta" ? [box] : [boxAt(moov, box, ["meta"])];
    if (box.type !== "meta" && box.type !== "trak") continue;
    for (const meta of metas) {
      if (meta !== null && boxAt(moov, { body: meta.body + 4, end: meta.end }, ["iloc"]) !== null) {
        throw new NotPresentable("it has items with positions in the file");
      }
    }
  }
}
