/**
 * Replaces pg_cron and the clock: sweeps, and ends back-offs and the leases of dead processes, but not those of live runners.
 * Example: `const sweeper = startSweeper({ stage, dead, … }); …; await sweeper.stop()`.
 */
import { sleep } from "../../../core/sleep.ts";
import { type Ask, type Stage } from "./stage.ts";

/** Failed jobs stay failed this long, so that others see it. */
const FAILED_FOR = "2 seconds";

export type Sweeper = {
  everyMs: number;
  /** false: leases and back-offs have their real length. */
  movesTime: boolean;
  readonly stop: () => Promise<void>;
};

export function startSweeper(options: {
  stage: Pick<Stage, "ask" | "pool">;
  everyMs: number;
  movesTime: boolean;
  dead: ReadonlySet<string>;
  /** Called while a sweep holds its rows. */
  inSweep: () => Promise<void>;
  log: (line: string) => void;
}): Sweeper {
  const { ask, pool } = options.stage;
  let over = false;

  async function sweepOnce(): Promise<void> {
    if (sweeper.movesTime) await moveTimeOn(ask, options.dead);
    await pool.transaction({ readOnly: false }, async (sql) => {
      await sql`select public.sweep()`;
      await options.inSweep();
    });
  }

  const sweeper = {
    everyMs: options.everyMs,
    movesTime: options.movesTime,
    async stop() {
      over = true;
      await sweeping;
    },
  };
  const sweeping = (async () => {
    while (!over) {
      // Postgres crashed: the next sweep continues.
      await sweepOnce().catch((error) => options.log(`no sweep: ${error.message}`));
      await sleep(sweeper.everyMs);
    }
  })();
  return sweeper;
}

/** Ends all back-offs and the leases of these processes. */
export async function moveTimeOn(ask: Ask, dead: ReadonlySet<string>): Promise<void> {
  await endLeases(ask, [...dead]);
  await ask((sql) =>
    sql`
      update public.video_queue set run_at = now()
      where status = 'failed' and terminal_at is null and run_at > now() and updated_at < now() - ${FAILED_FOR}::interval`
  );
  await ask((sql) => sql`update public.video_replicas set run_at = now() where lease_token is null and run_at > now()`);
}

/** Ends the leases of these processes, by name: jobs, replicas and repository locks. */
export async function endLeases(ask: Ask, processes: readonly string[]): Promise<void> {
  const names = processes.join();
  await ask((sql) =>
    sql`
      update public.video_queue set lease_expires_at = now() - interval '1 second'
      where split_part(lease_owner, '#', 1) = any(string_to_array(${names}, ',')) and lease_token is not null`
  );
  await ask((sql) =>
    sql`
      update public.video_replicas set lease_expires_at = now() - interval '1 second'
      where split_part(lease_owner, '#', 1) = any(string_to_array(${names}, ',')) and lease_token is not null`
  );
  await ask((sql) =>
    sql`delete from keepstream.resource_leases where split_part(holder, '#', 1) = any(string_to_array(${names}, ','))`
  );
}
