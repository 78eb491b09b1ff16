/**
 * The environment of a chaos run: a Postgres that can be crashed, the hub emulator, a media host, and a disk that can be filled.
 * Example: `await using stage = await startStage(); await stage.ask((sql) => sql`select 1`)`.
 */
import type { Sql } from "postgres";
import { retry } from "../../../core/retry.ts";
import { type RunnerFixture, startRunnerFixture } from "../../../dev/testing/runner_fixture.ts";
import { createTransactionPool, type TransactionPool } from "../../../dev/emulators/supabase/transaction.ts";
import { type MediaHost, startMediaHost } from "../media_host.ts";
import { type OwnCluster, startOwnCluster } from "../own_cluster.ts";
import { mountSmallDisk, type SmallDisk } from "../small_disk.ts";

export const SLOTS = 2;
export const LEASE_SECONDS = 10;
/** The runner's reserve, two initial reservations, and some space. */
const SMALL_DISK_MIB = 256 + 2 * 64 + 60;
const ASK = { attempts: 40, delayMs: 250, factor: 1, jitter: 0 };

export type Ask = <T>(run: (sql: Sql) => PromiseLike<T>) => Promise<T>;

export type Stage = AsyncDisposable & {
  readonly cluster: OwnCluster;
  readonly fixture: RunnerFixture;
  readonly media: MediaHost;
  readonly pool: TransactionPool;
  /** The test's own statements, repeated if a crash interrupts their connection. */
  readonly ask: Ask;
  readonly disk: SmallDisk | null;
  /** Why no disk can be filled here. */
  readonly noSmallDisk: string | null;
};

export async function startStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await startOwnCluster());
  const media = stack.use(await startMediaHost({ seconds: 2 }));
  const mounted = await mountSmallDisk(SMALL_DISK_MIB);
  const disk = "unavailable" in mounted ? null : stack.use(mounted);
  const fixture = stack.use(
    await startRunnerFixture({
      cluster: cluster.url,
      env: {
        RUNNER_LEASE_SECONDS: `${LEASE_SECONDS}`,
        RUNNER_EXTRAS: "off",
        RUNNER_STOP_SECONDS: "2",
        RUNNER_CONCURRENCY: `${SLOTS}`,
        DEV_ALLOWED_ORIGINS: media.url,
      },
      hub: {
        multipartThresholdBytes: 512 * 1024,
        chunkBytes: 256 * 1024,
        rateLimits: { api: 100_000, resolvers: 100_000, windowSeconds: 300 },
      },
    }),
  );
  await fixture.database.admin`checkpoint`; // a crash must not lose the copied database
  const pool = createTransactionPool(fixture.database.url, { size: 4, name: "chaos" });
  stack.defer(pool.end);
  const owned = stack.move();
  return {
    cluster,
    fixture,
    media,
    pool,
    ask: (run) => ask(pool, run),
    disk,
    noSmallDisk: "unavailable" in mounted ? mounted.unavailable : null,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function ask<T>(pool: TransactionPool, run: (sql: Sql) => PromiseLike<T>): Promise<T> {
  return await retry(() => pool.transaction({ readOnly: false }, async (sql) => await run(sql)), ASK);
}
