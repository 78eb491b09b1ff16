/**
 * Reads the sidecars of an archive from its copies, to store them beside another copy.
 * Example: `beside: () => readSidecars([{ target: alice, location }], { dir, signal })`.
 */

import type { ArchiveLocation } from "../../core/archive_location.ts";
import type { Sidecar, StorageTarget } from "../targets/target.ts";
import { sidecarLocation } from "../targets/sidecars.ts";
import { readAll } from "../transfer/fetch_once.ts";
import { stageSmall } from "../transfer/staged_file.ts";

export const MAX_SIDECAR_BYTES = 4 * 1024 * 1024;

export interface Place {
  readonly target: StorageTarget;
  readonly location: ArchiveLocation;
}

/** Each sidecar from the first place that has it. Best-effort step: what cannot be read is left out. */
export async function readSidecars(
  places: readonly Place[],
  { dir, signal }: { dir: string; signal?: AbortSignal },
): Promise<Sidecar[]> {
  const read = new Map<string, Sidecar>();
  for (const { target, location } of places) {
    const endings = await target.sidecarsOf(location, { signal }).catch(() => []);
    for (const ending of endings.filter((ending) => !read.has(ending))) {
      signal?.throwIfAborted();
      const path = `${dir}/copy${ending}`;
      try {
        const body = await target.read(sidecarLocation(location, ending), { signal });
        await Deno.writeFile(path, (await readAll(body, MAX_SIDECAR_BYTES)).stream());
        read.set(ending, { ending, file: await stageSmall(path) });
      } catch { /* the next place may have it; a copy without it is repaired when it is verified */ }
    }
  }
  return [...read.values()];
}
