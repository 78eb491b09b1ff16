/**
 * What runners are struck on: a Postgres that may be crashed, the hub emulator, a host with video, and one disk that can be filled.
 * Example: `await using stage = await startStage(); await stage.ask((sql) => sql`select 1`)`. Runs on: Deno.
 */
import type { Sql } from "postgres";
import { type RunnerFixture, startRunnerFixture } from "../../../dev/testing/runner_fixture.ts";
import { createTransactionPool, type TransactionPool } from "../../../dev/emulators/supabase/transaction.ts";
import { type MediaHost, startMediaHost } from "../media_host.ts";
import { type OwnCluster, startOwnCluster } from "../own_cluster.ts";
import { mountSmallDisk, type SmallDisk } from "../small_disk.ts";

export const SLOTS = 2;
export const LEASE_SECONDS = 10;
/** What the runner leaves free, two first reservations, and some room to work in. */
const SMALL_DISK_MIB = 256 + 2 * 64 + 60;
const ASK_TRIES = 40;
const ASK_AGAIN_MS = 250;

export type Ask = <T>(run: (sql: Sql) => PromiseLike<T>) => Promise<T>;

export type Stage = AsyncDisposable & {
  readonly cluster: OwnCluster;
  readonly fixture: RunnerFixture;
  readonly media: MediaHost;
  readonly pool: TransactionPool;
  /** Statements of the test itself, whose connection a crash may cut: repeated until they are heard. */
  readonly ask: Ask;
  readonly disk: SmallDisk | null;
  /** Why there is no disk that can be filled. */
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
  await fixture.database.admin`checkpoint`; // a copied database's first crash must not find it half in memory
  const pool = createTransactionPool(fixture.database.url, { size: 4, name: "chaos" });
  stack.defer(pool.end);
  const owned = stack.move();
  return {
    cluster,
    fixture,
    media,
    pool,
    ask: (run) => heard(pool, run),
    disk,
    noSmallDisk: "unavailable" in mounted ? mounted.unavailable : null,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

async function heard<T>(pool: TransactionPool, run: (sql: Sql) => PromiseLike<T>): Promise<T> {
  for (let tries = 1;; tries++) {
    try {
      return await pool.transaction({ readOnly: false }, async (sql) => await run(sql));
    } catch (error) {
      if (tries === ASK_TRIES) throw error;
      await pause(ASK_AGAIN_MS);
    }
  }
}
