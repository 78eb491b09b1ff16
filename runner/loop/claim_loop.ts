/**
 * Claims jobs while there is capacity, extends all leases with one call, and ends every job in one way: finished, failed, released or lost.
 * Example: `const loop = startClaimLoop({ queue, runJob, … })`; `loop.notify()`; `await loop.stop(8)`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import { retry } from "../../core/retry.ts";
import type { Events } from "../events.ts";
import { Progress, type ProgressRow } from "../job/progress.ts";
import type { JobRun } from "../job/job_tools.ts";
import { RpcError } from "../../core/rpc_error.ts";
import { type Job, LeaseLost, type LeaseState } from "../queue/job.ts";
import { isUnavailable, type Queue } from "../queue/queue.ts";
import { LEASE_RENEWAL, OUTCOME_REPORT } from "../retry_policies.ts";
import type { Capacity } from "./capacity.ts";
import { HeightHolds } from "./height_holds.ts";
import { type ActiveJob, progressEvent } from "./active_job.ts";
import { isRelease, toFailure } from "./job_failure.ts";
import { Cancelled, ShutdownError } from "../job/stop_reasons.ts";

const TICK_MS = 1000;
/** Share of a lease after which it is extended: two heartbeats may fail. */
const RENEW_AT = 1 / 3;
/** The job is aborted this long before the database may give it to another runner. */
const LEASE_MARGIN_MS = 2000;
/** How long a stopping runner tries to release a job; after that the lease has to expire. */
const RELEASE_SECONDS = 10;
/** Minimum time between two checks whether a sweep is overdue. */
const SWEEP_CHECK_MS = 10_000;
/** Poll interval while claims are paused. */
const PAUSED_POLL_SECONDS = 10;
/** A run-once ends after this many consecutive failed claims. */
const MAX_FAILED_CLAIMS = 5;

export type ClaimLoop = {
  /** Jobs are due: claim now instead of at the next poll. */
  readonly notify: () => void;
  readonly active: () => readonly ActiveJob[];
  /** No new claims. Uploads may finish within `seconds`; other jobs are released immediately. */
  readonly stop: (seconds: number) => Promise<void>;
  /** Resolves when no job is due or running (`once`), or after `stop`. Rejects if the queue is unreachable in `once` mode. */
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
  readonly capacity?: () => Promise<Capacity>;
  /** Stop when no job is due. */
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
  /** The job of whose source further heights wait, which this runner holds and claims next. */
  heightsOf: string | null;
  /** Whether the archive is committed. A promise while the response is pending: until then, who owns the job is unknown. */
  committed: boolean | Promise<boolean>;
  done: Promise<void>;
};

export function startClaimLoop(options: LoopOptions): ClaimLoop {
  const loop = new Loop(options);
  return { notify: () => loop.notify(), active: () => loop.active(), stop: (s) => loop.stop(s), drained: loop.run() };
}

class Loop {
  readonly #options: LoopOptions;
  /** By lease token: a job whose lease was lost can be claimed again while its first run is still stopping. */
  readonly #running = new Map<string, Running>();
  /** Their outcome could not be reported. Keep the lease, so that the job is not reclaimed immediately. */
  readonly #unreported: Job[] = [];
  /** Jobs whose last height has ended, of whose source the next one is to be claimed. */
  readonly #heights: string[] = [];
  readonly #holds: HeightHolds;
  /** The last failure of a claim. */
  #claimError: unknown = null;
  /** Why claims are paused. */
  #paused: string | null = null;
  #stopping = false;
  #notified = false;
  #notifyWaiter: () => void = () => {};
  #heartbeat: Promise<void> = Promise.resolve();
  #beating = false;
  #sweepAskedAt = -Infinity;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#holds = new HeightHolds(options, (error) => this.#unavailable("hold_heights", error));
  }

  async run(): Promise<void> {
    const timer = setInterval(() => void this.#tick(), TICK_MS);
    try {
      for (let failed = 0; !this.#stopping;) {
        this.#notified = false;
        const claimed = await this.#claim();
        if (claimed !== null && claimed > 0) continue; // there may be capacity and work left
        const asked = claimed !== null && await this.#releaseUnknownLeases();
        await this.#sweepIfOverdue();
        failed = asked ? 0 : failed + 1;
        if (this.#options.once && this.#running.size === 0 && !this.#notified) {
          if (asked) return;
          if (failed >= MAX_FAILED_CLAIMS) throw this.#claimError;
        }
        await this.#waitForWork();
      }
      await Promise.all([...this.#running.values()].map((running) => running.done));
    } finally {
      clearInterval(timer);
      await this.#heartbeat;
      await this.#holds.settled();
    }
  }

  notify(): void {
    this.#notified = true;
    this.#notifyWaiter();
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
    this.#notifyWaiter();
    const nearlyDone = ({ progress }: Running) => progress.phase === "uploading" || progress.phase === "replicating";
    for (const running of this.#running.values()) if (!nearlyDone(running)) running.abort.abort(new ShutdownError());
    let timer: ReturnType<typeof setTimeout> | undefined;
    const budget = new Promise<void>((over) => timer = setTimeout(over, seconds * 1000));
    await Promise.race([this.#allDone(), budget]);
    clearTimeout(timer);
    for (const running of this.#running.values()) running.abort.abort(new ShutdownError());
    await this.#allDone();
  }

  async #allDone(): Promise<void> {
    await Promise.all([...this.#running.values()].map((running) => running.done));
  }

  /** Returns how many jobs were claimed; null if the claim failed or is paused. */
  async #claim(): Promise<number | null> {
    const free = this.#options.concurrency - this.#running.size;
    if (free <= 0) return 0;
    const capacity = await this.#options.capacity?.();
    const paused = capacity === undefined || capacity.jobs > 0 ? null : capacity.missing ?? null;
    this.#pause(paused?.reason ?? null);
    if (paused !== null) {
      // A claimed job could not succeed and would be released again.
      this.#claimError = new KeepstreamError(paused.code, paused.reason);
      for (const id of this.#heights.splice(0)) this.#holds.end(id);
      return null;
    }
    const limit = Math.min(free, capacity?.jobs ?? free);
    const askedAt = performance.now();
    let jobs: readonly Job[];
    try {
      jobs = await this.#claimHeights(limit);
      if (jobs.length === 0) jobs = await this.#options.queue.claim(limit);
    } catch (error) {
      this.#claimError = error;
      this.#unavailable("claim", error);
      return null;
    }
    for (const job of jobs) this.#start(job, askedAt);
    return jobs.length;
  }

  /** The next height of each source whose last job has ended here. */
  async #claimHeights(limit: number): Promise<Job[]> {
    const jobs: Job[] = [];
    for (const id of this.#heights.splice(0, limit)) {
      const job = await this.#options.queue.claimHeight(id).catch((error) => {
        this.#holds.end(id);
        throw error;
      });
      if (job === null) this.#holds.end(id);
      else jobs.push(job);
    }
    return jobs;
  }

  /** Reports each pause and its end once. */
  #pause(reason: string | null): void {
    if (reason === this.#paused) return;
    this.#paused = reason;
    this.#options.events.emit(reason === null ? { event: "claims:resumed" } : { event: "claims:paused", reason });
  }

  /** Returns whether the queue responded. Released jobs are due again and claimed in the next round. */
  async #releaseUnknownLeases(): Promise<boolean> {
    try {
      const running = [...this.#running.values()].map(({ job }) => job);
      const given = await this.#options.queue.releaseUnknownLeases([...running, ...this.#unreported]);
      if (given > 0) this.notify();
      return true;
    } catch (error) {
      if (error instanceof LeaseLost) return true; // it expired meanwhile
      this.#claimError = error;
      this.#unavailable("claim", error);
      return false;
    }
  }

  /** Without pg_cron, no other process would rescue the leases of killed runners. */
  async #sweepIfOverdue(): Promise<void> {
    if (performance.now() - this.#sweepAskedAt < SWEEP_CHECK_MS) return;
    this.#sweepAskedAt = performance.now();
    try {
      const rescued = await this.#options.queue.sweepIfOverdue();
      if (rescued !== null) this.#options.events.emit({ event: "queue:swept", rescued });
    } catch (error) {
      if (!isUnavailable(error)) this.#unavailable("sweep", error); // the claim has already reported an outage
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
      heightsOf: job.heightOf ?? null,
      committed: false,
      done: Promise.resolve(),
    };
    this.#running.set(job.leaseToken, running);
    const { id, malId, episode, provider, resolution, attempt } = job;
    events.emit({ event: "job:claimed", id, malId, episode, provider, resolution, attempt });
    running.done = this.#runToEnd(running).then((goesOn) => {
      if (running.heightsOf === null) return;
      if (goesOn && !this.#stopping) this.#heights.push(running.heightsOf);
      else this.#holds.end(running.heightsOf);
    }).finally(() => {
      this.#running.delete(job.leaseToken);
      this.notify(); // capacity is free
    });
  }

  /** Returns whether the next height may be claimed: not after a release, or when the lease was lost. */
  async #runToEnd(running: Running): Promise<boolean> {
    const { job, abort } = running;
    if (this.#stopping) abort.abort(new ShutdownError());
    try {
      abort.signal.throwIfAborted();
      await this.#options.runJob(job, {
        progress: running.progress,
        signal: abort.signal,
        beforeCommit: () => this.#renew(running),
        onHeights: () => running.heightsOf = job.id,
        commitArchive: (write) => this.#commitArchive(running, write),
      });
      return true;
    } catch (error) {
      const cause = abort.signal.aborted ? abort.signal.reason : error;
      return await this.#reportOutcome(running, cause).catch((failure) => {
        this.#unavailable("report", failure);
        return false;
      });
    }
  }

  /** Reports a job that did not finish. Returns whether it failed, or was archived before. */
  async #reportOutcome(running: Running, error: unknown): Promise<boolean> {
    const { job } = running;
    const { events, queue } = this.#options;
    if (running.committed === true) { // the job is ready; missing copies are repaired later
      events.emit({
        event: "job:partially_replicated",
        id: job.id,
        reason: redactText(String((error as Error).message)),
      });
      return true;
    }
    if (error instanceof LeaseLost) {
      events.emit({ event: "job:lost", id: job.id, reason: redactText(error.message) });
      return false;
    }
    const failure = toFailure(error, job);
    const report = isRelease(error, failure)
      ? () => queue.report(job, "pending", failure)
      : () => queue.report(job, "failed", failure);
    const reported = await this.#reportUntilAcked(running, report);
    if (!reported) {
      this.#unreported.push(job);
      events.emit({ event: "job:lost", id: job.id, reason: "the outcome could not be reported" });
      return false;
    }
    const { code, message } = failure;
    if (isRelease(error, failure)) {
      events.emit({ event: "job:released", id: job.id, reason: code === "shutdown" ? message : `${code}: ${message}` });
      return false;
    }
    events.emit({ event: "job:failed", id: job.id, code, message });
    return true;
  }

  /** Returns whether the queue accepted the report. A report that arrives twice is refused the second time, without harm. */
  async #reportUntilAcked(running: Running, report: () => Promise<unknown>): Promise<boolean> {
    const startedAt = performance.now();
    const releaseMs = 1000 * (this.#options.releaseSeconds ?? RELEASE_SECONDS);
    const retryable = (error: unknown) => {
      if (error instanceof LeaseLost) return false;
      this.#unavailable("report", error);
      if (error instanceof RpcError && !error.isUnavailable) return false;
      if (this.#leaseLeft(running) < OUTCOME_REPORT.delayMs) return false;
      return !this.#stopping || performance.now() - startedAt <= releaseMs;
    };
    return await retry(report, OUTCOME_REPORT, { retryable }).then(() => true, () => false);
  }

  async #tick(): Promise<void> {
    for (const running of this.#running.values()) {
      running.row = running.progress.sample();
      this.#options.events.emit(progressEvent(running.job.id, running.row));
      if (running.committed === false && this.#leaseLeft(running) <= 0) {
        running.abort.abort(new LeaseLost("no heartbeat succeeded before the lease expired"));
      }
    }
    this.#holds.renew([...this.#heights, ...[...this.#running.values()].flatMap(({ heightsOf }) => heightsOf ?? [])]);
    if (this.#beating) return;
    const held = [...this.#running.values()].filter((running) =>
      running.committed === false && !running.abort.signal.aborted
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
        if (running === undefined || running.committed === true) continue; // ended during the heartbeat
        if (state.lost) void this.#lost(running, new LeaseLost("another runner has the job"));
        else if (state.cancel_requested) running.abort.abort(new Cancelled());
        else running.renewedAt = askedAt;
      }
    } catch (error) {
      this.#unavailable("heartbeat", error);
    }
  }

  /** Before a commit: the lease must be valid for longer than the commit takes. */
  async #renew(running: Running): Promise<void> {
    running.abort.signal.throwIfAborted();
    if (await running.committed) return;
    const { state, askedAt } = await this.#askForLease(running);
    if (state === undefined || state.lost) {
      await this.#lost(running, new LeaseLost("the lease expired before the commit"));
    } else if (state.cancel_requested) running.abort.abort(new Cancelled());
    running.abort.signal.throwIfAborted();
    running.renewedAt = askedAt;
  }

  /** An outage of the queue must not fail an upload: repeat as long as the lease is valid. Then the job is no longer ours. */
  async #askForLease(running: Running): Promise<{ state: LeaseState | undefined; askedAt: number }> {
    const heartbeat = async () => {
      const askedAt = performance.now();
      const [state] = await this.#options.queue.heartbeat([running.job], {});
      return { state, askedAt };
    };
    return await retry(heartbeat, LEASE_RENEWAL, {
      signal: running.abort.signal,
      retryable: (error) => isUnavailable(error) && this.#leaseLeft(running) > 0,
      onRetry: (error) => this.#unavailable("heartbeat", error),
    }).catch((error) => {
      throw isUnavailable(error) ? new LeaseLost("the queue was unavailable until the lease expired") : error;
    });
  }

  async #commitArchive<T>(running: Running, write: () => Promise<T>): Promise<T> {
    const writing = write();
    running.committed = writing.then(() => true, () => false);
    try {
      return await writing;
    } finally {
      running.committed = await running.committed;
      if (running.committed) running.progress.enter("replicating");
    }
  }

  /** The heartbeat found no lease. Another runner has the job, unless committing the archive has ended our lease. */
  async #lost(running: Running, reason: LeaseLost): Promise<void> {
    if (!await running.committed) running.abort.abort(reason);
  }

  /** Until a notification, free capacity or the next poll. */
  async #waitForWork(): Promise<void> {
    if (this.#notified || this.#stopping) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((done) => {
      this.#notifyWaiter = done;
      const seconds = this.#options.pollSeconds;
      timer = setTimeout(done, 1000 * (this.#paused === null ? seconds : Math.min(seconds, PAUSED_POLL_SECONDS)));
    });
    this.#notifyWaiter = () => {};
    clearTimeout(timer);
  }

  #age(running: Running): number {
    return performance.now() - running.renewedAt;
  }

  #leaseLeft(running: Running): number {
    return this.#options.leaseSeconds * 1000 - LEASE_MARGIN_MS - this.#age(running);
  }

  #unavailable(during: string, error: unknown): void {
    const message = redactText(error instanceof Error ? error.message : String(error));
    this.#options.events.emit({ event: "queue:unavailable", during, message });
  }
}
