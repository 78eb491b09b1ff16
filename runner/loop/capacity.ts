/**
 * How many more jobs can come to an end here: there is a storage target to write to, and room in the work directory.
 * Example: `await createCapacity(parts)()` → { jobs: 0, missing: { code: "disk_full", reason: "…" } }. Runs on: Deno.
 */
import type { DiskBudget } from "../work_dir/disk_budget.ts";
import type { HealthBook } from "../archive/health.ts";

/** How long what is kept for other jobs to go on with may fill a disk on which nothing fits and nothing runs. */
const KEPT_ON_FULL_DISK_MS = 60_000;

export type Capacity = {
  readonly jobs: number;
  /** What is missing where there is room for none. */
  readonly missing?: { readonly code: "disk_full" | "storage_5xx"; readonly reason: string };
};

export function createCapacity(parts: {
  readonly targets: readonly { readonly name: string }[];
  readonly health: Pick<HealthBook, "closedFor">;
  readonly disk: Pick<DiskBudget, "room" | "problem">;
  /** How many jobs run here. */
  readonly running: () => number;
  /** Removes what no job here holds. */
  readonly removeKept: () => Promise<void>;
  readonly now: () => number;
}): () => Promise<Capacity> {
  let fullSince: number | null = null;

  async function diskRoom(): Promise<number> {
    const jobs = await parts.disk.room();
    if (jobs > 0 || parts.running() > 0) {
      fullSince = null;
      return jobs;
    }
    fullSince ??= parts.now();
    if (parts.now() - fullSince < KEPT_ON_FULL_DISK_MS) return 0;
    fullSince = null;
    await parts.removeKept();
    return await parts.disk.room();
  }

  return async () => {
    if (parts.targets.every(({ name }) => parts.health.closedFor(name) !== null)) {
      return { jobs: 0, missing: { code: "storage_5xx", reason: "no storage target can be written to now" } };
    }
    const jobs = await diskRoom();
    if (jobs > 0) return { jobs };
    const reason = await parts.disk.problem() ?? "the work directory has no room beside the jobs that run";
    return { jobs: 0, missing: { code: "disk_full", reason } };
  };
}
