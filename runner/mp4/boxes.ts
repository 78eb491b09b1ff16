/** Walks the boxes of an MP4: the top level with small reads, the index in memory. ISO/IEC 14496-12 §4.2. */
export type Box = { readonly type: string; readonly offset: number; readonly size: number };

/** Larger indexes are only read by ffmpeg: 64 MiB are enough for more than a day of video. */
export const MAX_MOOV_BYTES = 64 * 1024 * 1024;
const MAX_TOP_LEVEL_BOXES = 200_000;

/** The boxes in order; null if they do not cover the file. */
export async function readTopLevelBoxes(file: Deno.FsFile, fileSize: number): Promise<Box[] | null> {
  const boxes: Box[] = [];
  let offset = 0;
  while (offset < fileSize) {
    const header = await readAt(file, offset, Math.min(16, fileSize - offset));
    const box = header === null ? null : parseBoxHeader(header, { offset, end: fileSize });
    if (box === null || boxes.length === MAX_TOP_LEVEL_BOXES) return null;
    boxes.push(box);
    offset += box.size;
  }
  return boxes;
}

/** A header of 8 or 16 bytes; null if it is invalid or extends past `end`. Pure. */
export function parseBoxHeader(header: Uint8Array, place: { offset: number; end: number }): Box | null {
  if (header.length < 8) return null;
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const type = new TextDecoder("latin1").decode(header.subarray(4, 8));
  const short = view.getUint32(0);
  const left = place.end - place.offset;
  const size = short === 0 ? left : short === 1 ? (header.length >= 16 ? Number(view.getBigUint64(8)) : NaN) : short;
  return size >= 8 && size <= left ? { type, offset: place.offset, size } : null;
}

/** The boxes between two positions; null if they do not cover the range. Pure. */
export function childBoxes(
  bytes: Uint8Array,
  { start, end }: { start: number; end: number },
): (Box & { readonly body: number; readonly end: number })[] | null {
  const boxes = [];
  for (let at = start; at < end;) {
    const box = parseBoxHeader(bytes.subarray(at, Math.min(at + 16, end)), { offset: at, end });
    if (box === null) return null;
    const large = bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 0 && bytes[at + 3] === 1;
    if (large && box.size < 16) return null;
    boxes.push({ ...box, body: at + (large ? 16 : 8), end: at + box.size });
    at += box.size;
  }
  return boxes;
}

export async function readAt(
  file: Deno.FsFile,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  await file.seek(offset, Deno.SeekMode.Start);
  const buffer = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const read = await file.read(buffer.subarray(filled));
    if (read === null) return null;
    filled += read;
  }
  return buffer;
}

/** Follows a path of box types below `place`; null if one is missing. Pure. */
export function boxAt(bytes: Uint8Array, place: BoxBody, path: readonly string[]): BoxBody | null {
  for (const type of path) {
    const box = childBoxes(bytes, { start: place.body, end: place.end })?.find((child) => child.type === type);
    if (box === undefined) return null;
    place = box;
  }
  return place;
}

/** The contents of a box. */
export interface BoxBody {
  readonly body: number;
  readonly end: number;
}

export function viewOf(bytes: Uint8Array, { body, end }: BoxBody): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + body, end - body);
}
