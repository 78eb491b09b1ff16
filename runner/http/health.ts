/**
 * Whether this runner can work: the queue answers to this key, a storage target can be written to, the work directory has room.
 * The answer is kept for some seconds and shared by whoever asks meanwhile, so that no monitor keeps the database busy.
 * Example: `await checkHealth()` → ["queue: it refuses this key"]. Runs on: Deno.
 */
import { shareFor } from "./share.ts";
import { QueueRefusal } from "../queue/queue.ts";
import type { HealthBook } from "../archive/health.ts";
import type { IdentifiedTarget } from "../archive/identity.ts";

const KEPT_MS = 5000;
const STORAGE_KEPT_MS = 30_000;
const PROBE_TIMEOUT_MS = 4000;

export type HealthOptions = {
  /** Rejects when the queue cannot be read with this key. */
  readonly queue: () => Promise<unknown>;
  readonly targets: readonly Pick<IdentifiedTarget, "name" | "identify" | "probe">[];
  readonly book: Pick<HealthBook, "all" | "closedFor" | "succeeded">;
  /** Why the work directory takes no job now, or null. */
  readonly disk: () => Promise<string | null>;
};

/** Answers the reasons why the runner cannot work: none when it can. They name no address and no account. */
export function createHealthCheck(options: HealthOptions): () => Promise<readonly string[]> {
  const hasTarget = shareFor(STORAGE_KEPT_MS, async () => await seesAny(options) || await probeAny(options));
  const storage = async (queue: Promise<string | null>) => {
    if (options.targets.length === 0) return "storage: no target is configured";
    // Which target is the recorded one, only the queue can tell: without it, nothing is known of the storage.
    return await hasTarget() || await queue !== null ? null : "storage: no target can be written to";
  };
  return shareFor(KEPT_MS, async () => {
    const queue = options.queue().then(() => null, queueReason);
    const reasons = await Promise.all([
      queue,
      storage(queue),
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

/** Whether a target whose last contact was good is still there: its identity file is one small read, a probe walks the folder. */
async function seesAny({ targets, book }: HealthOptions): Promise<boolean> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  const states = new Map(book.all().map(({ target, state }) => [target, state]));
  const good = targets.filter(({ name }) => states.get(name) === "ok" && book.closedFor(name) === null);
  return await Promise.any(good.map((target) => target.identify({ signal, now: true }))).then(() => true, () => false);
}

async function probeAny({ targets, book }: HealthOptions): Promise<boolean> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  const probes = targets.map(async (target) => {
    const { usedBytes } = await target.probe({ signal });
    book.succeeded(target.name, usedBytes);
  });
  return await Promise.any(probes).then(() => true, () => false);
}
