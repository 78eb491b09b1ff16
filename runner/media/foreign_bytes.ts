/**
 * Looks for bytes that are not the media they stand in: a page or an error text that a host sent in the middle of a file, a hole that
 * was never written. Every sample is read once; nothing is decoded, which would take a hundred times as long. Runs on: Deno.
 *
 * Coded pictures and sound look like noise, so a kilobyte of text or of zeros in them is foreign; and the lengths between the NAL units
 * of H.264 and H.265 have to add up. Noise that replaces noise inside one unit is not noticed.
 */
import type { Chunk, SampleTrack } from "./sample_tables.ts";

/** Shorter runs of text are the encoder's: its name, its settings. */
const MIN_RUN_BYTES = 768;
/** A run is looked for at every so many bytes, and measured where it is found. */
const STRIDE = 32;
/** Of a run of text; padding repeats a few bytes. */
const MIN_DISTINCT_BYTES = 16;
const READ_BYTES = 4 * 1024 * 1024;

/** Zeros behind the last unit of a sample, which some writers leave. */
const MAX_PADDING_BYTES = 64;

const NAL_CODECS = new Set(["avc1", "avc2", "avc3", "avc4", "hvc1", "hev1"]);
const OTHER_CODECS = new Set(["mp4a", "ac-3", "ec-3", "Opus", "fLaC", "alac", "av01", "vp08", "vp09", "mp4v"]);

/** All but control characters, whatever the character set. */
const IS_TEXT = Uint8Array.from(
  { length: 256 },
  (_, byte) => Number(/[\t\n\r]|[^\p{Cc}]|[\u0080-\u009f]/u.test(String.fromCharCode(byte))),
);

/** What is wrong and where, or null. */
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
  for (const { track, chunk, nal } of places) {
    let { offset } = chunk;
    for (const size of nal ? chunk.sizes : [total(chunk)]) {
      signal.throwIfAborted();
      const bytes = window.has(offset, size) ?? await window.read(offset, size);
      if (bytes === null) return null; // the demuxer says so
      const problem = nal ? problemInUnits(bytes, track) : textIn(bytes, 0, bytes.length);
      if (problem !== null) return `track ${track.index} (${track.codec}) has ${problem} at byte ${offset}`;
      offset += size;
    }
  }
  return null;
}

function total({ sizes }: Chunk): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** A part of the file in memory, moved forward as samples are asked for. */
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

  /** null where the file ends before. */
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
  for (let at = start, probes = 0; at < end; at += STRIDE) {
    probes = IS_TEXT[bytes[at]!] === 1 ? probes + 1 : 0;
    if (probes < MIN_RUN_BYTES / STRIDE) continue;
    const text = runAround(bytes, at, { start, end, has: (byte) => IS_TEXT[byte] === 1 });
    if (text.length >= MIN_RUN_BYTES && new Set(text).size >= MIN_DISTINCT_BYTES) return "text in it";
    probes = 0;
  }
  return null;
}

/** An encoder breaks up three zeros (emulation prevention), so they stand at the end of a unit alone, or before a unit in its middle. */
function zerosIn(bytes: Uint8Array, start: number, end: number): string | null {
  for (let at = start + 2; at < end; at += 3) {
    if (bytes[at] !== 0 || (bytes[at - 1] !== 0 && bytes[at + 1] !== 0)) continue;
    const zeros = runAround(bytes, at, { start, end, has: (byte) => byte === 0 });
    if (zeros.length < 3) continue;
    at += zeros.length;
    const after = zeros.byteOffset - bytes.byteOffset + zeros.length;
    if (after === end ? zeros.length > MAX_PADDING_BYTES : bytes[after] !== 1) return "bytes that are not video";
  }
  return null;
}

function runAround(
  bytes: Uint8Array,
  at: number,
  { start, end, has }: { start: number; end: number; has: (byte: number) => boolean },
): Uint8Array {
  let [from, to] = [at, at];
  while (from > start && has(bytes[from - 1]!)) from--;
  while (to < end && has(bytes[to]!)) to++;
  return bytes.subarray(from, to);
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}
