/**
 * Finds bytes that do not belong to the media: an HTML page or an error text in the middle of a file, or a hole that was never written.
 * Reads every sample once without decoding, which would take a hundred times as long.
 *
 * Coded video and audio look like noise, so a kilobyte of text or zeros is foreign, and the lengths of H.264 and H.265 NAL units must
 * add up. Noise that replaces noise inside a unit is not detected.
 */
import type { Chunk, SampleTrack } from "../mp4/sample_tables.ts";

/** Shorter texts are the encoder's: its name and settings. */
const MIN_RUN_BYTES = 512;
/** A run contains an aligned block of this size, which is sampled first. */
const BLOCK_BYTES = 256;
const STRIDE = 32;
/** Smaller samples, such as silence, can have any content. */
const MIN_SAMPLE_BYTES = 16;
const READ_BYTES = 4 * 1024 * 1024;
/** Samples that are not checked one by one. */
const PIECE_BYTES = 256 * 1024;
const MAX_PIECE_BYTES = 32 * 1024 * 1024;

/** Zeros that some muxers append to a sample. */
const MAX_PADDING_BYTES = 64;

const NAL_CODECS = new Set(["avc1", "avc2", "avc3", "avc4", "hvc1", "hev1"]);
const OTHER_CODECS = new Set(["mp4a", "ac-3", "ec-3", "Opus", "fLaC", "alac", "av01", "vp08", "vp09", "mp4v"]);

/** Everything but control characters, in any character set. */
const IS_TEXT = Uint8Array.from(
  { length: 256 },
  (_, byte) => Number(/[\t\n\r]|[^\p{Cc}]|[\u0080-\u009f]/u.test(String.fromCharCode(byte))),
);

/** The problem and its position, or null. */
export async function findForeignBytes(
  file: Deno.FsFile,
  tracks: readonly SampleTrack[],
  signal: AbortSignal,
): Promise<string | null> {
  const places = tracks.flatMap((track) => {
    const nal = NAL_CODECS.has(track.codec) && track.lengthBytes !== null;
    if (!nal && !OTHER_CODECS.has(track.codec)) return [];
    return track.chunks.map((chunk) => ({ track, chunk, nal }));
  }).sort((a, b) => a.chunk.offset - b.chunk.offset);
  const window = new Window(file);
  const ends = new Map<SampleTrack, Uint8Array>();
  for (const { track, chunk, nal } of places) {
    for (const { offset, size, sizes } of pieces(chunk, nal ? 1 : PIECE_BYTES)) {
      signal.throwIfAborted();
      const bytes = window.has(offset, size) ?? await window.read(offset, size);
      if (bytes === null) return null; // reported by the demuxer
      const problem = nal ? problemInUnits(bytes, track) : textAcross(ends, track, bytes) ?? emptySample(bytes, sizes);
      if (problem !== null) return `track ${track.index} (${track.codec}) has ${problem} at byte ${offset}`;
    }
  }
  return null;
}

/** Chunks may be shorter than the text: searches the bytes together with the end of the track's chunk before. */
function textAcross(ends: Map<SampleTrack, Uint8Array>, track: SampleTrack, bytes: Uint8Array): string | null {
  const before = ends.get(track) ?? new Uint8Array(0);
  const joined = new Uint8Array(before.length + bytes.length);
  joined.set(before);
  joined.set(bytes, before.length);
  ends.set(track, joined.slice(-MIN_RUN_BYTES * 2));
  return textIn(joined, 0, joined.length);
}

/** Groups a chunk's samples into reads of limited size; skips samples that are implausibly large. */
function* pieces(
  { offset, sizes }: Chunk,
  bytes: number,
): Generator<{ offset: number; size: number; sizes: Uint32Array }> {
  for (let first = 0; first < sizes.length;) {
    let [next, size] = [first, 0];
    do size += sizes[next++]!; while (next < sizes.length && size < bytes);
    if (size <= MAX_PIECE_BYTES) yield { offset, size, sizes: sizes.subarray(first, next) };
    offset += size;
    first = next;
  }
}

/** No encoder produces a sample of only zeros. */
function emptySample(bytes: Uint8Array, sizes: Uint32Array): string | null {
  let start = 0;
  for (const size of sizes) {
    if (size >= MIN_SAMPLE_BYTES && isZero(bytes, start, start + size)) return "a hole in it";
    start += size;
  }
  return null;
}

/** A window of the file in memory, which moves forward. */
class Window {
  readonly #file: Deno.FsFile;
  #buffer = new Uint8Array(READ_BYTES);
  #start = 0;
  #length = 0;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  has(offset: number, size: number): Uint8Array | null {
    const at = offset - this.#start;
    return at >= 0 && at + size <= this.#length ? this.#buffer.subarray(at, at + size) : null;
  }

  /** null beyond the end of the file. */
  async read(offset: number, size: number): Promise<Uint8Array | null> {
    if (size > this.#buffer.length) this.#buffer = new Uint8Array(size);
    await this.#file.seek(offset, Deno.SeekMode.Start);
    this.#start = offset;
    this.#length = 0;
    while (this.#length < this.#buffer.length) {
      const count = await this.#file.read(this.#buffer.subarray(this.#length));
      if (count === null) break;
      this.#length += count;
    }
    return this.has(offset, size);
  }
}

/** Walks the NAL units of one sample. Pure. */
export function problemInUnits(
  sample: Uint8Array,
  { codec, lengthBytes }: Pick<SampleTrack, "codec" | "lengthBytes">,
): string | null {
  const hevc = codec.startsWith("h");
  for (let at = 0; at < sample.length;) {
    let length = 0;
    for (let byte = 0; byte < lengthBytes!; byte++) length = length * 256 + (sample[at + byte] ?? 0);
    const start = at + lengthBytes!;
    const end = start + length;
    const first = sample[start] ?? 0;
    const forbidden = (first & 0x80) !== 0 || (hevc && length > 1 && (sample[start + 1]! & 7) === 0);
    if (length === 0 || end > sample.length || forbidden) {
      return isZero(sample, at, sample.length) && sample.length - at < MIN_RUN_BYTES
        ? null
        : "bytes that are not video";
    }
    const type = hevc ? first >> 1 : first & 31;
    const picture = hevc ? type < 32 : type >= 1 && type <= 5;
    if (picture) {
      const problem = textIn(sample, start, end) ?? zerosIn(sample, start, end);
      if (problem !== null) return problem;
    }
    at = end;
  }
  return null;
}

function textIn(bytes: Uint8Array, start: number, end: number): string | null {
  for (let block = start; block + BLOCK_BYTES <= end; block += BLOCK_BYTES) {
    let at = block + BLOCK_BYTES - STRIDE;
    while (at >= block && IS_TEXT[bytes[at]!] === 1) at -= STRIDE;
    if (at >= block) continue;
    let [from, to] = [block, block];
    while (from > start && IS_TEXT[bytes[from - 1]!] === 1) from--;
    while (to < end && IS_TEXT[bytes[to]!] === 1) to++;
    if (to - from < MIN_RUN_BYTES) continue;
    if (!isPadding(bytes.subarray(from, to))) return "text in it";
    block = to;
  }
  return null;
}

/** Emulation prevention breaks up three zeros, so they only follow the last unit, or precede a start code. */
function zerosIn(bytes: Uint8Array, start: number, end: number): string | null {
  for (let at = start + 2; at < end; at += 3) {
    if (bytes[at] !== 0 || (bytes[at - 1] !== 0 && bytes[at + 1] !== 0)) continue;
    let [from, to] = [at, at];
    while (from > start && bytes[from - 1] === 0) from--;
    while (to < end && bytes[to] === 0) to++;
    if (to - from < 3) continue;
    if (to - from > MAX_PADDING_BYTES || (to < end && bytes[to] !== 1)) return "bytes that are not video";
    at = to;
  }
  return null;
}

/** MP3 encoders pad frames with a repeated letter. */
function isPadding(text: Uint8Array): boolean {
  const counts = new Uint32Array(256);
  for (const byte of text) counts[byte]!++;
  return Math.max(...counts) > text.length / 2;
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}
