/** Removes copies that a new archive of the same video replaced at another location. Example: `await removeObsolete({ store, targets })`. */

import type { ArchiveStore } from "./archive_store.ts";
import type { StorageTarget } from "../targets/target.ts";

/** Returns how many were removed. A copy that cannot be removed is claimed again later. */
export async function removeObsolete(
  { store, targets, signal, onError }: {
    store: Pick<ArchiveStore, "claimObsolete" | "forgetObsolete">;
    targets: readonly StorageTarget[];
    signal?: AbortSignal;
    onError: (error: unknown) => void;
  },
): Promise<number> {
  let removed = 0;
  for (const copy of await store.claimObsolete(targets.map((target) => target.name))) {
    const target = targets.find((candidate) => candidate.name === copy.target);
    if (target === undefined) continue;
    try {
      await target.remove(copy.location, signal === undefined ? {} : { signal });
      await store.forgetObsolete(copy.id);
      removed++;
    } catch (error) {
      signal?.throwIfAborted();
      onError(error);
    }
  }
  return removed;
}
