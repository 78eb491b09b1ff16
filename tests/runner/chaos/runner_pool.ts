/**
 * Runners that are restarted whenever they exit, as by a container's restart policy. Each reaches database and hub through its own fault
 * proxies. Records their attempts from their logs. Example: `await using pool = startRunnerPool({ fixture, members: newMembers(3), … })`.
 */
import type { RunnerFixture, RunnerProcess, SpawnOptions } from "../../../dev/testing/runner_fixture.ts";
import { type Call, type FaultProxy, startFaultProxy, type Verdict } from "../fault_proxy.ts";

export type Side = "queue" | "hub" | "cdn";

/** One attempt at a job, by the runner's log. */
export type Attempt = {
  readonly job: string;
  readonly from: number;
  to: number | null;
  worked: boolean;
  /** The lease ended while the runner slept. */
  sleptOver: boolean;
  end: string;
};

export type RunnerPoolOptions = {
  readonly fixture: RunnerFixture;
  readonly members: readonly Member[];
  readonly spawnOptions: (index: number) => SpawnOptions;
  readonly strike: (member: Member, side: Side, call: Call) => Verdict | Promise<Verdict>;
};

const RESTART_MS = 100;
const ENDS = new Set(["job:finished", "job:failed", "job:released", "job:lost", "job:partially_replicated"]);
const WORK = new Set(["job:phase", "job:resumed"]);

export class Member {
  readonly index: number;
  readonly attempts: Attempt[] = [];
  /** Leases of the current process, by its proxy or its log; an end in the log removes one. */
  readonly leased = new Set<string>();
  runner: RunnerProcess | null = null;
  /** No fault is in progress. */
  idle = true;
  /** Applies to its next call of the queue. */
  nextCall: (() => Verdict) | null = null;
  /** Response to its next commit. */
  nextCommit: (() => Verdict) | null = null;
  /** Logs of its processes, by name. */
  readonly logs = new Map<string, readonly string[]>();
  #read = 0;
  #stopping = false;
  /** Leases that ended during its sleep, of jobs not yet in its log. */
  readonly #sleptOver = new Set<string>();

  constructor(index: number) {
    this.index = index;
  }

  get name(): string {
    return this.runner?.name ?? "";
  }

  signal(signal: Deno.Signal): void {
    try {
      this.runner?.child.kill(signal);
    } catch {
      // it has ended
    }
  }

  /** The verdict of an earlier fault for this call. */
  owes(side: Side, { name, when }: Call): Verdict | null {
    if (when !== "before") return null;
    if (side === "hub" && name === "commit" && this.nextCommit !== null) {
      const verdict = this.nextCommit();
      this.nextCommit = null;
      return verdict;
    }
    if (side === "queue" && this.nextCall !== null) {
      const verdict = this.nextCall();
      this.nextCall = null;
      return verdict;
    }
    return null;
  }

  /** Reads claims and releases from a response of the queue. */
  noteLeases({ name, text }: Call): void {
    if (name === "claim_pending_videos" && text.startsWith("[")) {
      for (const row of JSON.parse(text) as { id: string }[]) this.leased.add(row.id);
    }
    if (name === "update_video_queue_status" && text.startsWith("{")) {
      const row = JSON.parse(text) as { id?: string; status?: string };
      if (row.id !== undefined && row.status === "pending") this.leased.delete(row.id);
    }
  }

  /** Reads new log lines. */
  readLog(): void {
    const lines = this.runner?.lines ?? [];
    for (; this.#read < lines.length; this.#read++) this.#note(parseLine(lines[this.#read]!));
  }

  /** The process has exited: its unfinished attempts were killed. */
  exited(): void {
    this.readLog();
    for (const attempt of this.attempts) {
      if (attempt.to === null) Object.assign(attempt, { to: Date.now(), end: "killed" });
    }
  }

  /** The lease of this job ended while it slept. */
  sleptOver(job: string): void {
    this.readLog();
    const attempt = this.attempts.findLast((attempt) => attempt.job === job && attempt.to === null);
    if (attempt === undefined) this.#sleptOver.add(job);
    else attempt.sleptOver = true;
  }

  begin(runner: RunnerProcess): void {
    this.#stopping = false;
    this.#sleptOver.clear();
    this.runner = runner;
    this.logs.set(runner.name, runner.lines);
    this.#read = 0;
    this.leased.clear();
    this.idle = true;
  }

  #note(
    line: { event: string; id: string; at: string; reason?: string; code?: string; message?: string } | null,
  ): void {
    if (line === null) return;
    const at = Date.parse(line.at);
    if (line.event === "runner:stopping") this.#stopping = true;
    if (line.event === "job:claimed") {
      this.leased.add(line.id); // again, if the end of an earlier attempt is read after this claim
      const sleptOver = this.#sleptOver.delete(line.id);
      this.attempts.push({ job: line.id, from: at, to: null, worked: false, sleptOver, end: "running" });
      return;
    }
    const attempt = this.attempts.findLast((attempt) => attempt.job === line.id);
    if (attempt === undefined) return;
    if (WORK.has(line.event)) attempt.worked = true;
    if (!ENDS.has(line.event) || attempt.to !== null) return;
    attempt.to = at;
    const what = line.event.slice("job:".length) + (this.#stopping ? " while stopping" : "");
    attempt.end = [what, line.code ?? line.reason, line.message].filter(Boolean).join(": ");
    this.leased.delete(line.id);
  }
}

export type RunnerPool = AsyncDisposable & {
  /** Names of exited processes. */
  readonly dead: ReadonlySet<string>;
};

export function newMembers(size: number): Member[] {
  return Array.from({ length: size }, (_, index) => new Member(index));
}

export function startRunnerPool(options: RunnerPoolOptions): RunnerPool {
  const { members } = options;
  const proxies: FaultProxy[] = [];
  const dead = new Set<string>();
  let over = false;

  function proxiesOf(member: Member): Readonly<Record<string, string>> {
    const { gateway, hub } = options.fixture;
    const strike = (side: Side) => (call: Call) => options.strike(member, side, call);
    const queue = startFaultProxy({
      upstream: gateway.url,
      nameOf: (_, path) => path.split("/").at(-1)!,
      strike: strike("queue"),
    });
    const cdn = startFaultProxy({ upstream: hub.cdnUrl, nameOf: partOf, strike: strike("cdn") });
    const api: FaultProxy = startFaultProxy({
      upstream: hub.url,
      nameOf: (_, path) => path.includes("/commit/") ? "commit" : "other",
      strike: strike("hub"),
      rewrite: (text) => text.replaceAll(hub.cdnUrl, cdn.url).replaceAll(hub.url, api.url),
    });
    proxies.push(queue, cdn, api);
    return { SUPABASE_URL: queue.url, HF_ENDPOINT: api.url };
  }

  const lives = members.map(async (member) => {
    const own = proxiesOf(member);
    const { env, ...more } = options.spawnOptions(member.index);
    for (let life = 1; !over; life++) {
      const name = `runner${member.index}-${life}`;
      member.begin(options.fixture.spawn(name, { ...more, env: { ...env, ...own } }));
      await member.runner!.ended;
      member.exited();
      dead.add(name);
      await new Promise((done) => setTimeout(done, RESTART_MS));
    }
  });
  const reading = setInterval(() => members.forEach((member) => member.readLog()), 50);
  return {
    dead,
    async [Symbol.asyncDispose]() {
      if (over) return;
      over = true;
      for (const member of members) (member.signal("SIGCONT"), member.signal("SIGTERM"));
      const force = setTimeout(() => members.forEach((member) => member.signal("SIGKILL")), 5000);
      await Promise.all(lives);
      clearTimeout(force);
      clearInterval(reading);
      await Promise.all(proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    },
  };
}

/** `PUT /upload/<id>/3` is the third part of a file. */
function partOf(method: string, path: string): string {
  const part = /^\/upload\/[^/]+\/(\d+)$/.exec(path)?.[1];
  return method === "PUT" ? `part ${part ?? 1}` : "read";
}

function parseLine(line: string): { event: string; id: string; at: string } | null {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
