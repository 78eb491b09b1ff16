/**
 * Three real runners over real Postgres and the hub emulator, struck at every point where a job can be torn: at the end every job is
 * ready and every archive's bytes hash to what the store says. Example: `await runChaos({ seed: 1, passes: 1, jobs: 4 })`. Runs on: Deno.
 */
import { createHash } from "node:crypto";
import { type RunnerProcess, type RunnerRig, startRunnerRig } from "../../dev/runner_rig.ts";
import { Armed, type FlakyGateway, startFlakyGateway, type Strike } from "./flaky_gateway.ts";

const RUNNERS = 3;
const STRIKE_SECONDS = 12;
const DRAIN_SECONDS = 120;
const LEASE_SECONDS = 10;
/** So many that strikes spread: a job that eight runners died of is dead by rule. */
const MIN_OPEN_JOBS = 6;
const MAX_ATTEMPTS = 8;

export type ChaosOptions = {
  readonly seed: number;
  /** Times that all points are struck. */
  readonly passes: number;
  /** Jobs that are added for each pass. */
  readonly jobs: number;
  readonly points?: readonly string[];
  readonly log?: (line: string) => void;
};

export type ChaosReport = {
  readonly jobs: number;
  readonly struck: Readonly<Record<string, number>>;
  readonly missed: readonly string[];
  readonly copies: number;
  /** Jobs that ended as dead letters because every attempt was killed. */
  readonly exhausted: number;
  /** Claims per job, most first. */
  readonly runs: readonly number[];
  readonly drainSeconds: number;
  readonly problems: readonly string[];
};

type Context = { readonly rig: RunnerRig; readonly armed: Armed; readonly crew: Crew };

/** The points of the queue's notes at which a runner is killed, a request or a reply lost. */
const STRIKES: Readonly<Record<string, Strike>> = {
  "killed before claim": { rpc: "claim_pending_videos", when: "before", effect: "kill" },
  "claim committed, reply lost": {
    rpc: "claim_pending_videos",
    when: "after",
    effect: "lose",
    where: (text) => text.length > 5,
  },
  "killed in mid-download": {
    rpc: "extend_video_lease",
    when: "before",
    effect: "kill",
    where: (text) => text.includes('"downloading"'),
  },
  "killed after the download": {
    rpc: "update_video_queue_status",
    when: "before",
    effect: "kill",
    where: (text) => text.includes('"uploading"'),
  },
  "killed after uploading was reported": {
    rpc: "update_video_queue_status",
    when: "after",
    effect: "kill",
    where: (text) => text.includes('"uploading"'),
  },
  "killed in the upload, before the commit": { rpc: "acquire_resource_lease", when: "before", effect: "kill" },
  "killed with the commit landed, unrecorded": { rpc: "upsert_video_store", when: "before", effect: "kill" },
  "store recorded, reply lost": { rpc: "upsert_video_store", when: "after", effect: "lose" },
  "killed with the store recorded": { rpc: "upsert_video_store", when: "after", effect: "kill" },
  "killed between replicas": { rpc: "complete_replica", when: "before", effect: "kill" },
  "killed in a heartbeat": {
    rpc: "extend_video_lease",
    when: "after",
    effect: "kill",
    where: (text) => text.length > 5,
  },
  "heartbeat refused": { rpc: "extend_video_lease", when: "before", effect: "refuse" },
};

/** What strikes from outside. */
const SCENES: Readonly<Record<string, (context: Context) => Promise<void>>> = {
  "SIGTERM": async ({ crew }) => {
    crew.signalBusy("SIGTERM");
    await pause(500);
  },
  "killed in a release": async ({ crew, armed }) => {
    const struck = armed.next({
      rpc: "update_video_queue_status",
      when: "before",
      effect: "kill",
      where: (text) => text.includes('"pending"'),
    });
    crew.signalBusy("SIGTERM");
    await struck;
  },
  "SIGSTOP for longer than the lease": async ({ crew, rig }) => {
    const name = crew.signalBusy("SIGSTOP");
    await pause(300);
    await expire(rig, [name]); // what a lease's length would bring about
    await pause(1500);
    crew.signalNamed(name, "SIGCONT");
  },
  "killed in a sweep, connections cut": async ({ rig }) => {
    await rig.database.admin`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`;
  },
};

export const POINTS: readonly string[] = [...Object.keys(STRIKES), ...Object.keys(SCENES)];

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const log = options.log ?? (() => {});
  const random = mulberry32(options.seed);
  await using rig = await startRunnerRig({
    line: { connectMs: 5, latencyMs: 10, bytesPerSecond: 700_000 },
    env: { RUNNER_LEASE_SECONDS: `${LEASE_SECONDS}`, RUNNER_EXTRAS: "off", RUNNER_STOP_SECONDS: "2" },
  });
  const armed = new Armed();
  let rate = 0.02;
  await using crew = new Crew({ rig, armed, rate: () => rate, random });
  crew.start();
  rig.hub.chaos({ seed: options.seed, rate: 0.05 });
  const sweeper = startSweeper(rig, crew);
  const ids: string[] = [];
  const struck: Record<string, number> = {};
  const missed: string[] = [];
  for (let pass = 0; pass < options.passes; pass++) {
    for (const point of shuffle(options.points ?? POINTS, random)) {
      if (await openJobs(rig) < MIN_OPEN_JOBS) ids.push(...await addJobs(rig, ids.length, options.jobs));
      const scene = SCENES[point];
      const strike = scene ? scene({ rig, armed, crew }) : armed.next(STRIKES[point]!);
      const done = await Promise.race([strike.then(() => true), pause(STRIKE_SECONDS * 1000).then(() => false)]);
      armed.disarm();
      log(`${done ? "struck" : "missed"}: ${point}`);
      if (done) struck[point] = (struck[point] ?? 0) + 1;
      else missed.push(point);
    }
  }
  rate = 0;
  rig.hub.clearFailures();
  const startedAt = performance.now();
  const problems = await drain(rig, ids, log);
  const drainSeconds = (performance.now() - startedAt) / 1000;
  await sweeper.stop();
  const checked = await checkArchives(rig, ids);
  const attempts = await rig.database.sql<{ attempts: number }[]>`
    select lease_epoch as attempts from public.video_queue order by lease_epoch desc`;
  return {
    jobs: ids.length,
    struck,
    missed,
    copies: checked.copies,
    exhausted: checked.exhausted,
    runs: attempts.map((row) => row.attempts),
    drainSeconds,
    problems: [...problems, ...checked.problems],
  };
}

/** Runners that are started again whenever they end, as a container's restart policy does. */
class Crew implements AsyncDisposable {
  readonly #options: { rig: RunnerRig; armed: Armed; rate: () => number; random: () => number };
  readonly #gateways: FlakyGateway[] = [];
  readonly #current: (RunnerProcess | null)[] = [];
  readonly #lives: Promise<void>[] = [];
  readonly dead = new Set<string>();
  #over = false;

  constructor(options: { rig: RunnerRig; armed: Armed; rate: () => number; random: () => number }) {
    this.#options = options;
  }

  start(): void {
    for (let i = 0; i < RUNNERS; i++) this.#lives.push(this.#live(i));
  }

  /** Sends a signal to a runner that holds a job, else to any. Answers its name. */
  signalBusy(signal: Deno.Signal): string {
    const alive = this.#current.filter((runner) => runner !== null);
    const busy = alive.find((runner) => holds(runner)) ?? alive[0];
    if (busy !== undefined) kill(busy, signal);
    return busy?.name ?? "";
  }

  signalNamed(name: string, signal: Deno.Signal): void {
    const runner = this.#current.find((runner) => runner?.name === name);
    if (runner) kill(runner, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    for (const runner of this.#current) if (runner !== null) (kill(runner, "SIGCONT"), kill(runner, "SIGKILL"));
    await Promise.all(this.#lives);
    for (const gateway of this.#gateways) await gateway[Symbol.asyncDispose]();
  }

  async #live(i: number): Promise<void> {
    const { rig, armed, rate, random } = this.#options;
    const gateway = startFlakyGateway({
      upstream: rig.gateway.url,
      armed,
      rate,
      random,
      kill: () => this.#current[i] && kill(this.#current[i]!, "SIGKILL"),
    });
    this.#gateways.push(gateway);
    for (let life = 1; !this.#over; life++) {
      const name = `runner${i}-${life}`;
      this.#current[i] = rig.spawn(name, { SUPABASE_URL: gateway.url });
      await this.#current[i]!.ended;
      this.dead.add(name);
    }
  }
}

function holds(runner: RunnerProcess): boolean {
  const count = (event: string) => runner.lines.filter((line) => line.includes(`"event":"${event}"`)).length;
  const ended = ["job:finished", "job:failed", "job:released", "job:lost"].reduce(
    (sum, event) => sum + count(event),
    0,
  );
  return count("job:claimed") > ended;
}

function kill(runner: RunnerProcess, signal: Deno.Signal): void {
  try {
    runner.child.kill(signal);
  } catch {
    // it has ended
  }
}

/** pg_cron's sweep, with time moved on for leases of the dead and for back-offs. */
function startSweeper(rig: RunnerRig, crew: Crew) {
  let over = false;
  const loop = (async () => {
    while (!over) {
      try {
        if (crew.dead.size > 0) await expire(rig, [...crew.dead]);
        await rig.database.sql`select public.sweep()`;
        await rig.database
          .sql`update public.video_queue set run_at = now() where status = 'failed' and terminal_at is null and run_at > now()`;
      } catch {
        // its connection was cut: the next one does it
      }
      await pause(300);
    }
  })();
  return { stop: async () => (over = true, await loop) };
}

async function expire(rig: RunnerRig, owners: string[]): Promise<void> {
  await rig.database.sql`
    update public.video_queue set lease_expires_at = now() - interval '1 second'
    where split_part(lease_owner, '#', 1) = any(${owners}) and lease_token is not null`;
  await rig.database.sql`
    delete from keepstream.resource_leases where split_part(holder, '#', 1) = any(${owners})`;
}

async function addJobs(rig: RunnerRig, from: number, count: number): Promise<string[]> {
  const added = [];
  for (let i = 0; i < count; i++) {
    const medium = rig.origin.media[(from + i) % rig.origin.media.length]!;
    added.push(
      await again(async () =>
        rig.enqueue({
          mal_id: 1 + ((from + i) % 3),
          episode: from + i + 1,
          provider: "catalogue",
          video_url: await medium.url(),
          embed_url: medium.embedUrl,
          resolution: medium.resolution,
        })
      ),
    );
  }
  return added;
}

async function openJobs(rig: RunnerRig): Promise<number> {
  const [row] = await again(() =>
    rig.database.sql<{ open: number }[]>`
      select count(*)::int as open from public.video_queue where status <> 'ready' and terminal_at is null`
  );
  return row!.open;
}

async function drain(rig: RunnerRig, ids: readonly string[], log: (line: string) => void): Promise<string[]> {
  const end = Date.now() + DRAIN_SECONDS * 1000;
  for (;;) {
    const open = await openJobs(rig);
    log(`open: ${open} of ${ids.length}`);
    if (open === 0) return [];
    if (Date.now() > end) return [`${open} jobs did not end within ${DRAIN_SECONDS} s after the faults stopped`];
    await pause(1000);
  }
}

async function checkArchives(
  rig: RunnerRig,
  ids: readonly string[],
): Promise<{ copies: number; exhausted: number; problems: string[] }> {
  const problems: string[] = [];
  let copies = 0;
  let exhausted = 0;
  for (const id of ids) {
    const row = await rig.job(id);
    if (row.error_class === "lease_expired" && row.terminal_at !== null && row.attempts >= MAX_ATTEMPTS) {
      exhausted++;
      continue;
    }
    if (row.status !== "ready") {
      problems.push(`${id} ended as ${row.status}: ${row.error_class} ${row.error_message}`);
      continue;
    }
    const replicas = await rig.database.sql<{ repo: string; path: string; sha256: string }[]>`
      select r.repo, r.path, s.sha256 from public.video_store s join public.video_replicas r on r.store_id = s.id
      where s.queue_id = ${id} and r.state = 'verified'`;
    if (replicas.length === 0) problems.push(`${id} is ready without a verified copy`);
    for (const replica of replicas) {
      const owner = replica.repo.split("/")[0]!;
      const response = await fetch(`${rig.hub.url}/datasets/${replica.repo}/resolve/main/${replica.path}`, {
        headers: { authorization: `Bearer hf_token${owner.slice("user".length)}` },
      });
      const hash = createHash("sha256").update(await response.bytes()).digest("hex");
      if (hash !== replica.sha256) {
        problems.push(`${replica.repo}/${replica.path} holds other bytes than the store says`);
      }
      copies++;
    }
  }
  return { copies, exhausted, problems };
}

/** For statements of the test itself, whose connection a scene may have cut. */
async function again<T>(run: () => PromiseLike<T>): Promise<T> {
  for (let i = 0;; i++) {
    try {
      return await run();
    } catch (error) {
      if (i === 5) throw error;
      await pause(200);
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
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
