/**
 * Takes down a title or an episode: first the rows, so that nothing new is stored, then the bytes on every target. Can be repeated: files
 * of the title are removed even if no row refers to them, and targets that may still have some stay recorded, even if not configured.
 */

import type { ArchiveLocation } from "../../core/archive_location.ts";
import { redactText } from "../../core/redact.ts";
import type { ArchiveStore } from "./archive_store.ts";
import { directoryOf, type StorageTarget, type Title } from "../targets/target.ts";

export interface TakedownReport {
  readonly jobs: number;
  readonly files: number;
  /** What could not be removed, and why. Fix the reason and repeat the takedown. */
  readonly left: { readonly target: string; readonly reason: string }[];
}

export async function takeDown(
  title: Title,
  options: { store: ArchiveStore; targets: readonly StorageTarget[]; signal?: AbortSignal },
): Promise<TakedownReport> {
  const { store, targets, signal } = options;
  const { jobs, copies, targets: open } = await store.takeDown(title, targets.map((target) => target.name));
  const left: TakedownReport["left"] = [];
  let files = 0;
  for (const target of targets) {
    try {
      files += await target.removeTitle(title, { signal });
      // Copies with another prefix are removed by the location in their rows.
      const { repo, directory } = directoryOf(target, title);
      const elsewhere = (copy: ArchiveLocation) => copy.repo !== repo || !copy.path.startsWith(directory);
      for (const location of copies.filter((copy) => copy.target === target.name && elsewhere(copy))) {
        if (await target.remove(location, { signal }) === "removed") files++;
      }
      await store.finishTakedown(title, target.name);
    } catch (error) {
      signal?.throwIfAborted();
      left.push({ target: target.name, reason: redactText(error instanceof Error ? error.message : String(error)) });
    }
  }
  for (const name of open) {
    if (!targets.some((target) => target.name === name)) {
      left.push({ target: name, reason: "it is not configured here" });
    }
  }
  return { jobs, files, left };
}
