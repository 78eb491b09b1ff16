/**
 * Writes the archive's final file with moov in front of the media, so that players start and seek after one request, and hashes it while
 * writing. Example: ftyp, mdat, moov → ftyp, moov (with new chunk offsets), mdat.
 */
import { createHash } from "node:crypto";
import { boxAt, childBoxes, MAX_MOOV_BYTES, readAt, readTopLevelBoxes } from "./boxes.ts";

const COPY_BYTES = 1 << 20;
const MAX_DEPTH = 8;
/** Bytes of a sample entry before its boxes, and of hvcC before its parameter sets. */
const VISUAL_ENTRY_BYTES = 78;
const HVCC_ARRAYS_AT = 22;
const HVC1 = new TextEncoder().encode("hvc1");
const CONTAINERS = new Set(["moov", "trak", "mdia", "minf", "stbl", "edts"]);

export type FinalFile = { readonly path: string; readonly sizeBytes: number; readonly sha256: string };

export type FastStart =
  | { readonly kind: "done"; readonly file: FinalFile; readonly moved: boolean }
  /** Fragmented, compressed, or offsets beyond 32 bits: ffmpeg has to remux it. */
  | { readonly kind: "needs_remux"; readonly reason: string };

/** Hashes `input` if moov is in front already; otherwise writes `output`. Does not change `input`. */
export async function writeFastStart(input: string, output: string, signal: AbortSignal): Promise<FastStart> {
  using file = await Deno.open(input);
  const { size } = await file.stat();
  const boxes = await readTopLevelBoxes(file, size);
  if (boxes === null) return { kind: "needs_remux", reason: "its boxes are inconsistent" };
  if (boxes.some((box) => box.type === "moof")) return { kind: "needs_remux", reason: "it is fragmented" };
  const moov = boxes.find((box) => box.type === "moov");
  const mdat = boxes.find((box) => box.type === "mdat");
  if (moov === undefined || mdat === undefined || moov.size > MAX_MOOV_BYTES) {
    return { kind: "needs_remux", reason: "it has no moov or no mdat" };
  }
  const index = await readAt(file, moov.offset, moov.size);
  if (index === null) return { kind: "needs_remux", reason: "its index cannot be read" };
  const renamed = nameHvc1(index);
  if (moov.offset < mdat.offset) {
    if (!renamed) return { kind: "done", moved: false, file: await hashFile(input, signal) };
    const parts = boxes.map((box) => box === moov ? index : box);
    return { kind: "done", moved: true, file: await copy(file, parts, { output, signal }) };
  }
  if (!moveChunks(index, { insertedAt: mdat.offset, removedAt: moov.offset })) {
    return { kind: "needs_remux", reason: "its index cannot be moved in place" };
  }
  const before = boxes.filter((box) => box.offset < mdat.offset);
  const after = boxes.filter((box) => box.offset >= mdat.offset && box !== moov);
  return { kind: "done", moved: true, file: await copy(file, [...before, index, ...after], { output, signal }) };
}

/**
 * Renames hev1 sample entries to hvc1, which Apple's players require, if hvcC has the parameter sets. Returns whether there was one.
 * Changes `moov`. ISO/IEC 14496-15 §8.4.1.
 */
export function nameHvc1(moov: Uint8Array): boolean {
  const root = childBoxes(moov, { start: 0, end: moov.length })?.[0];
  const traks = root === undefined ? [] : childBoxes(moov, { start: root.body, end: root.end }) ?? [];
  let renamed = false;
  for (const trak of traks.filter((box) => box.type === "trak")) {
    const stsd = boxAt(moov, trak, ["mdia", "minf", "stbl", "stsd"]);
    const entries = stsd === null ? [] : childBoxes(moov, { start: stsd.body + 8, end: stsd.end }) ?? [];
    for (const entry of entries.filter((box) => box.type === "hev1")) {
      const boxes = childBoxes(moov, { start: Math.min(entry.body + VISUAL_ENTRY_BYTES, entry.end), end: entry.end });
      const hvcC = boxes?.find((box) => box.type === "hvcC");
      if (hvcC === undefined || (moov[hvcC.body + HVCC_ARRAYS_AT] ?? 0) === 0) continue;
      moov.set(HVC1, entry.offset + 4);
      renamed = true;
    }
  }
  return renamed;
}

/**
 * Adds moov's length to every chunk offset between its new and its old position. false if that cannot be done in place: no table,
 * compressed, or an offset beyond 32 bits. Pure; changes `moov`.
 */
export function moveChunks(moov: Uint8Array, move: { insertedAt: number; removedAt: number }): boolean {
  const view = new DataView(moov.buffer, moov.byteOffset, moov.byteLength);
  let tables = 0;
  const shift = (offset: number) =>
    offset >= move.insertedAt && offset < move.removedAt ? offset + moov.length : offset;
  function walk(place: { start: number; end: number }, depth: number): boolean {
    const boxes = depth > MAX_DEPTH ? null : childBoxes(moov, place);
    return boxes !== null && boxes.every((box) => {
      if (CONTAINERS.has(box.type)) return walk({ start: box.body, end: box.end }, depth + 1);
      return box.type === "stco" || box.type === "co64" ? patch(box) : box.type !== "cmov";
    });
  }
  function patch({ type, body, end }: { type: string; body: number; end: number }): boolean {
    const width = type === "stco" ? 4 : 8;
    if (body + 8 > end) return false;
    const count = view.getUint32(body + 4);
    if (body + 8 + count * width > end) return false;
    tables++;
    for (let i = 0; i < count; i++) {
      const at = body + 8 + i * width;
      const moved = shift(width === 4 ? view.getUint32(at) : Number(view.getBigUint64(at)));
      if (width === 4 && moved > 0xffffffff) return false;
      if (width === 4) view.setUint32(at, moved);
      else view.setBigUint64(at, BigInt(moved));
    }
    return true;
  }
  return walk({ start: 0, end: moov.length }, 0) && tables > 0;
}

/** Writes and hashes ranges of the input and memory buffers, in order. */
async function copy(
  input: Deno.FsFile,
  parts: readonly ({ offset: number; size: number } | Uint8Array)[],
  options: { output: string; signal: AbortSignal },
): Promise<FinalFile> {
  const hash = createHash("sha256");
  using output = await Deno.open(options.output, { create: true, write: true, truncate: true });
  let sizeBytes = 0;
  const write = async (bytes: Uint8Array) => {
    options.signal.throwIfAborted();
    const writing = writeAll(output, bytes); // hashed while it is written
    hash.update(bytes);
    sizeBytes += bytes.length;
    await writing;
  };
  for (const part of parts) {
    if (part instanceof Uint8Array) await write(part);
    else await readPieces(input, part, write);
  }
  return { path: options.output, sizeBytes, sha256: hash.digest("hex") };
}

async function hashFile(path: string, signal: AbortSignal): Promise<FinalFile> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const { size } = await file.stat();
  await readPieces(file, { offset: 0, size }, (bytes) => {
    signal.throwIfAborted();
    hash.update(bytes);
  });
  return { path, sizeBytes: size, sha256: hash.digest("hex") };
}

/** Reads the next chunk while the current one is used. */
async function readPieces(
  file: Deno.FsFile,
  range: { offset: number; size: number },
  use: (bytes: Uint8Array) => void | Promise<void>,
): Promise<void> {
  await file.seek(range.offset, Deno.SeekMode.Start);
  let [buffer, other] = [new Uint8Array(COPY_BYTES), new Uint8Array(COPY_BYTES)];
  let left = range.size;
  const read = (into: Uint8Array) => file.read(into.subarray(0, Math.min(left, into.length)));
  let reading = left > 0 ? read(buffer) : null;
  while (reading !== null) {
    const length = await reading;
    if (length === null) throw new Deno.errors.UnexpectedEof("the file became shorter while it was read");
    left -= length;
    reading = left > 0 ? read(other) : null;
    await use(buffer.subarray(0, length));
    [buffer, other] = [other, buffer];
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}
