import assert from "node:assert/strict";
import { createEvents, type RunnerEvent } from "../events.ts";
import { type LoopOptions, startClaimLoop } from "./claim_loop.ts";
import { RpcError } from "../../core/rpc_error.ts";
import type { Job } from "../queue/job.ts";
import type { Queue } from "../queue/queue.ts";

const JOB: Job = {
  id: "4ff4e4b2-b80d-4133-a8f6-8967071db4e0",
  malId: 55825,
  episode: 1,
  provider: "catalogue",
  resolution: "720p",
  leaseToken: "7999ff62-3bad-4573-9e8e-036bc7585cf2",
  attempt: 1,
  maxAttempts: 8,
  candidates: [{ id: null, embedUrl: null, videoUrl: "https://origin.test/a.mp4", kind: "mp4", headers: {} }],
};

/** A queue with one job, whose lease ends as soon as the row is ready, as in the database. */
function queueOfOne(state: { ready: boolean; heartbeatSent?: Promise<void> }): Queue {
  const jobs = [JOB];
  const queue: Partial<Queue> = {
    claim: () => Promise.resolve(jobs.splice(0)),
    releaseUnknownLeases: () => Promise.resolve(0),
    sweepIfOverdue: () => Promise.resolve(null),
    async heartbeat() {
      await state.heartbeatSent;
      return [{ id: JOB.id, cancel_requested: false, lost: state.ready }];
    },
  };
  return queue as Queue;
}

/** Runs the job of `queueOfOne` to its end. Returns the names of the events. */
async function runOnce(
  state: Parameters<typeof queueOfOne>[0],
  runJob: LoopOptions["runJob"],
): Promise<RunnerEvent["event"][]> {
  const events = createEvents();
  const seen: RunnerEvent["event"][] = [];
  events.on((event) => void seen.push(event.event));
  const times = { leaseSeconds: 120, pollSeconds: 0.05 };
  await startClaimLoop({ queue: queueOfOne(state), events, concurrency: 1, ...times, once: true, runJob }).drained;
  return seen;
}

Deno.test("claim loop: heartbeat before the commit's response → copies continue", async () => {
  const heartbeat = Promise.withResolvers<void>();
  const response = Promise.withResolvers<void>();
  const state = { ready: false, heartbeatSent: heartbeat.promise };
  let aborted: boolean | null = null;
  const seen = await runOnce(state, async (_job, run) => {
    const secondCommit = run.beforeCommit(); // the second target's commit starts while the archive is being committed
    const committing = run.commitArchive(async () => {
      state.ready = true; // committed, but the response is still pending
      await response.promise;
    });
    heartbeat.resolve();
    await new Promise((resolve) => setTimeout(resolve));
    response.resolve();
    await Promise.all([committing, secondCommit]);
    aborted = run.signal.aborted;
  });
  assert.equal(aborted, false);
  assert.deepEqual(seen.filter((event) => event === "job:lost" || event === "job:partially_replicated"), []);
});

Deno.test("claim loop: lease lost while the commit fails → the job is lost", async () => {
  const state = { ready: false };
  const seen = await runOnce(state, async (_job, run) => {
    state.ready = true;
    await run.beforeCommit();
  });
  assert.ok(seen.includes("job:lost"));
});

Deno.test("claim loop: queue away until the lease expires → lost, not failed", async () => {
  const away = () => Promise.reject(new RpcError("extend_video_lease", { status: 503, message: "away" }));
  const failures: unknown[] = [];
  const queue = {
    ...queueOfOne({ ready: false }),
    heartbeat: away,
    report: (...args: unknown[]) => Promise.resolve(failures.push(args)),
  } as unknown as Queue;
  const events = createEvents();
  const seen: RunnerEvent["event"][] = [];
  events.on((event) => void seen.push(event.event));
  const runJob: LoopOptions["runJob"] = async (_job, run) => await run.beforeCommit();
  const times = { leaseSeconds: 0.5, pollSeconds: 0.05 };
  await startClaimLoop({ queue, events, concurrency: 1, ...times, once: true, runJob }).drained;
  assert.ok(seen.includes("job:lost"));
  assert.deepEqual(failures, []);
});

Deno.test("claim loop: no disk space → no claim, no attempt used; once: disk_full", async () => {
  let claims = 0;
  const queue: Partial<Queue> = {
    claim: () => Promise.resolve((claims++, [])),
    releaseUnknownLeases: () => Promise.resolve(0),
    sweepIfOverdue: () => Promise.resolve(null),
  };
  let capacity = 0;
  const seen: RunnerEvent["event"][] = [];
  const start = () => {
    const events = createEvents();
    events.on((event) => void seen.push(event.event));
    return startClaimLoop({
      queue: queue as Queue,
      events,
      concurrency: 2,
      leaseSeconds: 120,
      pollSeconds: 0.01,
      once: true,
      capacity: () =>
        Promise.resolve({ jobs: capacity, missing: { code: "disk_full", reason: "the work directory is full" } }),
      runJob: () => Promise.resolve(),
    });
  };
  await assert.rejects(start().drained, { code: "disk_full" });
  assert.deepEqual([claims, new Set(seen)], [0, new Set(["claims:paused"])]);
  capacity = 1;
  await start().drained;
  assert.equal(claims, 1);
});

Deno.test("claim loop: reclaimed while the old run stops → the new one continues", async () => {
  const again: Job = { ...JOB, leaseToken: crypto.randomUUID() };
  const claims = [[JOB], [again]];
  const beaten = new Set<string>();
  const strays: string[] = [];
  let lost = false;
  const queue: Partial<Queue> = {
    claim: () => Promise.resolve(lost || claims.length === 2 ? claims.shift() ?? [] : []),
    releaseUnknownLeases(known) {
      if (claims.length === 0 && !over) strays.push(...known.some((job) => job === again) ? [] : [again.leaseToken]);
      return Promise.resolve(0);
    },
    sweepIfOverdue: () => Promise.resolve(null),
    heartbeat: (jobs) => {
      lost = true;
      for (const job of jobs) beaten.add(job.leaseToken);
      return Promise.resolve(jobs.map(({ id, leaseToken }) => ({
        id,
        cancel_requested: false,
        lost: leaseToken === JOB.leaseToken,
      })));
    },
  };
  const oldEnded = Promise.withResolvers<void>();
  let over = false;
  const loop = startClaimLoop({
    queue: queue as Queue,
    events: createEvents(),
    concurrency: 2,
    leaseSeconds: 120,
    pollSeconds: 0.02,
    once: true,
    async runJob(job, run) {
      run.progress.enter("downloading");
      if (job === JOB) {
        await new Promise((done) => run.signal.addEventListener("abort", done));
        while (!loop.active().some((active) => active.job === again)) await new Promise((next) => setTimeout(next, 5));
        return oldEnded.resolve();
      }
      await oldEnded.promise;
      beaten.clear();
      for (let done = 1; !beaten.has(again.leaseToken) && done < 100; done++) {
        run.progress.set(done);
        await new Promise((next) => setTimeout(next, 50));
      }
      over = true;
    },
  });
  await loop.drained;
  assert.ok(beaten.has(again.leaseToken), "its lease was renewed after the old run had ended");
  assert.deepEqual(strays, []);
});

Deno.test("claim loop: stop while the queue is unavailable → ends after a while", async () => {
  const jobs = [JOB];
  let reports = 0;
  const queue: Partial<Queue> = {
    claim: () => Promise.resolve(jobs.splice(0)),
    releaseUnknownLeases: () => Promise.resolve(0),
    sweepIfOverdue: () => Promise.resolve(null),
    heartbeat: () => Promise.reject(new RpcError("claim", { status: 0, message: "away" })),
    report: () => (reports++, Promise.reject(new RpcError("claim", { status: 0, message: "away" }))),
  };
  const events = createEvents();
  const seen: RunnerEvent["event"][] = [];
  events.on((event) => void seen.push(event.event));
  const begun = Promise.withResolvers<void>();
  const loop = startClaimLoop({
    queue: queue as Queue,
    events,
    concurrency: 1,
    leaseSeconds: 3600,
    pollSeconds: 0.05,
    releaseSeconds: 1.5,
    runJob: (_job, run) => {
      begun.resolve();
      return new Promise((_, reject) => run.signal.addEventListener("abort", () => reject(run.signal.reason)));
    },
  });
  await begun.promise;
  await loop.stop(0);
  await loop.drained;
  assert.ok(reports >= 2, `${reports} tries`);
  assert.ok(seen.includes("job:lost"));
});
