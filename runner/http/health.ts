/**
 * Whether this runner can work: the queue accepts its key, a storage target accepts writes, the work directory has space.
 * Results are cached for some seconds, so that monitors do not load the database. Example: `await checkHealth()` → ["queue: it refuses …"].
 */
import { shareFor } from "./share.ts";
import { RpcError } from "../../core/rpc_error.ts";
import type { CircuitBreaker } from "../archive/circuit_breaker.ts";
import type { IdentifiedTarget } from "../archive/identity.ts";

const KEPT_MS = 5000;
const STORAGE_KEPT_MS = 30_000;
const PROBE_TIMEOUT_MS = 4000;

export type HealthOptions = {
  /** Rejects if this key cannot read the queue. */
  readonly queue: () => Promise<unknown>;
  readonly targets: readonly Pick<IdentifiedTarget, "name" | "identify" | "probe">[];
  readonly breaker: Pick<CircuitBreaker, "all" | "openReason" | "succeeded">;
  /** Why the work directory cannot take a job, or null. */
  readonly disk: () => Promise<string | null>;
};

/** Returns the reasons why the runner cannot work; empty if it can. They contain no URL and no account name. */
export function createHealthCheck(options: HealthOptions): () => Promise<readonly string[]> {
  const hasTarget = shareFor(STORAGE_KEPT_MS, async () => await seesAny(options) || await probeAny(options));
  const storage = async (queue: Promise<string | null>) => {
    if (options.targets.length === 0) return "storage: no target is configured";
    // Without the queue, the registered identity of a target is unknown, so nothing can be concluded about the storage.
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
  if (!(error instanceof RpcError) || error.isUnavailable) return "queue: it cannot be reached";
  return error.status === 401 || error.status === 403
    ? "queue: it refuses this key; check SUPABASE_SECRET_KEYS"
    : "queue: queue_counts() is missing; apply the migrations";
}

/** Checks a target that was healthy at its last use: reading its identity file is cheaper than a probe. */
async function seesAny({ targets, breaker }: HealthOptions): Promise<boolean> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  const states = new Map(breaker.all().map(({ target, state }) => [target, state]));
  const good = targets.filter(({ name }) => states.get(name) === "ok" && breaker.openReason(name) === null);
  return await Promise.any(good.map((target) => target.identify({ signal, now: true }))).then(() => true, () => false);
}

async function probeAny({ targets, breaker }: HealthOptions): Promise<boolean> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  const probes = targets.map(async (target) => {
    const { usedBytes } = await target.probe({ signal });
    breaker.succeeded(target.name, usedBytes);
  });
  return await Promise.any(probes).then(() => true, () => false);
}
