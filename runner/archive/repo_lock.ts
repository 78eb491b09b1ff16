/**
 * Serialises commits per repository across runners: the Hub refuses concurrent ones with 409 or 412. If the lock cannot be acquired in
 * time, the commit is tried without it.
 */
import { retry } from "../../core/retry.ts";
import { REPOSITORY_LOCK, REPOSITORY_LOCK_TIMEOUT_MS } from "../retry_policies.ts";
import type { LockRepo } from "../targets/target.ts";
import type { Queue } from "../queue/queue.ts";

/** A commit takes seconds. The lease limits how long a runner that was killed blocks the repository. */
const LEASE_SECONDS = 20;

export function createRepoLock(queue: Queue): LockRepo {
  return async (repo, signal) => {
    const resource = `repo:${repo}`;
    const startedAt = performance.now();
    signal?.throwIfAborted();
    const acquire = async () =>
      await queue.lockResource(resource, LEASE_SECONDS) ?? Promise.reject(new Error("locked"));
    const retryable = () => performance.now() - startedAt <= REPOSITORY_LOCK_TIMEOUT_MS;
    const lock = await retry(acquire, REPOSITORY_LOCK, { signal, retryable }).catch(() => null);
    signal?.throwIfAborted();
    return {
      [Symbol.asyncDispose]: async () => {
        if (lock !== null) await queue.unlockResource(resource, lock).catch(() => {});
      },
    };
  };
}
