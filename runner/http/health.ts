/**
 * Whether this runner can work: the queue answers to this key, a storage target can be written to, the work directory has room.
 * The answer is kept for some seconds and shared by whoever asks meanwhile, so that no monitor keeps the database busy.
 * Example: `await checkHealth()` → ["queue: it refuses this key"]. Runs on: Deno.
 */
import { shareFor } from "./share.ts";
import { QueueRefusal } from "../loop/queue.ts";
import type { HealthBook } from "../storage/health.ts";
import type { StorageTarget } from "../storage/target.ts";

const KEPT_MS = 5000;
const STORAGE_KEPT_MS = 30_000;
const PROBE_TIMEOUT_MS = 4000;

export type HealthOptions = {
  /** Rejects when the queue cannot be read with this key. */
  readonly queue: () => Promise<unknown>;
  readonly targets: readonly Pick<StorageTarget, "name" | "probe">[];
  readonly book: Pick<HealthBook, "all" | "closedFor" | "succeeded">;
  /** Why the work directory takes no job now, or null. */
  readonly disk: () => Promise<string | null>;
};

/** Answers the reasons why the runner cannot work: none when it can. They name no address and no account. */
export function createHealthCheck(options: HealthOptions): () => Promise<readonly string[]> {
  const anyTarget = shareFor(STORAGE_KEPT_MS, () => probeAny(options));
  return shareFor(KEPT_MS, async () => {
    const reasons = await Promise.all([
      options.queue().then(() => null, queueReason),
      hasTarget(options, anyTarget),
      options.disk().then((reason) => reason && `disk: ${reason}`),
    ]);
    return reasons.filter((reason) => reason !== null);
  });
}

function queueReason(error: unknown): string {
  if (!(error instanceof QueueRefusal)) return "queue: it cannot be reached";
  return error.status === 401 || error.status === 403
    ? "queue: it refuses this key; check SUPABASE_SECRET_KEYS"
    : "queue: it does not know queue_counts(); apply the migrations";
}

/** As the last contact with each target was; where none was good, they are asked. */
async function hasTarget(
  { targets, book }: HealthOptions,
  anyTarget: () => Promise<boolean>,
): Promise<string | null> {
  if (targets.length === 0) return "storage: no target is configured";
  const good = book.all().some(({ target, state }) => state === "ok" && book.closedFor(target) === null);
  return good || await anyTarget() ? null : "storage: no target can be written to";
}

async function probeAny({ targets, book }: HealthOptions): Promise<boolean> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  const probes = targets.map(async (target) => {
    const { usedBytes } = await target.probe({ signal });
    book.succeeded(target.name, usedBytes);
  });
  return await Promise.any(probes).then(() => true, () => false);
}
