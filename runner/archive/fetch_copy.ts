/**
 * Downloads an archive from its verified copies, the first that has the recorded hash.
 * Example: `const file = await fetchCopy(repair, { ...tools, path: "copy.mp4", space })`.
 */

import { createHash } from "node:crypto";
import { type ErrorClass, KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import type { StorageTarget } from "../targets/target.ts";
import type { StagedFile } from "../transfer/staged_file.ts";
import { StorageError } from "../transfer/storage_error.ts";
import type { Reservation } from "../work_dir/disk_budget.ts";
import type { ArchiveStore } from "./archive_store.ts";
import type { CircuitBreaker } from "./circuit_breaker.ts";

export interface FetchedArchive {
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
  readonly sources: readonly { id: string; target: string; repo: string; path: string }[];
}

export interface FetchTools {
  readonly store: Pick<ArchiveStore, "reportDamaged" | "reportMissing">;
  readonly targets: readonly StorageTarget[];
  readonly breaker: CircuitBreaker;
  readonly signal?: AbortSignal;
}

/** No verified copy can be read now. This says nothing about the target without a copy. */
export class SourcesUnseen extends KeepstreamError {}

/** Reports copies with other bytes. */
export async function fetchCopy(
  wanted: FetchedArchive,
  { path, space, ...tools }: FetchTools & { path: string; space: Reservation },
): Promise<StagedFile> {
  let failure: KeepstreamError = new SourcesUnseen("storage_missing", "no verified copy is left to repair from");
  for (const source of wanted.sources) {
    const target = tools.targets.find((candidate) => candidate.name === source.target);
    const closed = target && tools.breaker.openReason(target.name);
    if (!target || closed) {
      failure = new SourcesUnseen("storage_5xx", closed?.message ?? `${source.target} is not configured here`);
      continue;
    }
    try {
      const staged = await download(await target.read(source, { signal: tools.signal }), {
        path,
        maxBytes: wanted.sizeBytes ?? Infinity,
        space,
      });
      if (wanted.sha256 === null ? staged.sizeBytes === wanted.sizeBytes : staged.sha256 === wanted.sha256) {
        return staged;
      }
      failure = new KeepstreamError(
        "storage_missing",
        `the copy on ${target.name} has other bytes than were archived`,
      );
      await tools.store.reportDamaged(source.id, { error: "the copy has other bytes than were archived" });
    } catch (error) {
      tools.signal?.throwIfAborted();
      if (error instanceof KeepstreamError && error.code === "disk_full") throw error;
      failure = new SourcesUnseen(...reasonOf(error));
      if (error instanceof StorageError && error.problem === "missing") {
        await tools.store.reportMissing(source.id, { error: error.message });
      }
    }
  }
  throw failure;
}

async function download(
  body: ReadableStream<Uint8Array>,
  { path, maxBytes, space }: { path: string; maxBytes: number; space: Reservation },
): Promise<StagedFile> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  using file = await Deno.open(path, { create: true, truncate: true, write: true });
  for await (const chunk of body) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) break; // longer than what was archived
    for (let written = 0; written < chunk.byteLength;) written += await file.write(chunk.subarray(written));
    space.wrote(sizeBytes);
  }
  return { path, sizeBytes, sha256: hash.digest("hex"), modifiedAtMs: (await file.stat()).mtime?.getTime() };
}

export function reasonOf(error: unknown): [ErrorClass, string] {
  const message = redactText(error instanceof Error ? error.message : String(error));
  return [error instanceof KeepstreamError ? error.code : "unknown", message];
}
