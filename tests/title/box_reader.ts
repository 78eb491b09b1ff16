/** Reads boxes, independently of runner/mp4. ISO/IEC 14496-12 §4.2. */
export interface Box {
  readonly type: string;
  readonly offset: number;
  readonly body: number;
  readonly end: number;
  readonly size: number;
}

export interface View {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly data: DataView;
}

export async function viewAt(file: Deno.FsFile, offset: number, length: number): Promise<View> {
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  for (let filled = 0; filled < length;) {
    const read = await file.read(bytes.subarray(filled));
    if (read === null) throw new Error(`range ${length}@${offset} exceeds the file`);
    filled += read;
  }
  return { bytes, data: new DataView(bytes.buffer) };
}

/** null unless the boxes cover the range exactly. */
export async function readBoxes(file: Deno.FsFile, { from, to }: { from: number; to: number }): Promise<Box[] | null> {
  const boxes: Box[] = [];
  for (let at = from; at < to;) {
    const head = await viewAt(file, at, Math.min(16, to - at));
    const box = boxAt(head, 0, to - at);
    if (box === null) return null;
    boxes.push({ ...box, offset: at, body: at + box.body, end: at + box.size });
    at += box.size;
  }
  return boxes;
}

export function children(view: View, from = 0, to = view.bytes.length): Box[] {
  const boxes: Box[] = [];
  for (let at = from; at < to;) {
    const box = boxAt(view, at, to - at);
    if (box === null) throw new Error(`no box at ${at}`);
    boxes.push(box);
    at += box.size;
  }
  return boxes;
}

/** The first box of each type on the path. */
export function find(view: View, path: readonly string[], within?: Box): Box | null {
  let [from, to] = within === undefined ? [0, view.bytes.length] : [within.body, within.end];
  let found: Box | null = null;
  for (const type of path) {
    found = firstOf(view, { type, from, to });
    if (found === null) return null;
    [from, to] = [found.body, found.end];
  }
  return found;
}

function firstOf(view: View, { type, from, to }: { type: string; from: number; to: number }): Box | null {
  for (let at = from; at < to;) {
    const box = boxAt(view, at, to - at);
    if (box === null || box.type === type) return box;
    at += box.size;
  }
  return null;
}

function boxAt({ bytes, data }: View, at: number, left: number): Box | null {
  if (left < 8) return null;
  const short = data.getUint32(at);
  const size = short === 1 && left >= 16 ? Number(data.getBigUint64(at + 8)) : short;
  if (size < 8 || size > left) return null;
  const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
  return { type, offset: at, body: at + (short === 1 ? 16 : 8), end: at + size, size };
}
