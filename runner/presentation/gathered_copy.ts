/**
 * Writes bytes from memory and ranges of input files, in a given order, hashing them on the way. Ranges of a window are read together, since
 * samples of one track lie between those of others; the next window is read while this one is hashed and written. Memory does not
 * depend on the length. Example: `copy.add(0, 48, 1200); if (copy.isFull) await copy.next(); … await copy.finish()`.
 */
import { createHash } from "node:crypto";
import type { FinalFile } from "../mp4/fast_start.ts";

const WINDOW_BYTES = 4 << 20;
/** Read at once, with what lies between: at most this many times the bytes wanted. */
const MAX_SPREAD = 2;
const SPREAD_SLACK_BYTES = 1 << 16;
const SMALL_BYTES = 1 << 18;
const MAX_OPEN_FILES = 16;

interface Window {
  readonly bytes: Uint8Array<ArrayBuffer>;
  filled: number;
  readonly files: number[];
  readonly offsets: number[];
  readonly lengths: number[];
  readonly targets: number[];
  /** Read, to be placed by `scatter`. */
  readonly spans: { from: number; to: number; start: number; bytes: Uint8Array<ArrayBuffer> }[];
}

export class GatheredCopy implements Disposable {
  readonly #paths: readonly string[];
  readonly #output: Deno.FsFile;
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #hash = createHash("sha256");
  readonly #open = new Map<number, Deno.FsFile>();
  readonly #windows: readonly [Window, Window] = [newWindow(), newWindow()];
  readonly #inputs: readonly [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>];
  readonly #writing: [Promise<void>, Promise<void>] = [Promise.resolve(), Promise.resolve()];
  #current: 0 | 1 = 0;
  #reading: Promise<void> | null = null;
  #sizeBytes = 0;

  constructor(paths: readonly string[], { output, signal }: { output: string; signal: AbortSignal }) {
    this.#paths = paths;
    this.#path = output;
    this.#signal = signal;
    this.#output = Deno.openSync(output, { create: true, write: true, truncate: true });
    const input = () => new Uint8Array(MAX_SPREAD * WINDOW_BYTES);
    this.#inputs = [input(), input()];
  }

  get isFull(): boolean {
    return this.#windows[this.#current].filled === WINDOW_BYTES;
  }

  /** Returns how many bytes fit. */
  put(bytes: Uint8Array): number {
    const window = this.#windows[this.#current];
    const length = Math.min(bytes.length, WINDOW_BYTES - window.filled);
    window.bytes.set(length === bytes.length ? bytes : bytes.subarray(0, length), window.filled);
    window.filled += length;
    return length;
  }

  /** Returns how many bytes fit. */
  add(file: number, offset: number, bytes: number): number {
    const window = this.#windows[this.#current];
    const length = Math.min(bytes, WINDOW_BYTES - window.filled);
    window.files.push(file);
    window.offsets.push(offset);
    window.lengths.push(length);
    window.targets.push(window.filled);
    window.filled += length;
    return length;
  }

  async putAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += this.put(at === 0 ? bytes : bytes.subarray(at));
      if (this.isFull) await this.next();
    }
  }

  /** The samples of a group lie together in the input: best read at once. */
  async endGroup(): Promise<void> {
    if (2 * this.#windows[this.#current].filled >= WINDOW_BYTES) await this.next();
  }

  /** Starts to read the current window, and finishes the one before. */
  async next(): Promise<void> {
    this.#signal.throwIfAborted();
    const [current, before] = [this.#current, 1 - this.#current as 0 | 1];
    await this.#reading;
    const wasRead = this.#reading !== null;
    this.#reading = this.#read(this.#windows[current], this.#inputs[current]);
    this.#reading.catch(() => {}); // awaited by the next call
    if (wasRead) this.#writing[before] = this.#write(this.#windows[before]);
    this.#current = before;
    await this.#writing[before];
    reset(this.#windows[before]);
  }

  async finish(): Promise<FinalFile> {
    await this.next();
    await this.next();
    return { path: this.#path, sizeBytes: this.#sizeBytes, sha256: this.#hash.digest("hex") };
  }

  [Symbol.dispose](): void {
    for (const file of this.#open.values()) file.close();
    this.#output.close();
  }

  async #write(window: Window): Promise<void> {
    const { bytes, filled } = window;
    scatter(window);
    const piece = bytes.subarray(0, filled);
    const written = writeAll(this.#output, piece); // hashed while it is written
    this.#hash.update(piece);
    this.#sizeBytes += filled;
    await written;
  }

  /** All at once if they are close together, else each run of ascending ranges at once, else one by one. */
  async #read(window: Window, input: Uint8Array<ArrayBuffer>): Promise<void> {
    const count = window.files.length;
    let used = 0;
    const readSpan = async (from: number, to: number): Promise<boolean> => {
      const span = spanOf(window, from, to);
      if (span === null || span.end - span.start > input.length - used) return false;
      const bytes = input.subarray(used, used + span.end - span.start);
      used += bytes.length;
      await this.#readInto(window.files[from]!, span.start, bytes);
      window.spans.push({ from, to, start: span.start, bytes });
      return true;
    };
    if (count === 0 || await readSpan(0, count)) return;
    for (let from = 0, to = 0; from < count; from = to) {
      to = runEnd(window, from);
      if (await readSpan(from, to)) continue;
      for (let i = from; i < to; i++) await this.#readRange(window, i);
    }
  }

  async #readRange({ bytes, files, offsets, lengths, targets }: Window, i: number): Promise<void> {
    const target = bytes.subarray(targets[i]!, targets[i]! + lengths[i]!);
    const file = this.#open.get(files[i]!);
    if (file === undefined || target.length > SMALL_BYTES) return await this.#readInto(files[i]!, offsets[i]!, target);
    // A read of the thread pool costs more than such a small one.
    file.seekSync(offsets[i]!, Deno.SeekMode.Start);
    const read = file.readSync(target) ?? 0;
    if (read < target.length) await this.#readInto(files[i]!, offsets[i]! + read, target.subarray(read));
  }

  async #readInto(index: number, offset: number, bytes: Uint8Array): Promise<void> {
    const file = await this.#file(index);
    await file.seek(offset, Deno.SeekMode.Start);
    for (let filled = 0; filled < bytes.length;) {
      const read = await file.read(filled === 0 ? bytes : bytes.subarray(filled));
      if (read === null) throw new Deno.errors.UnexpectedEof("the input became shorter while it was read");
      filled += read;
    }
  }

  async #file(index: number): Promise<Deno.FsFile> {
    const kept = this.#open.get(index);
    if (kept !== undefined) return kept;
    const [oldest] = this.#open;
    if (oldest !== undefined && this.#open.size === MAX_OPEN_FILES) {
      oldest[1].close();
      this.#open.delete(oldest[0]);
    }
    const file = await Deno.open(this.#paths[index]!);
    this.#open.set(index, file);
    return file;
  }
}

function newWindow(): Window {
  const lists = { files: [], offsets: [], lengths: [], targets: [], spans: [] };
  return { bytes: new Uint8Array(WINDOW_BYTES), filled: 0, ...lists };
}

function reset(window: Window): void {
  window.filled = 0;
  for (const list of [window.files, window.offsets, window.lengths, window.targets, window.spans]) list.length = 0;
}

/** The bytes from the first to the last of some ranges; null if that is mostly something else, or several files. */
function spanOf({ files, offsets, lengths }: Window, from: number, to: number): { start: number; end: number } | null {
  let [start, end, bytes] = [Infinity, 0, 0];
  for (let i = from; i < to; i++) {
    const [offset, length] = [offsets[i]!, lengths[i]!];
    if (files[i] !== files[from]) return null;
    if (offset < start) start = offset;
    if (offset + length > end) end = offset + length;
    bytes += length;
  }
  return end - start <= MAX_SPREAD * bytes + SPREAD_SLACK_BYTES ? { start, end } : null;
}

/** The end of the ranges that follow each other in one file. */
function runEnd({ files, offsets }: Window, from: number): number {
  let to = from + 1;
  while (to < files.length && files[to] === files[from] && offsets[to]! > offsets[to - 1]!) to++;
  return to;
}

/** Copies what was read together to its place. */
function scatter({ spans, offsets, lengths, targets, bytes }: Window): void {
  for (const { from, to, start, bytes: read } of spans) {
    for (let i = from; i < to; i++) {
      const at = offsets[i]! - start;
      bytes.set(read.subarray(at, at + lengths[i]!), targets[i]!);
    }
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(at === 0 ? bytes : bytes.subarray(at));
}
