/**
 * A Postgres cluster of a test's own, which may be crashed: `pg_ctl stop -m immediate` (SIGQUIT to the postmaster, no checkpoint) and
 * started again on the same port. Example: `await using cluster = await startOwnCluster()`. Runs on: Deno.
 */
import { startGuard } from "../../dev/process/guard.ts";
import { startPostgres } from "../../dev/postgres/postgres.ts";

export type OwnCluster = AsyncDisposable & {
  /** As its superuser. */
  readonly url: string;
  /** Resolves when the server is gone; `up` when it answers again, with the milliseconds it was away. */
  readonly crash: () => Promise<{ readonly up: Promise<number> }>;
};

export async function startOwnCluster(): Promise<OwnCluster> {
  const guard = startGuard();
  const dataDir = await Deno.makeTempDir({ prefix: "keepstream-chaos-" });
  await Deno.chmod(dataDir, 0o755);
  let postgres = await startPostgres({ dataDir, port: 0, guard, durable: false });
  const { adminUrl: url, port } = postgres;
  let up: Promise<number> = Promise.resolve(0);
  return {
    url,
    async crash() {
      const startedAt = performance.now();
      Deno.kill(postgres.pid, "SIGQUIT");
      await postgres.ended;
      up = (async () => {
        postgres = await startPostgres({ dataDir, port, guard, durable: false });
        return Math.round(performance.now() - startedAt);
      })();
      return { up };
    },
    async [Symbol.asyncDispose]() {
      await up.catch(() => {}); // it did not come back: that failed the test already
      await postgres.stop();
      await guard.close();
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}
