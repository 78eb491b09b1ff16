/**
 * Downloads a mega file in parallel ranges, decrypted on the way to disk, resumable, and only accepted when its MAC is right.
 * Example: `await downloadMega({ url, sizeBytes }, { path, key, connections: 8, … })`. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { MediaRequest } from "../network/guarded_fetch.ts";
import { type Chunk, chunkMac, decryptAt, importMegaKey, macMatches, megaChunks, type MegaKey } from "./mega_crypto.ts";
import { fetchPiece, giveBack } from "./segment_fetch.ts";

const SPAN_BYTES = 4 * 1024 * 1024;
const TRIES = 5;
const RETRY_BASE_MS = 300;

export type MegaSource = { readonly url: string; readonly sizeBytes: number };

export type MegaOptions = MediaRequest & {
  readonly path: string;
  /** base64url of 32 bytes. */
  readonly key: string;
  readonly connections: number;
  /** A fresh address of the same file. */
  readonly sourceAgain: () => Promise<MegaSource>;
  readonly onProgress: (done: number) => void;
};

/** Neighbouring chunks that are fetched with one request. */
type Span = Chunk & { readonly chunks: readonly Chunk[] };

export async function downloadMega(source: MegaSource, options: MegaOptions): Promise<void> {
  const key = await importMegaKey(options.key);
  if (key === null) throw new KeepstreamError("invalid_input", "the link's key is not 32 bytes");
  if (source.sizeBytes === 0) throw new KeepstreamError("unsupported", "the file is empty");
  const spans = groupChunks(megaChunks(source.sizeBytes));
  const journalPath = `${options.path}.mega`;
  const macs = await readJournal(journalPath, { id: `${options.key} ${source.sizeBytes}`, path: options.path });
  using journal = await Deno.open(journalPath, { write: true, append: true });
  let url = source.url;
  let refreshes = 0;
  const todo = spans.filter((span) => !macs.has(span.offset));
  let done = source.sizeBytes - todo.reduce((sum, span) => sum + span.length, 0);
  options.onProgress(done);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);

  const worker = async () => {
    using file = await Deno.open(options.path, { write: true, create: true });
    for (let span = todo.shift(); span !== undefined; span = todo.shift()) {
      const clear = await fetchWithTries(span);
      const own = await Promise.all(
        span.chunks.map((chunk) =>
          chunkMac(clear.subarray(chunk.offset - span.offset, chunk.offset - span.offset + chunk.length), key)
        ),
      );
      await file.seek(span.offset, Deno.SeekMode.Start);
      for (let at = 0; at < clear.length;) at += await file.write(clear.subarray(at));
      giveBack(clear);
      macs.set(span.offset, own);
      const line = JSON.stringify({ offset: span.offset, macs: own.map((mac) => mac.toHex()) });
      journal.writeSync(new TextEncoder().encode(`${line}\n`)); // one write: lines of two workers never mix
      done += span.length;
      options.onProgress(done);
    }
  };

  async function fetchWithTries(span: Span): Promise<Uint8Array<ArrayBuffer>> {
    for (let attempt = 1;; attempt++) {
      const asked = url;
      try {
        const piece = { url, byteRange: { offset: span.offset, length: span.length } };
        const bytes = await fetchPiece(piece, { ...options, signal, dropSlow: attempt < TRIES - 1 });
        const clear = await decryptAt(bytes, span.offset, key as MegaKey);
        giveBack(bytes);
        return clear;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof KeepstreamError) || !error.retryable || attempt >= TRIES) throw error;
        if (error.code === "source_expired" && url === asked && refreshes++ < TRIES) {
          const fresh = await options.sourceAgain();
          if (fresh.sizeBytes !== source.sizeBytes) {
            throw new KeepstreamError("source_expired", "the file changed on the host");
          }
          url = fresh.url;
        }
        await new Promise((next) => setTimeout(next, RETRY_BASE_MS * 2 ** (attempt - 1) * (0.5 + Math.random())));
        signal.throwIfAborted();
      }
    }
  }

  await Promise.all(Array.from({ length: Math.min(options.connections, todo.length) }, () =>
    worker().catch((error) => {
      stop.abort(error);
    })));
  options.signal.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  const inOrder = spans.flatMap((span) => macs.get(span.offset)!);
  if (await macMatches(inOrder, key)) return;
  await Deno.remove(options.path).catch(() => {});
  await Deno.remove(journalPath).catch(() => {});
  throw new KeepstreamError("unsupported", "the file's checksum (MAC) is wrong: these are not the bytes of this link");
}

function groupChunks(chunks: readonly Chunk[]): Span[] {
  const spans: { offset: number; length: number; chunks: Chunk[] }[] = [];
  for (const chunk of chunks) {
    const last = spans.at(-1);
    if (last !== undefined && last.length + chunk.length <= SPAN_BYTES) {
      last.length += chunk.length;
      last.chunks.push(chunk);
    } else {
      spans.push({ ...chunk, chunks: [chunk] });
    }
  }
  return spans;
}

/** The spans on disk with their MACs; a journal of another file, or without its file, is begun anew. */
async function readJournal(
  path: string,
  options: { id: string; path: string },
): Promise<Map<number, Uint8Array[]>> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(options.id));
  const head = JSON.stringify({ file: new Uint8Array(digest).toHex() });
  const [first, ...lines] = (await Deno.readTextFile(path).catch(() => "")).split("\n");
  const macs = new Map<number, Uint8Array[]>();
  const fileThere = await Deno.stat(options.path).then(() => true, () => false);
  if (first === head && fileThere) {
    for (const line of lines) {
      try {
        const entry = JSON.parse(line) as { offset: number; macs: string[] };
        macs.set(entry.offset, entry.macs.map((mac) => Uint8Array.fromHex(mac)));
      } catch {
        // the last line may be half written; an empty one ends the file
      }
    }
    if (!(await Deno.readTextFile(path)).endsWith("\n")) await Deno.writeTextFile(path, "\n", { append: true });
    return macs;
  }
  await Deno.remove(options.path).catch(() => {});
  await Deno.writeTextFile(path, `${head}\n`);
  return macs;
}
