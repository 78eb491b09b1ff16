/**
 * Writes an MP4 from samples of other MP4s: moov in front, one pass, hashed on the way. Samples are interleaved by second.
 * Example: `await writeMovie(tracks, { output, signal })` → { path, sizeBytes, sha256 }.
 */
import { createHash } from "node:crypto";
import type { FinalFile } from "./fast_start.ts";
import { buildMoov, FTYP, type OutputTrack } from "./moov.ts";

const READ_BYTES = 1 << 20;
const MAX_OPEN_FILES = 16;
const INTERLEAVE_SECONDS = 1;
/** mdat with a 64-bit size. */
const MDAT_HEADER_BYTES = 16;

export async function writeMovie(
  tracks: readonly OutputTrack[],
  { output, signal }: { output: string; signal: AbortSignal },
): Promise<FinalFile> {
  using file = await Deno.open(output, { create: true, write: true, truncate: true });
  const hash = createHash("sha256");
  let sizeBytes = 0;
  await streamMovie(tracks, async (bytes) => {
    signal.throwIfAborted();
    hash.update(bytes);
    sizeBytes += bytes.length;
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    return true;
  });
  return { path: output, sizeBytes, sha256: hash.digest("hex") };
}

/** The same bytes, in order. Ends early if `write` returns false. The bytes are reused once `write` has settled. */
export async function streamMovie(
  tracks: readonly OutputTrack[],
  write: (bytes: Uint8Array) => Promise<boolean>,
): Promise<void> {
  const chunks = interleave(tracks);
  const mediaBytes = chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
  // The length of moov does not depend on the offsets, which have 64 bits.
  const moovBytes = buildMoov(tracks, layOut(chunks, 0)).length;
  const moov = buildMoov(tracks, layOut(chunks, FTYP.length + moovBytes + MDAT_HEADER_BYTES));
  for (const head of [FTYP, moov, mdatHeader(mediaBytes)]) if (!await write(head)) return;
  using inputs = new Inputs();
  for (const chunk of chunks) if (!await copyChunk(chunk, { tracks, inputs, write })) return;
}

/** Consecutive samples of a track. */
export interface OutputChunk {
  readonly track: number;
  readonly first: number;
  readonly count: number;
  readonly bytes: number;
}

function interleave(tracks: readonly OutputTrack[]): OutputChunk[] {
  const chunks: (OutputChunk & { seconds: number })[] = [];
  for (const [track, { samples, timescale }] of tracks.entries()) {
    for (let first = 0; first < samples.count;) {
      const seconds = samples.decode[first]! / timescale;
      let [next, bytes] = [first, 0];
      while (next < samples.count && samples.decode[next]! / timescale < seconds + INTERLEAVE_SECONDS) {
        bytes += samples.sizes[next++]!;
      }
      chunks.push({ track, first, count: next - first, bytes, seconds: seconds + tracks[track]!.start });
      first = next;
    }
  }
  return chunks.sort((a, b) => a.seconds - b.seconds || a.track - b.track);
}

/** Offsets per track, in order. */
function layOut(chunks: readonly OutputChunk[], start: number): { count: number; offset: number }[][] {
  const placed: { count: number; offset: number }[][] = [];
  let offset = start;
  for (const { track, count, bytes } of chunks) {
    (placed[track] ??= []).push({ count, offset });
    offset += bytes;
  }
  return placed;
}

async function copyChunk(
  chunk: OutputChunk,
  { tracks, inputs, write }: {
    tracks: readonly OutputTrack[];
    inputs: Inputs;
    write: (bytes: Uint8Array) => Promise<boolean>;
  },
): Promise<boolean> {
  const { samples, files } = tracks[chunk.track]!;
  const end = chunk.first + chunk.count;
  for (let first = chunk.first; first < end;) {
    const file = samples.files[first]!;
    const offset = samples.offsets[first]!;
    let [next, length] = [first, 0];
    // Samples next to each other in the input are read together.
    while (next < end && samples.files[next] === file && samples.offsets[next] === offset + length) {
      length += samples.sizes[next++]!;
    }
    if (!await inputs.read(files[file]!, { offset, length }, write)) return false;
    first = next;
  }
  return true;
}

/** A few open files, and one buffer. */
class Inputs implements Disposable {
  readonly #open = new Map<string, Deno.FsFile>();
  readonly #buffer = new Uint8Array(READ_BYTES);

  async read(
    path: string,
    { offset, length }: { offset: number; length: number },
    use: (bytes: Uint8Array) => Promise<boolean>,
  ): Promise<boolean> {
    const file = await this.#file(path);
    await file.seek(offset, Deno.SeekMode.Start);
    for (let left = length; left > 0;) {
      const read = await file.read(this.#buffer.subarray(0, Math.min(left, READ_BYTES)));
      if (read === null) throw new Deno.errors.UnexpectedEof(`${path} became shorter while it was read`);
      if (!await use(this.#buffer.subarray(0, read))) return false;
      left -= read;
    }
    return true;
  }

  async #file(path: string): Promise<Deno.FsFile> {
    const kept = this.#open.get(path);
    if (kept !== undefined) return kept;
    const [oldest] = this.#open;
    if (oldest !== undefined && this.#open.size === MAX_OPEN_FILES) {
      oldest[1].close();
      this.#open.delete(oldest[0]);
    }
    const file = await Deno.open(path);
    this.#open.set(path, file);
    return file;
  }

  [Symbol.dispose](): void {
    for (const file of this.#open.values()) file.close();
  }
}

function mdatHeader(mediaBytes: number): Uint8Array {
  const header = new Uint8Array(MDAT_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, 1);
  header.set(new TextEncoder().encode("mdat"), 4);
  view.setBigUint64(8, BigInt(mediaBytes + MDAT_HEADER_BYTES));
  return header;
}
