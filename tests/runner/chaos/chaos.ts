/**
 * Three real runners over a Postgres of their own and the hub emulator, struck by every fault at every point of a job's life: at the end
 * every job is ready, no job was begun more often than a fault took it away, and every archive's bytes hash to what the store says.
 * Example: `await runChaos({ seed: 1, cells: everyCell(), measured: true })`. Runs on: Deno.
 *
 * A runner holds two jobs; a fault that takes jobs away strikes only while none of its jobs was taken away twice before. Time is moved on
 * for back-offs and for the leases of processes that are dead, never for a runner that lives – but for SIGSTOP, whose lease is ended at
 * once (once in a full run it sleeps for longer than its real lease).
 */
import { createRandom } from "../../queue/model/random.ts";
import { checkArchives, leftInWorkDirs, makeMissingCopies } from "./checks.ts";
import { type Member, newMembers, startRunnerPool } from "./runner_pool.ts";
import { type Cell, createPlan, type FaultPlan } from "./fault_plan.ts";
import { Faults, SMALL_DISK_RUNNER } from "./faults.ts";
import { createJobs, type Jobs } from "./jobs.ts";
import { measure, NOT_MEASURED, round } from "./measure.ts";
import { type ChaosReport, DRAIN_SECONDS, histogram } from "./report.ts";
import { pause, type Stage, startStage } from "./stage.ts";
import { startSweeper } from "./sweeper.ts";
import { createTakings, type Takings } from "./takings.ts";

const RUNNERS = 3;
const SWEEP_MS = 300;
const OPEN_JOBS = 10;
const RELEASE_GAP_MS = 2500;
/** A run that has not struck everywhere by then never will. */
const STRIKING_SECONDS = 240;

export type ChaosOptions = {
  readonly seed: number;
  readonly cells: readonly Cell[];
  /** Also measures, before the first fault, how busy the slots are and how soon a killed runner's jobs are handed on. */
  readonly measured: boolean;
  readonly log?: (line: string) => void;
  /** Gets what a runner process said in its life. */
  readonly onLog?: (name: string, lines: readonly string[]) => void;
};

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const startedAt = performance.now();
  const { seed, measured, log = () => {} } = options;
  await using stage = await startStage();
  const possible = options.cells.filter(([, fault]) => stage.disk !== null || fault !== "no space left");
  const plan = createPlan(possible, createRandom(seed));
  const members = newMembers(RUNNERS);
  const takings = createTakings(members);
  const faults = new Faults({ stage, plan, takings, sleepsForReal: measured, log });
  await using pool = startRunnerPool({
    fixture: stage.fixture,
    members,
    spawnOptions: (index) => index === SMALL_DISK_RUNNER ? onSmallDisk(stage) : {},
    strike: faults.onCall,
  });
  const inSweep = async () => {
    const member = members.find((member) => member.leased.size > 0 && faults.mayStrike("in a sweep", member));
    if (member !== undefined) await faults.strikeAt("in a sweep", { member, when: "beside" });
  };
  const sweeper = startSweeper({ stage, everyMs: SWEEP_MS, movesTime: !measured, dead: pool.dead, inSweep, log });
  const jobs = createJobs(stage);

  const measurements = measured ? await measure({ jobs, members, sweeper, ask: stage.ask, log }) : NOT_MEASURED;
  Object.assign(sweeper, { everyMs: SWEEP_MS, movesTime: true });
  await strikeEverywhere({ faults, plan, takings, jobs, members });

  const drainStartedAt = performance.now();
  const unended = await jobs.allEnded(DRAIN_SECONDS);
  const drainSeconds = round((performance.now() - drainStartedAt) / 1000, 1);
  await sweeper.stop();
  await pool[Symbol.asyncDispose]();
  for (const member of members) member.logs.forEach((lines, name) => options.onLog?.(name, lines));

  const ids = await jobs.ids();
  const uncopied = await makeMissingCopies(stage, { dead: pool.dead });
  const archives = await checkArchives(stage.fixture);
  return {
    ...measurements,
    seed,
    seconds: Math.round((performance.now() - startedAt) / 1000),
    jobs: ids.length,
    copies: archives.copies,
    coverage: plan.coverage(),
    missed: plan.missed(),
    noSmallDisk: stage.noSmallDisk,
    runs: histogram(ids.map(takings.begun)),
    taken: histogram(ids.map(takings.of)),
    diskFull: takings.diskFull(),
    drainSeconds,
    postgresAwayMs: faults.postgresAwayMs,
    problems: [
      ...unended > 0 ? [`${unended} jobs did not end within ${DRAIN_SECONDS} s after the faults stopped`] : [],
      ...uncopied,
      ...archives.problems,
      ...await leftInWorkDirs(stage),
      ...takings.problems(ids),
    ],
  };
}

function onSmallDisk({ disk }: Stage) {
  return disk === null ? {} : { enter: disk.enter, env: { RUNNER_WORK_DIR: disk.path } };
}

/** Keeps the runners at work until every fault has struck at every point; a runner that may be struck in a release is told to stop. */
async function strikeEverywhere(
  on: { faults: Faults; plan: FaultPlan; takings: Takings; jobs: Jobs; members: readonly Member[] },
): Promise<void> {
  const { faults, plan, takings, jobs, members } = on;
  const end = performance.now() + STRIKING_SECONDS * 1000;
  let lastReleaseAt = -Infinity;
  faults.begin();
  while (plan.missed().length > 0 && performance.now() < end) {
    if (!faults.postgresIsAway && await jobs.open() < OPEN_JOBS) await jobs.add(4);
    if (performance.now() - lastReleaseAt > RELEASE_GAP_MS) {
      const member = members.find((member) =>
        member.idle && member.leased.size > 0 && !takings.spares(member) && faults.mayStrike("in a release", member)
      );
      if (member !== undefined) {
        lastReleaseAt = performance.now();
        member.idle = false;
        member.signal("SIGTERM");
      }
    }
    await pause(100);
  }
  await faults.end(members);
}
