/**
 * How many more jobs can succeed now: a storage target must accept writes, and the work directory must have space.
 * Example: `await createCapacity(parts)()` → { jobs: 0, missing: { code: "disk_full", reason: "…" } }.
 */
import type { DiskBudget } from "../work_dir/disk_budget.ts";
import type { CircuitBreaker } from "../archive/circuit_breaker.ts";

/** How long resumable files may fill the disk while no job runs and none fits. */
const KEPT_ON_FULL_DISK_MS = 60_000;

export type Capacity = {
  readonly jobs: number;
  /** Why `jobs` is 0. */
  readonly missing?: { readonly code: "disk_full" | "storage_5xx"; readonly reason: string };
};

export function createCapacity(parts: {
  readonly targets: readonly { readonly name: string }[];
  readonly breaker: Pick<CircuitBreaker, "openReason">;
  readonly disk: Pick<DiskBudget, "capacity" | "problem">;
  /** Number of running jobs. */
  readonly running: () => number;
  /** Deletes the files of jobs that do not run here. */
  readonly removeKept: () => Promise<void>;
  readonly now: () => number;
}): () => Promise<Capacity> {
  let fullSince: number | null = null;

  async function diskRoom(): Promise<number> {
    const jobs = await parts.disk.capacity();
    if (jobs > 0 || parts.running() > 0) {
      fullSince = null;
      return jobs;
    }
    fullSince ??= parts.now();
    if (parts.now() - fullSince < KEPT_ON_FULL_DISK_MS) return 0;
    fullSince = null;
    await parts.removeKept();
    return await parts.disk.capacity();
  }

  return async () => {
    if (parts.targets.every(({ name }) => parts.breaker.openReason(name) !== null)) {
      return { jobs: 0, missing: { code: "storage_5xx", reason: "no storage target accepts writes now" } };
    }
    const jobs = await diskRoom();
    if (jobs > 0) return { jobs };
    const reason = await parts.disk.problem() ?? "the work directory has no space for another job";
    return { jobs: 0, missing: { code: "disk_full", reason } };
  };
}
