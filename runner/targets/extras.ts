/**
 * The small files next to an archive (poster, sprite sheet and its index): their locations, and how they are copied to a new replica.
 * A replica without them is complete.
 */

import type { ArchiveLocation } from "../../core/archive_location.ts";
import { readAll } from "../transfer/fetch_once.ts";
import type { Semaphore } from "../transfer/semaphore.ts";
import { stageSmall } from "../transfer/staged_file.ts";
import type { LockRepo, StorageTarget } from "./target.ts";

export const EXTRA_ENDINGS = [".poster.jpg", ".sprite.jpg", ".sprite.vtt"] as const;
export type ExtraEnding = typeof EXTRA_ENDINGS[number];

const MAX_EXTRA_BYTES = 4 * 1024 * 1024;

export function extraLocation(location: ArchiveLocation, ending: ExtraEnding): ArchiveLocation {
  return { ...location, path: location.path.replace(/\.mp4$/, ending) };
}

export function contentTypeOf(path: string): string {
  if (path.endsWith(".jpg")) return "image/jpeg";
  return path.endsWith(".vtt") ? "text/vtt; charset=utf-8" : "video/mp4";
}

interface Place {
  readonly target: StorageTarget;
  readonly location: ArchiveLocation;
}

/** Copies the extras that `to` does not have from the first source that has them. */
export async function copyExtras(
  sources: readonly Place[],
  to: Place,
  options: {
    dir: string;
    signal?: AbortSignal;
    semaphore: Semaphore;
    beforeCommit: () => Promise<void>;
    lockRepo?: LockRepo;
  },
): Promise<void> {
  for (const ending of EXTRA_ENDINGS) {
    const there = extraLocation(to.location, ending);
    if (await to.target.find(there, options)) continue;
    const source = await firstThatHas(sources, ending, options);
    if (source === null) return; // they are made together, in this order
    const path = await Deno.makeTempFile({ dir: options.dir, suffix: ending });
    try {
      const body = await source.target.read(extraLocation(source.location, ending), options);
      await Deno.writeFile(path, (await readAll(body, MAX_EXTRA_BYTES)).stream());
      await to.target.put(await stageSmall(path), there, options);
    } finally {
      await Deno.remove(path);
    }
  }
}

async function firstThatHas(
  sources: readonly Place[],
  ending: ExtraEnding,
  options: { signal?: AbortSignal },
): Promise<Place | null> {
  for (const source of sources) {
    const found = await source.target.find(extraLocation(source.location, ending), options);
    if (found && found.sizeBytes <= MAX_EXTRA_BYTES) return source;
  }
  return null;
}

/** Removes a copy and its extras. Returns whether the copy existed. */
export async function removeWithExtras(
  { target, location }: Place,
  options: { signal?: AbortSignal },
): Promise<"removed" | "absent"> {
  for (const ending of EXTRA_ENDINGS) await target.remove(extraLocation(location, ending), options);
  return await target.remove(location, options);
}
