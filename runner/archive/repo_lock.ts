/** One commit at a time per repository, across runners: the Hub answers 409 or 412 to whoever comes second. Runs on: Deno. */
import type { LockRepo } from "../targets/target.ts";
import type { Queue } from "../queue/queue.ts";

/** A commit takes seconds. A lock that its holder cannot give back, killed or cut off, stops a repository no longer than this. */
const LEASE_SECONDS = 20;
const RETRY_MS = 300;
/** After so long the commit is tried without the lock: the Hub itself refuses what must not happen at once. */
const PATIENCE_MS = 60_000;

export function createRepoLock(queue: Queue): LockRepo {
  return async (repo, signal) => {
    const resource = `repo:${repo}`;
    const startedAt = performance.now();
    for (;;) {
      signal?.throwIfAborted();
      const lock = await queue.lockResource(resource, LEASE_SECONDS).catch(() => null);
      if (lock !== null) {
        return { [Symbol.asyncDispose]: () => queue.unlockResource(resource, lock).catch(() => {}) };
      }
      if (performance.now() - startedAt > PATIENCE_MS) return { [Symbol.asyncDispose]: () => Promise.resolve() };
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  };
}
