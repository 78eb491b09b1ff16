/**
 * Writes bytes from memory and ranges of input files, in a given order, hashing them on the way. Ranges of a window are read together, since
 * samples of one track lie between those of others; the next window is read while this one is hashed and written. Memory does not
 * depend on the length. Example: `copy.add(0, 48, 1200); if (copy.isFull) await copy.next(); … await copy.finish()`.
 */
import { createHash } from "node:crypto";
import type { FinalFile } from "../mp4/fast_start.ts";

const WINDOW_BYTES = 6 << 20;
/** What is read at once: small enough to stay in the processor's cache until its samples are at their places. */
const INPUT_BYTES = 1 << 20;
/** Read at once, with what lies between: at most this many times the bytes wanted. */
const MAX_SPREAD = 2;
const SPREAD_SLACK_BYTES = 1 << 16;
const MAX_RANGES = 1 << 15;
const SMALL_BYTES = 1 << 18;
const MAX_OPEN_FILES = 16;

/** `memory` has what is written, followed by a piece of the input: bytes are moved within one buffer. */
class Window {
  readonly memory = new Uint8Array(WINDOW_BYTES + INPUT_BYTES);
  filled = 0;
  /** Ranges of input files and where they belong. */
  ranges = 0;
  readonly files = new Uint16Array(MAX_RANGES);
  readonly offsets = new Float64Array(MAX_RANGES);
  readonly lengths = new Uint32Array(MAX_RANGES);
  readonly targets = new Uint32Array(MAX_RANGES);
}

export class GatheredCopy implements Disposable {
  readonly #paths: readonly string[];
  readonly #output: Deno.FsFile;
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #hash = createHash("sha256");
  readonly #open = new Map<number, Deno.FsFile>();
  #window = new Window();
  #other = new Window();
  #reading: Promise<void> | null = null;
  #sizeBytes = 0;

  constructor(paths: readonly string[], { output, signal }: { output: string; signal: AbortSignal }) {
    this.#paths = paths;
    this.#path = output;
    this.#signal = signal;
    this.#output = Deno.openSync(output, { create: true, write: true, truncate: true });
  }

  get isFull(): boolean {
    return this.#window.filled === WINDOW_BYTES || this.#window.ranges === MAX_RANGES;
  }

  /** Returns how many bytes fit. */
  add(file: number, offset: number, bytes: number): number {
    const window = this.#window;
    const length = Math.min(bytes, WINDOW_BYTES - window.filled);
    const i = window.ranges++;
    window.files[i] = file;
    window.offsets[i] = offset;
    window.lengths[i] = length;
    window.targets[i] = window.filled;
    window.filled += length;
    return length;
  }

  async put(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const window = this.#window;
      const length = Math.min(bytes.length - at, WINDOW_BYTES - window.filled);
      window.memory.set(bytes.subarray(at, at + length), window.filled);
      window.filled += length;
      at += length;
      if (this.isFull) await this.next();
    }
  }

  /** The samples of a group lie together in the input: best read at once. */
  async endGroup(): Promise<void> {
    if (2 * this.#window.filled >= WINDOW_BYTES) await this.next();
  }

  /** Starts to read the current window, and meanwhile writes the one before. */
  async next(): Promise<void> {
    this.#signal.throwIfAborted();
    await this.#reading;
    [this.#window, this.#other] = [this.#other, this.#window];
    this.#reading = this.#read(this.#other);
    this.#reading.catch(() => {}); // awaited by the next call
    if (this.#window.filled > 0) await this.#write(this.#window);
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
    const bytes = window.memory.subarray(0, window.filled);
    const written = writeAll(this.#output, bytes); // hashed while it is written
    this.#hash.update(bytes);
    this.#sizeBytes += bytes.length;
    await written;
    window.filled = window.ranges = 0;
  }

  /** All at once if they are close together, else a run of ascending ranges and then the rest; distant ranges one by one. */
  async #read(window: Window): Promise<void> {
    const { ranges } = window;
    for (let from = 0, to = 0; from < ranges; from = to) {
      // A cue may lie far from the video of its segment: then what follows is read together.
      if (await this.#readSpan(window, from, ranges)) return;
      to = runEnd(window, from);
      if (await this.#readSpan(window, from, to)) continue;
      for (let i = from; i < to; i++) await this.#readRange(window, i);
    }
  }

  /** false if the ranges are too far from each other. */
  async #readSpan(window: Window, from: number, to: number): Promise<boolean> {
    const span = spanOf(window, from, to);
    if (span === null) return false;
    const runs = runsOf(window, from, to);
    for (let start = span.start; start < span.end; start += INPUT_BYTES) {
      const end = Math.min(span.end, start + INPUT_BYTES);
      const piece = window.memory.subarray(WINDOW_BYTES, WINDOW_BYTES + end - start);
      await this.#readInto(window.files[from]!, start, piece);
      for (const run of runs) moveSamples(window, run, { start, end });
    }
    return true;
  }

  async #readRange({ memory, files, offsets, lengths, targets }: Window, i: number): Promise<void> {
    const target = memory.subarray(targets[i]!, targets[i]! + lengths[i]!);
    const file = this.#open.get(files[i]!);
    if (file === undefined || target.length > SMALL_BYTES) return await this.#readInto(files[i]!, offsets[i]!, target);
    // A read of the thread pool costs more than such a small one.
    file.seekSync(offsets[i]!, Deno.SeekMode.Start);
    const read = file.readSync(target) ?? 0;
    if (read < target.length) await this.#readInto(files[i]!, offsets[i]! + read, target.subarray(read));
  }

  async #readInto(index: number, offset: number, bytes: Uint8Array): Promise<void> {
    const file = await this.#file(index);
    file.seekSync(offset, Deno.SeekMode.Start);
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
function runEnd({ files, offsets, ranges }: Window, from: number): number {
  let to = from + 1;
  while (to < ranges && files[to] === files[from] && offsets[to]! > offsets[to - 1]!) to++;
  return to;
}

/** Ranges `next` to `end` ascend in the file; those before `next` are at their places. */
interface Run {
  next: number;
  readonly end: number;
}

function runsOf(window: Window, from: number, to: number): Run[] {
  const runs: Run[] = [];
  for (let next = from; next < to; next = runs.at(-1)!.end) {
    runs.push({ next, end: Math.min(to, runEnd(window, next)) });
  }
  return runs;
}

/** Moves the samples of a run, or their parts, from the piece of the file that was read. */
function moveSamples(
  { offsets, lengths, targets, memory }: Window,
  run: Run,
  piece: { start: number; end: number },
): void {
  for (; run.next < run.end; run.next++) {
    const [offset, length] = [offsets[run.next]!, lengths[run.next]!];
    if (offset >= piece.end) return;
    const from = Math.max(offset, piece.start);
    const to = Math.min(offset + length, piece.end);
    const source = WINDOW_BYTES + from - piece.start;
    if (to > from) memory.copyWithin(targets[run.next]! + from - offset, source, source + to - from);
    if (offset + length > piece.end) return;
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(at === 0 ? bytes : bytes.subarray(at));
}
