/**
 * Three real runners with their own Postgres and the hub emulator, and every fault at every point of a job. At the end every job is ready,
 * no job was started more often than faults interrupted it, and every archive has the recorded hash.
 * Example: `await runChaos({ seed: 1, cells: everyCell(), measured: true })`.
 *
 * A runner has two jobs. A fault that interrupts jobs happens only if none of them was interrupted twice before. Simulated time ends
 * back-offs and the leases of dead processes, but not those of live runners. Exception: SIGSTOP ends its runner's leases (once in a full
 * run, the runner sleeps longer than its real lease).
 */
import { sleep } from "../../../core/sleep.ts";
import { createRandom } from "../../queue/model/random.ts";
import { checkArchives, leftInWorkDirs, makeMissingCopies } from "./checks.ts";
import { type Member, newMembers, startRunnerPool } from "./runner_pool.ts";
import { type Cell, createPlan, type FaultPlan } from "./fault_plan.ts";
import { Faults, SMALL_DISK_RUNNER } from "./faults.ts";
import { createJobs, type Jobs } from "./jobs.ts";
import { measure, NOT_MEASURED, round } from "./measure.ts";
import { type ChaosReport, DRAIN_SECONDS, histogram } from "./report.ts";
import { type Stage, startStage } from "./stage.ts";
import { startSweeper } from "./sweeper.ts";
import { countInterruptions, type Interruptions } from "./interruptions.ts";

const RUNNERS = 3;
const SWEEP_MS = 300;
const OPEN_JOBS = 10;
const RELEASE_GAP_MS = 2500;
/** Time limit for all faults. */
const STRIKING_SECONDS = 240;

export type ChaosOptions = {
  readonly seed: number;
  readonly cells: readonly Cell[];
  /** Measure, before the first fault, the utilisation and how soon the jobs of a killed runner are rescued. */
  readonly measured: boolean;
  readonly log?: (line: string) => void;
  /** Receives the log of every runner process. */
  readonly onLog?: (name: string, lines: readonly string[]) => void;
};

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const startedAt = performance.now();
  const { seed, measured, log = () => {} } = options;
  await using stage = await startStage();
  const possible = options.cells.filter(([, fault]) => stage.disk !== null || fault !== "no space left");
  const plan = createPlan(possible, createRandom(seed));
  const members = newMembers(RUNNERS);
  const interruptions = countInterruptions(members);
  const faults = new Faults({ stage, plan, interruptions, sleepsForReal: measured, log });
  await using pool = startRunnerPool({
    fixture: stage.fixture,
    members,
    spawnOptions: (index) => index === SMALL_DISK_RUNNER ? onSmallDisk(stage) : {},
    strike: faults.onCall,
  });
  const inSweep = async () => {
    const member = members.find((member) => member.leased.size > 0 && faults.mayStrike("during a sweep", member));
    if (member !== undefined) await faults.strikeAt("during a sweep", { member, when: "beside" });
  };
  const sweeper = startSweeper({ stage, everyMs: SWEEP_MS, movesTime: !measured, dead: pool.dead, inSweep, log });
  const jobs = createJobs(stage);

  const measurements = measured ? await measure({ jobs, members, sweeper, ask: stage.ask, log }) : NOT_MEASURED;
  Object.assign(sweeper, { everyMs: SWEEP_MS, movesTime: true });
  await strikeEverywhere({ faults, plan, interruptions, jobs, members });

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
    runs: histogram(ids.map(interruptions.begun)),
    taken: histogram(ids.map(interruptions.of)),
    diskFull: interruptions.diskFull(),
    drainSeconds,
    postgresAwayMs: faults.postgresAwayMs,
    problems: [
      ...unended > 0 ? [`${unended} jobs did not end within ${DRAIN_SECONDS} s after the faults stopped`] : [],
      ...uncopied,
      ...archives.problems,
      ...await leftInWorkDirs(stage),
      ...interruptions.problems(ids),
    ],
  };
}

function onSmallDisk({ disk }: Stage) {
  return disk === null ? {} : { enter: disk.enter, env: { RUNNER_WORK_DIR: disk.path } };
}

/** Adds jobs until every fault happened at every point. A runner that is due for a fault during a release is stopped. */
async function strikeEverywhere(
  on: { faults: Faults; plan: FaultPlan; interruptions: Interruptions; jobs: Jobs; members: readonly Member[] },
): Promise<void> {
  const { faults, plan, interruptions, jobs, members } = on;
  const end = performance.now() + STRIKING_SECONDS * 1000;
  let lastReleaseAt = -Infinity;
  faults.begin();
  while (plan.missed().length > 0 && performance.now() < end) {
    if (!faults.postgresIsAway && await jobs.open() < OPEN_JOBS) await jobs.add(4);
    if (performance.now() - lastReleaseAt > RELEASE_GAP_MS) {
      const member = members.find((member) =>
        member.idle && member.leased.size > 0 && !interruptions.spares(member) &&
        faults.mayStrike("during a release", member)
      );
      if (member !== undefined) {
        lastReleaseAt = performance.now();
        member.idle = false;
        member.signal("SIGTERM");
      }
    }
    await sleep(100);
  }
  await faults.end(members);
}
