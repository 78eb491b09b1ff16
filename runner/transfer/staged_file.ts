/** A finished file on disk, hashed once before it is replicated. Example: `const file = await stageFile("/work/55825-1.mp4")`. */

import { createHash } from "node:crypto";
import { StorageError } from "./storage_error.ts";

const READ_BYTES = 1 << 20;

export interface StagedFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Hex. */
  readonly sha256: string;
  /** Modification time when it was hashed, to notice later writes. */
  readonly modifiedAtMs?: number;
}

/** Reads the file once. */
export async function stageFile(path: string, options: { signal?: AbortSignal } = {}): Promise<StagedFile> {
  const before = await Deno.stat(path);
  const hash = createHash("sha256");
  const buffer = new Uint8Array(READ_BYTES);
  using file = await Deno.open(path);
  let sizeBytes = 0;
  let isVideo = false;
  for (let count = await file.read(buffer); count !== null; count = await file.read(buffer)) {
    options.signal?.throwIfAborted();
    if (sizeBytes === 0) isVideo = isMp4(buffer.subarray(0, count));
    hash.update(buffer.subarray(0, count));
    sizeBytes += count;
  }
  if (!isVideo) {
    throw new StorageError(
      "refused",
      "the staged file is not an MP4 (no ftyp box at its start); nothing else is archived",
      {
        code: "unsupported",
      },
    );
  }
  const staged = { path, sizeBytes, sha256: hash.digest("hex"), modifiedAtMs: before.mtime?.getTime() };
  await assertUnchanged(staged);
  return staged;
}

/** For small files made by this process: pictures and their index. */
export async function stageSmall(path: string): Promise<StagedFile> {
  const bytes = await Deno.readFile(path);
  return { path, sizeBytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}

/** ISO/IEC 14496-12: the file starts with an `ftyp` box. */
function isMp4(head: Uint8Array): boolean {
  return new TextDecoder("latin1").decode(head.subarray(4, 8)) === "ftyp";
}

/** Throws if the file is not the one that was hashed. */
export async function assertUnchanged(file: StagedFile): Promise<void> {
  const now = await Deno.stat(file.path).catch((cause) => {
    throw new StorageError("changed", "the staged file was deleted; stage it again", { code: "unknown", cause });
  });
  const touched = file.modifiedAtMs !== undefined && now.mtime?.getTime() !== file.modifiedAtMs;
  if (now.size !== file.sizeBytes || touched) {
    throw new StorageError("changed", "the staged file was modified after it was hashed; stage it again", {
      code: "unknown",
    });
  }
}

/**
 * A range of a file as a request body. A Blob makes fetch send Content-Length (streams are sent chunked, which signed upload URLs
 * refuse). A subclass, because a real Blob of a file would be read into memory.
 */
export class FilePart extends Blob {
  readonly #path: string;
  readonly #start: number;
  readonly #end: number;
  readonly #onRead: (bytes: number) => void;

  constructor(path: string, range: { start: number; end: number }, onRead: (bytes: number) => void = () => {}) {
    super();
    this.#path = path;
    this.#start = range.start;
    this.#end = range.end;
    this.#onRead = onRead;
  }

  override get size(): number {
    return this.#end - this.#start;
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    let file: Deno.FsFile | undefined;
    let left = this.size;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller) => {
        try {
          if (!file) {
            file = await Deno.open(this.#path);
            await file.seek(this.#start, Deno.SeekMode.Start);
          }
          const buffer = new Uint8Array(Math.min(READ_BYTES, left));
          const count = left > 0 ? await file.read(buffer) : 0;
          if (count === null) throw new StorageError("changed", "the staged file became shorter", { code: "unknown" });
          left -= count;
          this.#onRead(count);
          if (count > 0) controller.enqueue(buffer.subarray(0, count));
          if (left > 0) return;
          file.close();
          controller.close();
        } catch (error) {
          closeQuietly(file);
          throw error;
        }
      },
      cancel: () => closeQuietly(file),
    }, { highWaterMark: 0 });
  }
}

function closeQuietly(file: Deno.FsFile | undefined) {
  try {
    file?.close();
  } catch { /* closed already */ }
}
