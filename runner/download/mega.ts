/**
 * Downloads a mega file in parallel ranges, decrypts it while writing, resumes, and accepts it only if its MAC is right.
 * Example: `await downloadMega({ url, sizeBytes }, { path, key, connections: 8, … })`.
 */
import { isRetryable, KeepstreamError } from "../../core/errors.ts";
import { retry } from "../../core/retry.ts";
import type { MediaRequest } from "../network/guarded_fetch.ts";
import { type Chunk, chunkMac, decryptAt, importMegaKey, macMatches, megaChunks, type MegaKey } from "./mega_crypto.ts";
import { MEGA_RANGE_FETCH } from "../retry_policies.ts";
import { fetchPiece, giveBack } from "./segment_fetch.ts";

const SPAN_BYTES = 4 * 1024 * 1024;

export type MegaSource = { readonly url: string; readonly sizeBytes: number };

export type MegaOptions = MediaRequest & {
  readonly path: string;
  /** base64url of 32 bytes. */
  readonly key: string;
  readonly connections: number;
  /** Resolves a new URL of the same file. */
  readonly resolveAgain: () => Promise<MegaSource>;
  readonly onProgress: (done: number) => void;
};

/** Adjacent chunks, fetched with one request. */
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
      const clear = await fetchWithRetry(span);
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
      journal.writeSync(new TextEncoder().encode(`${line}\n`)); // one write, so that lines of two workers do not mix
      done += span.length;
      options.onProgress(done);
    }
  };

  async function fetchWithRetry(span: Span): Promise<Uint8Array<ArrayBuffer>> {
    let triedUrl = url;
    const fetchOnce = async (attempt: number) => {
      triedUrl = url;
      const piece = { url, byteRange: { offset: span.offset, length: span.length } };
      const dropSlow = attempt < MEGA_RANGE_FETCH.attempts - 1;
      const bytes = await fetchPiece(piece, { ...options, signal, dropSlow });
      const clear = await decryptAt(bytes, span.offset, key as MegaKey);
      giveBack(bytes);
      return clear;
    };
    const onRetry = async (error: unknown) => {
      if ((error as KeepstreamError).code === "source_expired" && url === triedUrl) await refresh();
    };
    return await retry(fetchOnce, MEGA_RANGE_FETCH, { signal, retryable: isRetryable, onRetry });
  }

  async function refresh(): Promise<void> {
    if (refreshes++ >= MEGA_RANGE_FETCH.attempts) return;
    const fresh = await options.resolveAgain();
    if (fresh.sizeBytes !== source.sizeBytes) {
      throw new KeepstreamError("source_expired", "the file changed on the host");
    }
    url = fresh.url;
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

/** MACs of the spans on disk. A journal of another file, or whose file is missing, is replaced. */
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
        // the last line may be incomplete or empty
      }
    }
    if (!(await Deno.readTextFile(path)).endsWith("\n")) await Deno.writeTextFile(path, "\n", { append: true });
    return macs;
  }
  await Deno.remove(options.path).catch(() => {});
  await Deno.writeTextFile(path, `${head}\n`);
  return macs;
}
