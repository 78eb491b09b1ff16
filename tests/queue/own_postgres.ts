/**
 * A Postgres for one task (not for tests: `deno task test` starts theirs), in which createTestDatabase works.
 *
 * @example await withOwnPostgres(async () => { await using database = await createTestDatabase(); });
 */
import process from "node:process";
import { startGuard } from "../../dev/process/guard.ts";
import { type Postgres, startPostgres } from "../../dev/postgres/postgres.ts";
import { CLUSTER_VARIABLE } from "../../dev/testing/test_cluster.ts";

export async function withOwnPostgres(run: (postgres: Postgres) => Promise<void>): Promise<void> {
  const guard = startGuard();
  const dataDir = await Deno.makeTempDir({ prefix: "keepstream-queue-" });
  await Deno.chmod(dataDir, 0o755);
  try {
    const postgres = await startPostgres({ dataDir, port: 0, guard, durable: false });
    try {
      process.env[CLUSTER_VARIABLE] = postgres.adminUrl;
      await run(postgres);
    } finally {
      await postgres.stop();
    }
  } finally {
    await Deno.remove(dataDir, { recursive: true });
    await guard.close();
  }
}
