/** One commit at a time per repository, across runners: the Hub answers 409 or 412 to whoever comes second. Runs on: Deno. */
import type { LockRepo } from "../storage/target.ts";
import type { Queue } from "./queue.ts";

const LEASE_SECONDS = 60;
const RETRY_MS = 300;
/** After so long the commit is tried without the lock: the Hub itself refuses what must not happen at once. */
const PATIENCE_MS = 90_000;

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
