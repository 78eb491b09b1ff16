/**
 * Three real runners over a Postgres of their own and the hub emulator, struck by every fault at every point of a job's life: at the end
 * every job is ready, no job was begun more often than a fault took it away, and every archive's bytes hash to what the store says.
 * Example: `await runChaos({ seed: 1, cells: everyCell(), measured: true })`. Runs on: Deno.
 *
 * A runner holds two jobs; a fault that takes jobs away strikes only while none of its jobs was taken away twice before. Time is moved on
 * for back-offs and for the leases of processes that are dead, never for a runner that lives – but for SIGSTOP, whose lease is ended at
 * once (once in a full run it sleeps for longer than its real lease).
 */
import type { Sql } from "postgres";
import { startRunnerRig } from "../../dev/runner_rig.ts";
import { createTransactionPool, type TransactionPool } from "../../dev/transaction.ts";
import { checkArchives } from "./chaos_checks.ts";
import { type Crew, type Member, type Side, startCrew, type Stint } from "./crew.ts";
import { type Cell, type Coverage, createPlan, type Fault, type Point } from "./fault_plan.ts";
import type { Call, Verdict } from "./front.ts";
import { startMediaHost } from "./media_host.ts";
import { startOwnCluster } from "./own_cluster.ts";
import { mountSmallDisk } from "./small_disk.ts";

const RUNNERS = 3;
const SLOTS = 2;
/** The runner whose disk can be filled. */
const SMALL_DISK_RUNNER = 2;
/** What the runner leaves free, two first reservations, and some room to work in. */
const SMALL_DISK_MIB = 256 + 2 * 64 + 60;
export const LEASE_SECONDS = 10;
const SWEEP_MS = 300;
export const MEASURED_SWEEP_MS = 1000;
const OPEN_JOBS = 10;
const STRIKE_GAP_MS = 250;
const CRASH_GAP_MS = 4000;
const RELEASE_GAP_MS = 2500;
const STRIKING_SECONDS = 170;
export const DRAIN_SECONDS = 60;
export const MAX_RUNS = 3;
const MAX_TAKEN = MAX_RUNS - 1;
const UTILISATION_JOBS = 24;

/** Faults that take the jobs of a runner away from it; the others must not cost a job anything but time. */
const TAKING: ReadonlySet<Fault> = new Set(["SIGKILL", "SIGSTOP beyond the lease", "SIGTERM", "no space left"]);

const TAKEN = /^killed|^released: the runner is stopping|^failed: disk_full/;

export type ChaosOptions = {
  readonly seed: number;
  readonly cells: readonly Cell[];
  /** Also measures, before the first fault, how busy the slots are and how soon a killed runner's jobs are handed on. */
  readonly measured: boolean;
  readonly log?: (line: string) => void;
};

export type ChaosReport = {
  readonly seed: number;
  readonly seconds: number;
  readonly jobs: number;
  readonly copies: number;
  readonly coverage: Coverage;
  readonly missed: readonly Cell[];
  /** Why there is no full disk here. */
  readonly noSmallDisk: string | null;
  /** How many jobs were begun once, twice, three times. */
  readonly runs: Readonly<Record<number, number>>;
  /** How many were taken away never, once, twice. */
  readonly taken: Readonly<Record<number, number>>;
  /** Jobs given back because the disk was full. */
  readonly diskFull: number;
  readonly drainSeconds: number;
  readonly postgresAwayMs: readonly number[];
  readonly slotsInUse: number | null;
  /** From SIGKILL to the sweep that hands the job on. */
  readonly handedOnSeconds: readonly number[];
  readonly problems: readonly string[];
};

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const startedAt = performance.now();
  const log = options.log ?? (() => {});
  const random = mulberry32(options.seed);
  await using cluster = await startOwnCluster();
  await using media = await startMediaHost({ seconds: 2 });
  const mounted = await mountSmallDisk(SMALL_DISK_MIB);
  const disk = "unavailable" in mounted ? null : mounted;
  await using _disk = disk;
  await using rig = await startRunnerRig({
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
  });
  await rig.database.admin`checkpoint`; // a copied database's first crash must not find it half in memory
  await using pool = poolOf(rig.database.url);
  const ask = <T>(run: (sql: Sql) => PromiseLike<T>) => heard(pool, run);
  const cells = options.cells.filter(([, fault]) => disk !== null || fault !== "no space left");
  const plan = createPlan(cells, random);
  /** Jobs by the leases that ended while their holder slept. */
  const sleptOver = new Map<string, string>();
  const postgresAwayMs: number[] = [];
  const now = () => performance.now();
  let striking = false;
  let lastStrike = 0;
  let lastCrash = 0;
  let crashing: Promise<unknown> = Promise.resolve();
  let isCrashing = false;
  let full = false;
  let conflict = 409;

  const stints = (): Stint[] => crew.members.flatMap((member) => member.stints);
  /** How often a fault took this job from its runner: killed, asleep for too long, released for a stop, the disk full. */
  const taken = (id: string) =>
    [...sleptOver.values()].filter((job) => job === id).length +
    stints().filter((stint) => stint.job === id && TAKEN.test(stint.end)).length;
  const spare = (member: Member) => [...member.leased].some((id) => taken(id) >= MAX_TAKEN);

  function fits(fault: Fault, member: Member): boolean {
    if (TAKING.has(fault) && spare(member)) return false;
    switch (fault) {
      case "no space left":
        return member.index === SMALL_DISK_RUNNER && !full;
      case "Postgres crash":
        return now() - lastCrash > CRASH_GAP_MS;
      case "storage 409/412":
        return member.nextCommit === null;
      default:
        return member.nextCall === null;
    }
  }

  /** The fault whose turn it is at this point, if it may strike now. */
  function turn(point: Point, member: Member): Fault | null {
    if (!striking || isCrashing || now() - lastStrike < STRIKE_GAP_MS) return null;
    if (!member.calm && point !== "in a release") return null; // a stopping runner is struck only while it releases
    const fault = plan.take(point, (fault) => fits(fault, member));
    if (fault !== null) lastStrike = now();
    return fault;
  }

  async function strike(
    fault: Fault,
    at: { point: Point; member: Member; when: Call["when"] | "beside" },
  ): Promise<Verdict> {
    const { point, member, when } = at;
    const hit = () => {
      plan.hit(point, fault);
      log(`${fault} – ${point} – ${member.name}`);
    };
    const onNextCall = (verdict: Verdict): Verdict => {
      member.nextCall = () => (hit(), verdict);
      return "pass";
    };
    const onThisCall = (verdict: Verdict): Verdict => (hit(), verdict);
    switch (fault) {
      case "SIGKILL":
      case "SIGTERM":
        member.calm = false;
        member.signal(fault);
        return onThisCall(fault === "SIGKILL" ? "lose" : "pass");
      case "SIGSTOP beyond the lease":
        await freeze(member, { real: options.measured && point === "mid-download" });
        return onThisCall("pass");
      case "request lost":
        return when === "before" ? onThisCall("lose") : onNextCall("lose");
      case "reply lost":
        return when === "beside" ? onNextCall("lose_reply") : onThisCall("lose_reply");
      case "5xx":
        return when === "beside" ? onNextCall(AWAY) : onThisCall(AWAY);
      case "storage 409/412":
        member.nextCommit = () => (hit(), refusedCommit(conflict = conflict === 409 ? 412 : 409));
        return "pass";
      case "Postgres crash":
        await crash();
        return onThisCall("pass");
      case "no space left":
        full = true;
        await disk!.fill();
        setTimeout(() => disk!.free().then(() => full = false), 1500);
        return onThisCall("pass");
    }
  }

  async function crash(): Promise<void> {
    isCrashing = true;
    lastCrash = now();
    const { up } = await cluster.crash();
    crashing = up.then((ms) => {
      postgresAwayMs.push(ms);
      isCrashing = false;
    });
  }

  /** Asleep until somebody else has the jobs; what it was about to write arrives after that. */
  async function freeze(member: Member, { real }: { real: boolean }): Promise<void> {
    const { name } = member;
    member.signal("SIGSTOP");
    await pause(200); // what it had sent has arrived
    await noteSleeper(name);
    if (real) await pause((LEASE_SECONDS + 2) * 1000);
    else await expire([name]);
    await pause(1500);
    member.signal("SIGCONT");
  }

  async function noteSleeper(name: string): Promise<void> {
    const rows = await ask((sql) =>
      sql<{ id: string; lease_token: string }[]>`
        select id, lease_token from public.video_queue
        where split_part(lease_owner, '#', 1) = ${name} and lease_token is not null`
    );
    for (const { id, lease_token } of rows) sleptOver.set(lease_token, id);
  }

  /** Moves time on for these processes: their leases are over. */
  async function expire(names: readonly string[]): Promise<void> {
    await ask((sql) =>
      sql`
        update public.video_queue set lease_expires_at = now() - interval '1 second'
        where split_part(lease_owner, '#', 1) = any(string_to_array(${names.join()}, ',')) and lease_token is not null`
    );
    await ask((sql) =>
      sql`
        update public.video_replicas set lease_expires_at = now() - interval '1 second'
        where split_part(lease_owner, '#', 1) = any(string_to_array(${names.join()}, ',')) and lease_token is not null`
    );
    await ask((sql) =>
      sql`delete from keepstream.resource_leases where split_part(holder, '#', 1) = any(string_to_array(${names.join()}, ','))`
    );
  }

  async function onCall(member: Member, side: Side, call: Call): Promise<Verdict> {
    if (side === "hub" && call.name === "commit" && call.when === "before" && member.nextCommit) {
      const verdict = member.nextCommit();
      member.nextCommit = null;
      return verdict;
    }
    if (side === "queue" && call.when === "before" && member.nextCall) {
      const verdict = member.nextCall();
      member.nextCall = null;
      return verdict;
    }
    if (side === "queue" && call.when === "after") noteLeases(member, call);
    const point = pointOf(side, call);
    const fault = point === null ? null : turn(point, member);
    return fault === null ? "pass" : await strike(fault, { point: point!, member, when: call.when });
  }

  await using crew: Crew = startCrew({
    rig,
    size: RUNNERS,
    spawnOptions: (index) =>
      index === SMALL_DISK_RUNNER && disk !== null ? { enter: disk.enter, env: { RUNNER_WORK_DIR: disk.path } } : {},
    strike: onCall,
  });

  /** pg_cron's sweep; a fault may strike while it holds its rows. */
  const sweeping = { every: SWEEP_MS, moveTime: !options.measured, over: false };
  async function sweepOnce(): Promise<void> {
    if (sweeping.moveTime) {
      await expire([...crew.dead]);
      await ask((sql) =>
        sql`
          update public.video_queue set run_at = now()
          where status = 'failed' and terminal_at is null and run_at > now() and updated_at < now() - interval '2 seconds'`
      );
      await ask((sql) =>
        sql`update public.video_replicas set run_at = now() where lease_token is null and run_at > now()`
      );
    }
    await pool.transaction({ readOnly: false }, async (sql) => {
      await sql`select public.sweep()`;
      const member = crew.members.find((member) => member.calm && member.leased.size > 0);
      const fault = member === undefined ? null : turn("in a sweep", member);
      if (fault !== null) await strike(fault, { point: "in a sweep", member: member!, when: "beside" });
    });
  }
  const sweeper = (async () => {
    while (!sweeping.over) {
      await sweepOnce().catch((error) => log(`no sweep: ${error.message}`)); // Postgres crashed: the next one does it
      await pause(sweeping.every);
    }
  })();

  let added = 0;
  const add = async (count: number) => {
    for (let i = 0; i < count; i++, added++) {
      const n = added;
      const video = { mal_id: 1 + n % 5, episode: 1 + n, provider: "catalogue", ...media.video(n) };
      await ask((sql) => sql`select id from public.enqueue_videos(${JSON.stringify([video])}::text::jsonb)`);
    }
  };
  const open = async () => {
    const [row] = await ask((sql) =>
      sql<{ open: number }[]>`
        select count(*)::int as open from public.video_queue where status <> 'ready' and terminal_at is null`
    );
    return row!.open;
  };

  let slotsInUse: number | null = null;
  const handedOnSeconds: number[] = [];
  if (options.measured) {
    await add(UTILISATION_JOBS);
    while (await open() > 0) await pause(200);
    slotsInUse = utilisation(crew.members);
    log(`slots in use while work waits: ${(100 * slotsInUse).toFixed(1)} %`);
    sweeping.every = MEASURED_SWEEP_MS;
    for (const member of crew.members.slice(0, 2)) {
      await add(6);
      while (member.leased.size < SLOTS) await pause(50);
      await pause(1200); // in mid-download, with a heartbeat behind it
      const held = [...member.leased];
      const killedAt = new Date();
      member.signal("SIGKILL");
      const seconds = await Promise.all(held.map((id) => untilReaped(id, killedAt)));
      handedOnSeconds.push(...seconds);
      log(`handed on after ${seconds.map((s) => s.toFixed(1))} s`);
    }
    sweeping.every = SWEEP_MS;
    sweeping.moveTime = true;
  }

  async function untilReaped(id: string, since: Date): Promise<number> {
    for (;;) {
      const [event] = await ask((sql) =>
        sql<{ at: Date }[]>`
          select at from keepstream.events where queue_id = ${id} and kind = 'reaped' and at > ${since} order by id limit 1`
      );
      if (event) return (event.at.getTime() - since.getTime()) / 1000;
      await pause(100);
    }
  }

  striking = true;
  const strikingEnd = now() + STRIKING_SECONDS * 1000;
  let lastRelease = 0;
  while (plan.missed().length > 0 && now() < strikingEnd) {
    if (!isCrashing && await open() < OPEN_JOBS) await add(4);
    const idle = crew.members.find((member) => member.calm && member.leased.size > 0 && !spare(member));
    if (idle !== undefined && plan.waits("in a release") && now() - lastRelease > RELEASE_GAP_MS) {
      lastRelease = now();
      idle.calm = false;
      idle.signal("SIGTERM");
    }
    await pause(100);
  }
  striking = false;
  for (const member of crew.members) member.nextCall = member.nextCommit = null;
  await crashing;
  await disk?.free();

  const problems: string[] = [];
  const drainStartedAt = now();
  while (await open() > 0) {
    if (now() - drainStartedAt > DRAIN_SECONDS * 1000) {
      problems.push(`${await open()} jobs did not end within ${DRAIN_SECONDS} s after the faults stopped`);
      break;
    }
    await pause(200);
  }
  const drainSeconds = (now() - drainStartedAt) / 1000;
  sweeping.over = true;
  await sweeper;
  await crew[Symbol.asyncDispose]();
  const checked = await checkArchives(rig);
  problems.push(...checked.problems, ...await leftFiles());

  /** A runner that starts takes away what killed ones left of jobs that are over. */
  async function leftFiles(): Promise<string[]> {
    await rig.spawn("tidy", { args: ["run-once"] }).ended;
    const left = [...Deno.readDirSync(rig.workDir)].map((entry) => entry.name);
    if (disk !== null) {
      const env = { RUNNER_WORK_DIR: disk.path };
      await rig.spawn("tidy-small", { enter: disk.enter, env, args: ["run-once"] }).ended;
      left.push(...await disk.entries());
    }
    return left.map((name) => `${name} was left in a work directory`);
  }

  const jobs = await ask((sql) => sql<{ id: string }[]>`select id from public.video_queue`);
  const runs = new Map(jobs.map(({ id }) => [id, stints().filter((stint) => stint.job === id && stint.worked).length]));
  for (const [id, count] of runs) {
    const story = () => stints().filter((stint) => stint.job === id).map((stint) => stint.end).join("; ");
    if (count > MAX_RUNS) problems.push(`${id} was begun ${count} times: ${story()}`);
    if (count > 1 + taken(id)) {
      problems.push(`${id} was begun ${count} times, taken away ${taken(id)} times: ${story()}`);
    }
  }
  return {
    seed: options.seed,
    seconds: Math.round((now() - startedAt) / 1000),
    jobs: jobs.length,
    copies: checked.copies,
    coverage: plan.coverage(),
    missed: plan.missed(),
    noSmallDisk: "unavailable" in mounted ? mounted.unavailable : null,
    runs: histogram(runs.values()),
    taken: histogram(jobs.map(({ id }) => taken(id))),
    diskFull: stints().filter((stint) => stint.end === "failed: disk_full").length,
    drainSeconds: Math.round(drainSeconds * 10) / 10,
    postgresAwayMs,
    slotsInUse: slotsInUse === null ? null : Math.round(slotsInUse * 1000) / 1000,
    handedOnSeconds: handedOnSeconds.map((seconds) => Math.round(seconds * 10) / 10),
    problems,
  };
}

const AWAY: Verdict = { status: 503, body: '{"code":"PGRST001","message":"chaos"}' };

function refusedCommit(status: number): Verdict {
  const error = status === 409
    ? "Another commit operation is in progress for this repository"
    : "A commit has happened since. Please refresh and try again.";
  return { status, body: JSON.stringify({ error }) };
}

/** Where in a job's life this call stands. */
function pointOf(side: Side, { name, when, text }: Call): Point | null {
  if (side === "cdn") return when === "before" && name === "part 2" ? "mid-upload" : null;
  if (side !== "queue") return null;
  const before = when === "before";
  switch (name) {
    case "claim_pending_videos":
      if (before) return "before claim";
      return text.length > 5 ? "claim committed, reply not heard" : null;
    case "extend_video_lease":
      if (!before) return text.length > 5 ? "in a heartbeat" : null;
      return /"phase":"downloading","bytes_done":[1-9]/.test(text) ? "mid-download" : null;
    case "update_video_queue_status":
      if (before && text.includes('"status":"pending"')) return "in a release";
      if (!text.includes('"status":"uploading"')) return null;
      return before ? "after download" : "after uploading";
    case "upsert_video_store":
      return before ? "commit landed, unrecorded" : "store written, reply not heard";
    case "complete_replica":
      return before ? "between replicas" : null;
    default:
      return null;
  }
}

function noteLeases(member: Member, { name, text }: Call): void {
  if (name === "claim_pending_videos" && text.startsWith("[")) {
    for (const row of JSON.parse(text) as { id: string }[]) member.leased.add(row.id);
  }
  if (name === "update_video_queue_status" && text.startsWith("{")) {
    const row = JSON.parse(text) as { id?: string; status?: string };
    if (row.id !== undefined && row.status === "pending") member.leased.delete(row.id);
  }
}

/** The share of all slots' time in which a job was at work, from when all were taken first until the last job was claimed. */
function utilisation(members: readonly Member[]): number {
  const from = Math.max(
    ...members.map((member) => member.stints.map((stint) => stint.from).sort()[SLOTS - 1] ?? Infinity),
  );
  const all = members.flatMap((member) => member.stints);
  const to = Math.max(...all.map((stint) => stint.from));
  const busy = all.reduce(
    (sum, stint) => sum + Math.max(0, Math.min(stint.to ?? to, to) - Math.max(stint.from, from)),
    0,
  );
  return busy / ((to - from) * members.length * SLOTS);
}

function histogram(values: Iterable<number>): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

function poolOf(url: string): TransactionPool & AsyncDisposable {
  const pool = createTransactionPool(url, { size: 4, name: "chaos" });
  return { ...pool, [Symbol.asyncDispose]: pool.end };
}

/** Statements of the test itself, whose connection a crash may cut: repeated until they are heard. */
async function heard<T>(pool: TransactionPool, run: (sql: Sql) => PromiseLike<T>): Promise<T> {
  for (let i = 0;; i++) {
    try {
      return await pool.transaction({ readOnly: false }, async (sql) => await run(sql));
    } catch (error) {
      if (i === 40) throw error;
      await pause(250);
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
