/**
 * Builds the runner from its parts and runs it until it is stopped or, with `once`, until nothing is due.
 * Example: `const runner = await startRunner(parseEnv(Deno.env.toObject()), { once: false })`.
 */
import type { RunnerEnv } from "./env.ts";
import { createEvents, type Events, type RunnerEvent } from "./events.ts";
import { createApp } from "./http/app.ts";
import { createHealthCheck } from "./http/health.ts";
import { keepJobStats } from "./http/job_stats.ts";
import { type HttpServer, listen } from "./http/server.ts";
import { shareFor } from "./http/share.ts";
import { createTriggerReader, isBearer } from "./http/trigger.ts";
import { createDiskBudget } from "./work_dir/disk_budget.ts";
import { runJob } from "./job/run_job.ts";
import { removeLeftovers } from "./work_dir/work_dir.ts";
import { type ClaimLoop, startClaimLoop } from "./loop/claim_loop.ts";
import { createQueue } from "./queue/queue.ts";
import { createRepoLock } from "./archive/repo_lock.ts";
import { createCapacity } from "./loop/capacity.ts";
import { type ForwardProxy, startForwardProxy } from "./network/forward_proxy.ts";
import { manifestKey } from "../core/manifest/sealing.ts";
import { createArchiveStore, type Repair, type RepairOutcome } from "./archive/archive_store.ts";
import { createCircuitBreaker } from "./archive/circuit_breaker.ts";
import { identified } from "./archive/identity.ts";
import { type Maintenance, startMaintenance } from "./archive/maintenance.ts";
import { rewriteBy } from "./archive/rewrite_file.ts";
import { PART_STREAMS } from "./archive/replicate.ts";
import { createSemaphore } from "./transfer/semaphore.ts";
import { storageTargetsFromEnv } from "./storage_targets.ts";
import { folderFromEnv } from "./targets/folder/folder_from_env.ts";

/** A killed job is claimed again within minutes; older directories are leftovers. */
const LEFTOVER_MAX_AGE_MS = 24 * 3600 * 1000;
const COUNTS_MS = 5000;
const SHUTDOWN_MS = 2000;

export type Runner = {
  readonly url: string;
  readonly events: Events;
  /** Resolves once everything is closed. */
  readonly finished: Promise<void>;
  readonly stop: (reason: string) => void;
};

export async function startRunner(
  env: RunnerEnv,
  options: { once: boolean; onEvents?: (events: Events) => void },
): Promise<Runner> {
  const events = createEvents();
  options.onEvents?.(events);
  const store = createArchiveStore({ url: env.supabaseUrl, key: env.supabaseKey, worker: env.name });
  const targets = storageTargetsFromEnv(env.storage).map((target) => identified(target, { store, now: Date.now }));
  const queue = createQueue({
    url: env.supabaseUrl,
    key: env.supabaseKey,
    worker: env.name,
    leaseSeconds: env.leaseSeconds,
  });
  const tidy = async (maxAgeMs = LEFTOVER_MAX_AGE_MS) => {
    const none = () => new Set<string>(); // queue unavailable: decide by age
    const removed = await removeLeftovers(env.workDir, {
      maxAgeMs,
      now: Date.now,
      finishedJobIds: (ids) => queue.finishedJobIds(ids).catch(none),
      finishedRepairIds: (ids) => queue.finishedRepairIds(ids).catch(none),
    });
    if (removed > 0) events.emit({ event: "work_dir:removed", entries: removed });
  };
  await makeWorkDir(env.workDir);
  let tidied = tidy().catch(() => {}); // the next run tries again
  const tidying = setInterval(() => tidied = tidy().catch(() => {}), env.tidySeconds * 1000);
  const proxy = startForwardProxy();
  const tools = {
    ...env,
    queue,
    events,
    proxy,
    targets,
    policy: { allowedOrigins: env.allowedOrigins, extraPorts: env.extraPorts },
    disk: createDiskBudget(env.workDir),
    semaphore: createSemaphore(PART_STREAMS),
    breaker: createCircuitBreaker({ now: Date.now }),
    lockRepo: createRepoLock(queue),
  };
  const loop: ClaimLoop = startClaimLoop({
    ...env,
    queue,
    events,
    once: options.once,
    capacity: createCapacity({
      ...tools,
      running: () => loop.active().length,
      removeKept: () => tidy(0).catch(() => {}),
      now: Date.now,
    }),
    runJob: (job, run) => runJob(job, run, tools),
  });
  const maintenance = options.once ? null : startMaintenance({
    ...tools,
    store,
    manifestKeys: [await manifestKey(env.fileSalt)],
    rewrite: rewriteBy(env.archive),
    pictures: env.extras,
    onOutcome: (repair, outcome) => events.emit(repairEvent(repair, outcome)),
    onError: (error) =>
      events.emit({ event: "queue:unavailable", during: "repair", message: (error as Error).message }),
  });
  let stopping = false;
  const queueCounts = shareFor(COUNTS_MS, () => queue.counts());
  const history = keepJobStats(events, () => new Date());
  const app = createApp({
    ...history,
    worker: env.name,
    concurrency: env.concurrency,
    startedAt: Date.now(),
    now: Date.now,
    events,
    active: loop.active,
    stopping: () => stopping,
    notify: loop.notify,
    readTrigger: createTriggerReader({ secret: env.webhookSecret, now: () => Math.floor(Date.now() / 1000) }),
    enqueue: (video) => queue.enqueue(video),
    queueCounts,
    storageAccounts: targets.length,
    checkHealth: createHealthCheck({ queue: queueCounts, targets, breaker: tools.breaker, disk: tools.disk.problem }),
    isOperator: (request) => isBearer(request, env.webhookSecret),
    targets: () => tools.breaker.all(),
    folder: folderFromEnv(env.storage),
    dashboard: await Deno.readTextFile(new URL("./http/dashboard.html", import.meta.url)),
  });
  const server = options.once ? null : await listen(app.fetch, env);
  const port = server?.port ?? 0;
  events.emit({ event: "runner:started", worker: env.name, port, concurrency: env.concurrency });
  const stop = (reason: string) => {
    if (stopping) return;
    stopping = true;
    events.emit({ event: "runner:stopping", reason, active: loop.active().length });
    void maintenance?.stop();
    void loop.stop(env.stopSeconds);
  };
  const finished = shutDown({ loop, maintenance, server, proxy, events }).finally(async () => {
    clearInterval(tidying);
    await tidied;
  });
  return { url: `http://127.0.0.1:${port}`, events, finished, stop };
}

function repairEvent({ id, target }: Repair, outcome: RepairOutcome): RunnerEvent {
  if (outcome.state === "verified") return { event: "replica:repaired", id, target };
  const event = outcome.state === "failed" ? "replica:repair_failed" : "replica:repair_postponed";
  return { event, id, target, code: outcome.error_class ?? "unknown", message: outcome.error ?? "released" };
}

/** Stops claims, then jobs, then maintenance, the HTTP server and the proxy. */
async function shutDown(
  parts: {
    loop: ClaimLoop;
    maintenance: Maintenance | null;
    server: HttpServer | null;
    proxy: ForwardProxy;
    events: Events;
  },
): Promise<void> {
  try {
    await parts.loop.drained;
  } finally {
    await parts.maintenance?.stop();
    await parts.server?.stop(SHUTDOWN_MS); // do not wait for slow clients
    await parts.proxy[Symbol.asyncDispose]();
    parts.events.emit({ event: "runner:stopped" });
  }
}

/** @throws {Error} that names the variable if the directory cannot be created. */
async function makeWorkDir(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true }).catch((cause) => {
    throw new Error(
      `RUNNER_WORK_DIR: cannot create ${path} (${cause.message}); set it to a directory that this user can write`,
      { cause },
    );
  });
}
