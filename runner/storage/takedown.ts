// Takes a title or one of its episodes down: rows first, so that nothing new is stored, then the bytes on every target.
// Can be repeated: what lies at the title's addresses is removed whether rows still name it or not. Runs on: Deno.

import type { ArchiveAddress } from "../../core/archive_address.ts";
import { redactText } from "../../core/redact.ts";
import type { ArchiveStore } from "./archive_store.ts";
import { removeWithExtras } from "./extras.ts";
import { directoryOf, type StorageTarget, type Title } from "./target.ts";

export interface TakedownReport {
  readonly jobs: number;
  readonly files: number;
  /** What could not be removed, and why; run it again when that is mended. */
  readonly left: { readonly target: string; readonly reason: string }[];
}

export async function takeDown(
  title: Title,
  options: { store: ArchiveStore; targets: readonly StorageTarget[]; signal?: AbortSignal },
): Promise<TakedownReport> {
  const { store, targets, signal } = options;
  const { jobs, copies } = await store.takeDown(title.malId, title.episode);
  const left: TakedownReport["left"] = [];
  let files = 0;
  for (const target of targets) {
    try {
      files += await target.removeTitle(title, { signal });
      // Copies under an earlier name (another prefix) are removed by the address their rows had.
      const { repo, directory } = directoryOf(target, title);
      const elsewhere = (copy: ArchiveAddress) => copy.repo !== repo || !copy.path.startsWith(directory);
      for (const address of copies.filter((copy) => copy.target === target.name && elsewhere(copy))) {
        if (await removeWithExtras({ target, address }, { signal }) === "removed") files++;
      }
    } catch (error) {
      signal?.throwIfAborted();
      left.push({ target: target.name, reason: redactText(error instanceof Error ? error.message : String(error)) });
    }
  }
  for (const name of new Set(copies.map((copy) => copy.target))) {
    if (!targets.some((target) => target.name === name)) {
      left.push({ target: name, reason: "it is not configured here" });
    }
  }
  return { jobs, files, left };
}
