/**
 * Measurements before the first fault, in real time: the utilisation while jobs wait, and how soon a killed runner's jobs are rescued.
 * Example: `const { slotsInUse } = await measure({ jobs, members, … })`.
 */
import { sleep } from "../../../core/sleep.ts";
import type { Member } from "./runner_pool.ts";
import type { Jobs } from "./jobs.ts";
import { type Ask, SLOTS } from "./stage.ts";
import type { Sweeper } from "./sweeper.ts";

export const MEASURED_SWEEP_MS = 1000;
const UTILISATION_JOBS = 24;

export type Measured = {
  /** 0 to 1. */
  readonly slotsInUse: number | null;
  /** From SIGKILL to the sweep that rescues the job. */
  readonly handedOnSeconds: readonly number[];
};

export const NOT_MEASURED: Measured = { slotsInUse: null, handedOnSeconds: [] };

export async function measure(
  on: { jobs: Jobs; members: readonly Member[]; sweeper: Sweeper; ask: Ask; log: (line: string) => void },
): Promise<Measured> {
  const { jobs, members, sweeper, ask, log } = on;
  await jobs.add(UTILISATION_JOBS);
  await jobs.allEnded();
  const slotsInUse = utilisation(members);
  log(`utilisation while jobs wait: ${(100 * slotsInUse).toFixed(1)} %`);
  sweeper.everyMs = MEASURED_SWEEP_MS;
  const handedOnSeconds: number[] = [];
  for (const member of members.slice(0, 2)) {
    await jobs.add(6);
    while (member.leased.size < SLOTS) await sleep(50);
    await sleep(1200); // during the download, after a heartbeat
    const held = [...member.leased];
    const killedAt = new Date();
    member.signal("SIGKILL");
    const seconds = await Promise.all(held.map((id) => secondsUntilRescued(ask, { id, since: killedAt })));
    log(`rescued after ${seconds.map((s) => s.toFixed(1))} s`);
    handedOnSeconds.push(...seconds);
  }
  return { slotsInUse: round(slotsInUse, 3), handedOnSeconds: handedOnSeconds.map((seconds) => round(seconds, 1)) };
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

async function secondsUntilRescued(ask: Ask, { id, since }: { id: string; since: Date }): Promise<number> {
  for (;;) {
    const [event] = await ask((sql) =>
      sql<{ at: Date }[]>`
        select at from keepstream.events where queue_id = ${id} and kind = 'rescued' and at > ${since} order by id limit 1`
    );
    if (event) return (event.at.getTime() - since.getTime()) / 1000;
    await sleep(100);
  }
}

/** Share of the runners' capacity in use, from the first moment of full capacity until the last claim. */
function utilisation(members: readonly Member[]): number {
  const from = Math.max(
    ...members.map((member) =>
      member.attempts.map((attempt) => attempt.from).sort((a, b) => a - b)[SLOTS - 1] ?? Infinity
    ),
  );
  const all = members.flatMap((member) => member.attempts);
  const to = Math.max(...all.map((attempt) => attempt.from));
  const busy = all.reduce(
    (sum, attempt) => sum + Math.max(0, Math.min(attempt.to ?? to, to) - Math.max(attempt.from, from)),
    0,
  );
  return busy / ((to - from) * members.length * SLOTS);
}
