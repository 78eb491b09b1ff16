/**
 * A Postgres cluster that a test may crash: `pg_ctl stop -m immediate` (SIGQUIT to the postmaster, no checkpoint), then a start on the same
 * port. Example: `await using cluster = await startOwnCluster()`.
 */
import { startGuard } from "../../dev/process/guard.ts";
import { startPostgres } from "../../dev/postgres/postgres.ts";

export type OwnCluster = AsyncDisposable & {
  /** As its superuser. */
  readonly url: string;
  /** Resolves once the server is down; `up` once it responds again, with the milliseconds in between. */
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
      await up.catch(() => {}); // it did not restart: the test has failed already
      await postgres.stop();
      await guard.close();
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}
