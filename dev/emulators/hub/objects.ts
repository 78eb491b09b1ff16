// The large objects of the hub on disk: finished objects by SHA-256, and uploads in progress.
// objects/ab/abcdef… is a finished object, uploads/<id>.part an upload in progress.

import { createHash, randomUUID } from "node:crypto";

const COPY_BYTES = 1 << 18;

export interface Upload {
  readonly id: string;
  readonly oid: string;
  readonly size: number;
  readonly chunkSize: number | null;
  readonly repoKey: string;
  readonly parts: Map<number, { etag: string; size: number }>;
}

export type Arrival = { readonly kind: "stored"; readonly etag: string; readonly size: number } | {
  readonly kind: "short";
};

/** Stores the bytes; the discarding kind only counts them (for measurements of many GiB). */
export interface ObjectStore {
  begin(upload: { oid: string; size: number; chunkSize: number | null; repoKey: string }): Upload;
  find(uploadId: string): Upload | undefined;
  /** Writes one part (1-based; a basic upload is part 1). `keepBytes` stores fewer bytes than arrived, for the truncation failure. */
  receive(
    upload: Upload,
    part: {
      number: number;
      body: ReadableStream<Uint8Array> | null;
      contentLength: number;
      keepBytes?: number;
      onBytes: (count: number) => void;
    },
  ): Promise<Arrival>;
  /** Turns the upload into an object, or returns why its bytes do not match. */
  finish(upload: Upload): Promise<"stored" | "mismatch">;
  writeSmall(oid: string, bytes: Uint8Array): Promise<void>;
  readSmall(oid: string): Promise<Uint8Array>;
  /** Bytes [start, end] of an object. */
  open(oid: string, range: { start: number; end: number }): Promise<ReadableStream<Uint8Array>>;
  remove(oid: string): Promise<void>;
}

export async function openObjectStore(dir: string, options: { discard: boolean }): Promise<ObjectStore> {
  await Deno.mkdir(`${dir}/objects`, { recursive: true });
  await Deno.mkdir(`${dir}/uploads`, { recursive: true });
  const uploads = new Map<string, Upload>();
  const objectPath = (oid: string) => `${dir}/objects/${oid.slice(0, 2)}/${oid}`;
  const uploadPath = (upload: Upload) => `${dir}/uploads/${upload.id}.part`;

  async function intoPlace(oid: string, write: (path: string) => Promise<void>) {
    await Deno.mkdir(`${dir}/objects/${oid.slice(0, 2)}`, { recursive: true });
    await write(objectPath(oid));
  }

  return {
    begin(wanted) {
      const upload: Upload = { ...wanted, id: randomUUID(), parts: new Map() };
      uploads.set(upload.id, upload);
      return upload;
    },
    find: (uploadId) => uploads.get(uploadId),

    async receive(upload, { number, body, contentLength, keepBytes, onBytes }) {
      const offset = (number - 1) * (upload.chunkSize ?? 0);
      const hash = createHash("md5");
      let arrived = 0;
      const file = options.discard ? null : await Deno.open(uploadPath(upload), { create: true, write: true });
      try {
        await file?.seek(offset, Deno.SeekMode.Start);
        for await (const chunk of body ?? []) {
          onBytes(chunk.byteLength);
          const kept = keepBytes === undefined ? chunk : chunk.subarray(0, Math.max(0, keepBytes - arrived));
          if (!options.discard) hash.update(kept);
          arrived += chunk.byteLength;
          if (file) await writeAll(file, kept);
        }
      } finally {
        file?.close();
      }
      if (arrived !== contentLength) return { kind: "short" };
      const etag = options.discard ? `"${upload.id}-${number}"` : `"${hash.digest("hex")}"`;
      upload.parts.set(number, { etag, size: Math.min(arrived, keepBytes ?? arrived) });
      return { kind: "stored", etag, size: arrived };
    },

    async finish(upload) {
      const received = [...upload.parts.values()].reduce((sum, part) => sum + part.size, 0);
      uploads.delete(upload.id);
      if (options.discard) return received === upload.size ? "stored" : "mismatch";
      const hash = createHash("sha256");
      if (upload.size > 0) { for await (const chunk of readRange(uploadPath(upload))) hash.update(chunk); }
      else await Deno.writeFile(uploadPath(upload), new Uint8Array());
      if (received !== upload.size || hash.digest("hex") !== upload.oid) {
        await Deno.remove(uploadPath(upload)).catch(() => {});
        return "mismatch";
      }
      await intoPlace(upload.oid, (path) => Deno.rename(uploadPath(upload), path));
      return "stored";
    },

    writeSmall: (oid, bytes) => intoPlace(oid, (path) => Deno.writeFile(path, bytes)),
    readSmall: (oid) => Deno.readFile(objectPath(oid)),
    open: (oid, range) => Promise.resolve(readRange(objectPath(oid), range)),
    remove: (oid) => Deno.remove(objectPath(oid)).catch(() => {}),
  };
}

function readRange(path: string, range?: { start: number; end: number }): ReadableStream<Uint8Array> {
  let file: Deno.FsFile | undefined;
  let left = range ? range.end - range.start + 1 : Infinity;
  return new ReadableStream({
    async pull(controller) {
      if (!file) {
        file = await Deno.open(path);
        if (range) await file.seek(range.start, Deno.SeekMode.Start);
      }
      const buffer = new Uint8Array(Math.min(COPY_BYTES, left));
      const count = left > 0 ? await file.read(buffer) : null;
      if (count === null) {
        file.close();
        controller.close();
        return;
      }
      left -= count;
      controller.enqueue(buffer.subarray(0, count));
    },
    cancel: () => file?.close(),
  }, { highWaterMark: 0 });
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array) {
  for (let written = 0; written < bytes.byteLength;) written += await file.write(bytes.subarray(written));
}
