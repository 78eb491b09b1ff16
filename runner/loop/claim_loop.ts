/**
 * Claims a job for every free slot, keeps all leases alive with one call, and lets every job end in one way: finished, failed, released
 * or lost. Example: `const loop = startClaimLoop({ queue, runJob, … })`; `loop.wake()`; `await loop.stop(8)`. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import type { Events } from "../events.ts";
import { DiskFull } from "../work_dir/disk_budget.ts";
import { Progress, type ProgressRow } from "../job/progress.ts";
import type { JobRun } from "../job/run_job.ts";
import {
  type Failure,
  type Job,
  LeaseLost,
  type LeaseState,
  type Queue,
  QueueRefusal,
  QueueUnavailable,
} from "../queue/queue.ts";
import type { Capacity } from "./capacity.ts";
import { Cancelled, Stopped } from "../job/stop_reasons.ts";

const TICK_MS = 1000;
/** A lease is renewed when a third of it is used, so that two lost heartbeats are survived. */
const RENEW_AT = 1 / 3;
/** Stop that much before the database would give the job to somebody else. */
const LEASE_MARGIN_MS = 2000;
const REPORT_RETRY_MS = 1000;
const RENEW_RETRY_MS = 300;
/** How long a stopping runner tries to give a job back to a queue that does not answer; after that the lease tells. */
const RELEASE_SECONDS = 10;
/** How often a runner asks whether the sweep is overdue, at most. */
const SWEEP_CHECK_MS = 10_000;
/** How often a runner that claims nothing looks whether it could again. */
const PAUSED_POLL_SECONDS = 10;
/** A run-once that can claim nothing, because the queue does not answer or the disk is full, ends after so many tries. */
const MAX_FAILED_CLAIMS = 5;

export type ActiveJob = {
  readonly job: Job;
  readonly startedAt: number;
  readonly progress: () => ProgressRow;
};

export type ClaimLoop = {
  /** There is work: claim now instead of at the next poll. */
  readonly wake: () => void;
  readonly active: () => readonly ActiveJob[];
  /** No new claims; uploads get `seconds` to end, everything else is given back at once. */
  readonly stop: (seconds: number) => Promise<void>;
  /** Resolves when the queue had nothing due and no job is running (run-once), or stop has ended. Rejects when run-once hears no queue. */
  readonly drained: Promise<void>;
};

export type LoopOptions = {
  readonly queue: Queue;
  readonly events: Events;
  readonly runJob: (job: Job, run: JobRun) => Promise<void>;
  readonly concurrency: number;
  readonly leaseSeconds: number;
  readonly pollSeconds: number;
  readonly releaseSeconds?: number;
  readonly room?: () => Promise<Capacity>;
  /** true: stop when nothing is due. */
  readonly once?: boolean;
};

type Running = {
  readonly job: Job;
  readonly abort: AbortController;
  readonly progress: Progress;
  readonly startedAt: number;
  row: ProgressRow;
  sent: string;
  renewedAt: number;
  /** Whether the row is ready; pending while it is being written, when only that answer tells whose the job was. */
  recorded: boolean | Promise<boolean>;
  done: Promise<void>;
};

export function startClaimLoop(options: LoopOptions): ClaimLoop {
  const loop = new Loop(options);
  return { wake: () => loop.wake(), active: () => loop.active(), stop: (s) => loop.stop(s), drained: loop.run() };
}

class Loop {
  readonly #options: LoopOptions;
  /** By lease: a job whose lease was lost may be claimed again here while the run that lost it still winds down. */
  readonly #running = new Map<string, Running>();
  /** Their end could not be told: they wait for their lease, for at once they would only end the same way. */
  readonly #untold: Job[] = [];
  /** Why the last claim failed. */
  #trouble: unknown = null;
  /** Why nothing is claimed now. */
  #paused: string | null = null;
  #stopping = false;
  #woken = false;
  #wakeUp: () => void = () => {};
  #heartbeat: Promise<void> = Promise.resolve();
  #beating = false;
  #sweepAskedAt = -Infinity;

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const timer = setInterval(() => void this.#tick(), TICK_MS);
    try {
      for (let failed = 0; !this.#stopping;) {
        this.#woken = false;
        const claimed = await this.#claim();
        if (claimed !== null && claimed > 0) continue; // a slot may be left, and so may work
        const asked = claimed !== null && await this.#giveBackStrays();
        await this.#sweepIfOverdue();
        failed = asked ? 0 : failed + 1;
        if (this.#options.once && this.#running.size === 0 && !this.#woken) {
          if (asked) return;
          if (failed >= MAX_FAILED_CLAIMS) throw this.#trouble;
        }
        await this.#rest();
      }
      await Promise.all([...this.#running.values()].map((running) => running.done));
    } finally {
      clearInterval(timer);
      await this.#heartbeat;
    }
  }

  wake(): void {
    this.#woken = true;
    this.#wakeUp();
  }

  active(): ActiveJob[] {
    return [...this.#running.values()].map(({ job, startedAt, progress }) => ({
      job,
      startedAt,
      progress: () => progress.sample(),
    }));
  }

  async stop(seconds: number): Promise<void> {
    this.#stopping = true;
    this.#wakeUp();
    const nearlyDone = ({ progress }: Running) => progress.phase === "uploading" || progress.phase === "replicating";
    for (const running of this.#running.values()) if (!nearlyDone(running)) running.abort.abort(new Stopped());
    let timer: ReturnType<typeof setTimeout> | undefined;
    const budget = new Promise<void>((over) => timer = setTimeout(over, seconds * 1000));
    await Promise.race([this.#allDone(), budget]);
    clearTimeout(timer);
    for (const running of this.#running.values()) running.abort.abort(new Stopped());
    await this.#allDone();
  }

  async #allDone(): Promise<void> {
    await Promise.all([...this.#running.values()].map((running) => running.done));
  }

  /** How many jobs were claimed; null when none could be asked for. */
  async #claim(): Promise<number | null> {
    const free = this.#options.concurrency - this.#running.size;
    if (free <= 0) return 0;
    const room = await this.#options.room?.();
    const paused = room === undefined || room.jobs > 0 ? null : room.missing ?? null;
    this.#pause(paused?.reason ?? null);
    if (paused !== null) {
      // A job that cannot end well would only be claimed and given back, and so would every other that is due.
      this.#trouble = new KeepstreamError(paused.code, paused.reason);
      return null;
    }
    const askedAt = performance.now();
    let jobs: Job[];
    try {
      jobs = await this.#options.queue.claim(Math.min(free, room?.jobs ?? free));
    } catch (error) {
      this.#trouble = error;
      this.#unavailable("claim", error);
      return null;
    }
    for (const job of jobs) this.#start(job, askedAt);
    return jobs.length;
  }

  /** Tells once why nothing is claimed, and once that claims go on. */
  #pause(reason: string | null): void {
    if (reason === this.#paused) return;
    this.#paused = reason;
    this.#options.events.emit(reason === null ? { event: "claims:resumed" } : { event: "claims:paused", reason });
  }

  /** Answers whether the queue was heard. What was given back is due again, and claimed in the next round. */
  async #giveBackStrays(): Promise<boolean> {
    try {
      const running = [...this.#running.values()].map(({ job }) => job);
      const given = await this.#options.queue.giveBackStrays([...running, ...this.#untold]);
      if (given > 0) this.wake();
      return true;
    } catch (error) {
      if (error instanceof LeaseLost) return true; // it ran out meanwhile
      this.#trouble = error;
      this.#unavailable("claim", error);
      return false;
    }
  }

  /** Without pg_cron nobody else would reclaim the leases of a runner that was killed. */
  async #sweepIfOverdue(): Promise<void> {
    if (performance.now() - this.#sweepAskedAt < SWEEP_CHECK_MS) return;
    this.#sweepAskedAt = performance.now();
    try {
      const reclaimed = await this.#options.queue.sweepIfOverdue();
      if (reclaimed !== null) this.#options.events.emit({ event: "queue:swept", reclaimed });
    } catch (error) {
      if (!(error instanceof QueueUnavailable)) this.#unavailable("sweep", error); // else the claim has said so
    }
  }

  #start(job: Job, leasedAt: number): void {
    const { events } = this.#options;
    const progress = new Progress(() => performance.now());
    const row = progress.sample();
    const running: Running = {
      job,
      abort: new AbortController(),
      progress,
      startedAt: Date.now(),
      row,
      sent: "",
      renewedAt: leasedAt,
      recorded: false,
      done: Promise.resolve(),
    };
    this.#running.set(job.leaseToken, running);
    const { id, malId, episode, provider, resolution, attempt } = job;
    events.emit({ event: "job:claimed", id, malId, episode, provider, resolution, attempt });
    running.done = this.#runToEnd(running).finally(() => {
      this.#running.delete(job.leaseToken);
      this.wake(); // a slot is free: ask for the next job now
    });
  }

  async #runToEnd(running: Running): Promise<void> {
    const { job, abort } = running;
    if (this.#stopping) abort.abort(new Stopped());
    try {
      abort.signal.throwIfAborted();
      await this.#options.runJob(job, {
        progress: running.progress,
        signal: abort.signal,
        beforeCommit: () => this.#renew(running),
        record: (write) => this.#record(running, write),
      });
    } catch (error) {
      const cause = abort.signal.aborted ? abort.signal.reason : error;
      await this.#settle(running, cause).catch((failure) => this.#unavailable("report", failure));
    }
  }

  /** Tells the queue how a job ended that did not end well. */
  async #settle(running: Running, error: unknown): Promise<void> {
    const { job } = running;
    const { events, queue } = this.#options;
    if (running.recorded === true) { // ready already: what is missing is repair work
      return events.emit({ event: "job:cut_short", id: job.id, reason: redactText(String((error as Error).message)) });
    }
    if (error instanceof LeaseLost) {
      return events.emit({ event: "job:lost", id: job.id, reason: redactText(error.message) });
    }
    const failure = toFailure(error, job);
    const report = isRelease(error, failure)
      ? () => queue.report(job, "pending", failure)
      : () => queue.report(job, "failed", failure);
    const told = await this.#tell(running, report);
    if (!told) {
      this.#untold.push(job);
      return events.emit({ event: "job:lost", id: job.id, reason: "the queue could not be told in time" });
    }
    const { code, message } = failure;
    if (isRelease(error, failure)) {
      events.emit({ event: "job:released", id: job.id, reason: code === "shutdown" ? message : `${code}: ${message}` });
    } else events.emit({ event: "job:failed", id: job.id, code, message });
  }

  /** Repeats until the queue answered or the lease is over, while stopping for a few seconds only; a report that arrived twice is refused the second time, harmlessly. */
  async #tell(running: Running, report: () => Promise<unknown>): Promise<boolean> {
    const since = performance.now();
    for (;;) {
      try {
        await report();
        return true;
      } catch (error) {
        if (error instanceof LeaseLost) return false;
        if (error instanceof QueueRefusal) {
          this.#unavailable("report", error);
          return false;
        }
        this.#unavailable("report", error);
        if (this.#leaseLeft(running) < REPORT_RETRY_MS) return false;
        const patience = this.#options.releaseSeconds ?? RELEASE_SECONDS;
        if (this.#stopping && performance.now() - since > patience * 1000) return false;
        await new Promise((done) => setTimeout(done, REPORT_RETRY_MS));
      }
    }
  }

  async #tick(): Promise<void> {
    for (const running of this.#running.values()) {
      running.row = running.progress.sample();
      this.#emitProgress(running);
      if (running.recorded === false && this.#leaseLeft(running) <= 0) {
        running.abort.abort(new LeaseLost("no heartbeat got through before the lease ended"));
      }
    }
    if (this.#beating) return;
    const held = [...this.#running.values()].filter((running) =>
      running.recorded === false && !running.abort.signal.aborted
    );
    const due = held.some((running) => this.#age(running) > this.#options.leaseSeconds * 1000 * RENEW_AT);
    const changed = held.filter((running) => JSON.stringify(running.row) !== running.sent);
    if (held.length === 0 || (!due && changed.length === 0)) return;
    this.#beating = true;
    this.#heartbeat = this.#beat(held, changed).finally(() => this.#beating = false);
    await this.#heartbeat;
  }

  async #beat(held: readonly Running[], changed: readonly Running[]): Promise<void> {
    const askedAt = performance.now();
    const progress = Object.fromEntries(changed.map((running) => [running.job.id, running.row]));
    try {
      const states = await this.#options.queue.heartbeat(held.map((running) => running.job), progress);
      for (const running of changed) running.sent = JSON.stringify(running.row);
      for (const state of states) {
        const running = held.find(({ job }) => job.id === state.id);
        if (running === undefined || running.recorded === true) continue; // ended while the heartbeat was under way
        if (state.lost) void this.#lost(running, new LeaseLost("somebody else holds the job"));
        else if (state.cancel_requested) running.abort.abort(new Cancelled());
        else running.renewedAt = askedAt;
      }
    } catch (error) {
      this.#unavailable("heartbeat", error);
    }
  }

  /** Right before a commit: the lease must be ours for longer than the commit takes. */
  async #renew(running: Running): Promise<void> {
    running.abort.signal.throwIfAborted();
    if (await running.recorded) return;
    const { state, askedAt } = await this.#askForLease(running);
    if (state === undefined || state.lost) {
      await this.#lost(running, new LeaseLost("the lease ended before the commit"));
    } else if (state.cancel_requested) running.abort.abort(new Cancelled());
    running.abort.signal.throwIfAborted();
    running.renewedAt = askedAt;
  }

  /** A queue that is away for a moment costs no upload: it is asked again for as long as the lease lasts. */
  async #askForLease(running: Running): Promise<{ state: LeaseState | undefined; askedAt: number }> {
    for (;;) {
      const askedAt = performance.now();
      try {
        const [state] = await this.#options.queue.heartbeat([running.job], {});
        return { state, askedAt };
      } catch (error) {
        if (!(error instanceof QueueUnavailable) || this.#leaseLeft(running) <= 0) throw error;
        this.#unavailable("heartbeat", error);
      }
      await new Promise((done) => setTimeout(done, RENEW_RETRY_MS));
      running.abort.signal.throwIfAborted();
    }
  }

  async #record<T>(running: Running, write: () => Promise<T>): Promise<T> {
    const writing = write();
    running.recorded = writing.then(() => true, () => false);
    try {
      return await writing;
    } finally {
      running.recorded = await running.recorded;
      if (running.recorded) running.progress.enter("replicating");
    }
  }

  /** A heartbeat found no lease: somebody else has the job – unless we gave the lease back ourselves by making the row ready. */
  async #lost(running: Running, reason: LeaseLost): Promise<void> {
    if (!await running.recorded) running.abort.abort(reason);
  }

  /** Until woken, a slot is free, or the poll is due. */
  async #rest(): Promise<void> {
    if (this.#woken || this.#stopping) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((done) => {
      this.#wakeUp = done;
      const seconds = this.#options.pollSeconds;
      timer = setTimeout(done, 1000 * (this.#paused === null ? seconds : Math.min(seconds, PAUSED_POLL_SECONDS)));
    });
    this.#wakeUp = () => {};
    clearTimeout(timer);
  }

  #age(running: Running): number {
    return performance.now() - running.renewedAt;
  }

  #leaseLeft(running: Running): number {
    return this.#options.leaseSeconds * 1000 - LEASE_MARGIN_MS - this.#age(running);
  }

  #emitProgress(running: Running): void {
    const { phase, bytes_done, bytes_total, bytes_per_second, eta_seconds } = running.row;
    this.#options.events.emit({
      event: "job:progress",
      id: running.job.id,
      phase,
      bytesDone: bytes_done,
      bytesTotal: bytes_total,
      bytesPerSecond: bytes_per_second,
      etaSeconds: eta_seconds,
    });
  }

  #unavailable(during: string, error: unknown): void {
    const message = redactText(error instanceof Error ? error.message : String(error));
    this.#options.events.emit({ event: "queue:unavailable", during, message });
  }
}

function toFailure(error: unknown, job: Job): Failure {
  const candidateId = job.candidates[0]!.id;
  if (error instanceof Stopped) return { code: "shutdown", message: "the runner is stopping", candidateId };
  if (error instanceof Cancelled) return { code: "cancelled", message: "cancelled", candidateId };
  if (error instanceof KeepstreamError) {
    const { code, retryAfterSeconds } = error;
    return { code, message: redactText(error.message), retryAfterSeconds, candidateId };
  }
  const message = redactText(error instanceof Error ? error.message : String(error));
  return { code: error instanceof QueueUnavailable ? "network" : "unknown", message, candidateId };
}

/** Not the job's doing: it is given back, and costs no attempt. A disk that is too small for the job will stay so. */
function isRelease(error: unknown, failure: Failure): boolean {
  if (failure.code === "disk_full") return !(error instanceof DiskFull && error.neededBytes === null);
  return failure.code === "shutdown";
}
