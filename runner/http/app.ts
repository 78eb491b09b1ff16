/**
 * The runner's HTTP routes. Responses contain no URL, token or path.
 * Example: `app.request("/health")` → 200 { status: "ok", worker: "r1", storage_accounts: 2 }.
 */
import { type Context, Hono } from "hono";
import type { Events } from "../events.ts";
import type { ActiveJob } from "../loop/active_job.ts";
import { RpcError } from "../../core/rpc_error.ts";
import { type FolderFilesOptions, serveFolderFile } from "../targets/folder/folder_files.ts";
import type { TargetHealth } from "../archive/circuit_breaker.ts";
import type { EndedJob } from "./job_stats.ts";
import { renderMetrics } from "./metrics.ts";
import type { TriggerReader, TriggerVideo } from "./trigger.ts";

export type AppOptions = {
  readonly worker: string;
  readonly concurrency: number;
  readonly startedAt: number;
  readonly now: () => number;
  readonly events: Events;
  readonly active: () => readonly ActiveJob[];
  readonly stopping: () => boolean;
  readonly notify: () => void;
  readonly readTrigger: TriggerReader;
  readonly enqueue: (video: TriggerVideo) => Promise<{ id: string; status: string }>;
  readonly queueCounts: () => Promise<Readonly<Record<string, unknown>>>;
  /** Number of configured storage targets. */
  readonly storageAccounts: number;
  /** Reasons why the runner cannot work; empty if it can. */
  readonly checkHealth: () => Promise<readonly string[]>;
  /** The holder of the secret sees messages and names, others only codes. */
  readonly isOperator: (request: Request) => Promise<boolean>;
  /** Health of the storage targets. */
  readonly targets: () => readonly TargetHealth[];
  /** The folder target's files, which cf-proxy reads at /archive; null if there is none. */
  readonly folder: FolderFilesOptions | null;
  readonly totals: () => Readonly<Record<string, number>>;
  readonly recent: () => readonly EndedJob[];
  readonly dashboard: string;
};

const CONTENT_SECURITY_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'";

export function createApp(options: AppOptions): Hono {
  const app = new Hono();
  app.get("/", (c) => c.html(options.dashboard, 200, { "content-security-policy": CONTENT_SECURITY_POLICY }));
  app.get("/health", (c) => health(c, options));
  app.get("/health/live", (c) => c.json({ status: "ok" }));
  app.get("/status", async (c) => c.json(await status(options, await options.isOperator(c.req.raw))));
  app.get("/metrics", (c) => c.text(renderMetrics({ active: options.active(), totals: options.totals() })));
  const { folder } = options;
  if (folder) {
    app.get("/archive/*", (c) => serveFolderFile(c.req.raw, { ...folder, path: c.req.path.slice("/archive".length) }));
  }
  app.post("/trigger", (c) => trigger(c, options));
  app.notFound((c) => c.json({ success: false, error: "not found" }, 404));
  app.onError((error, c) => {
    if (error instanceof RpcError && !error.isUnavailable) {
      return c.json({ success: false, error: error.message }, refusalStatus(error.status));
    }
    return c.json({ success: false, error: "the queue cannot be reached; try again" }, 503);
  });
  return app;
}

/** Refusals keep their status: no archiving rights (403), taken down (451). */
function refusalStatus(status: number): 400 | 403 | 422 | 451 {
  return status === 403 || status === 422 || status === 451 ? status : 400;
}

async function trigger(c: Context, options: AppOptions): Promise<Response> {
  const read = await options.readTrigger(c.req.raw);
  if (!read.ok) {
    options.events.emit({ event: "notification:rejected", reason: read.error.reason });
    return c.json({ success: false, error: read.error.reason }, read.error.status);
  }
  if (options.stopping()) return c.json({ success: false, error: "the runner is stopping" }, 503);
  const { value } = read;
  if (value.by === "webhook" && value.replay) return c.json({ success: true, replay: true }, 200);
  options.events.emit({ event: "notification:received", by: value.by });
  const job = value.by === "bearer" && value.video !== null ? await options.enqueue(value.video) : null;
  options.notify();
  return c.json({ success: true, ...(job === null ? {} : { job }) }, 202);
}

/** Readiness. Liveness is /health/live: a restart fixes a hung process, not a full disk. */
async function health(c: Context, options: AppOptions): Promise<Response> {
  const { worker, storageAccounts: storage_accounts } = options;
  if (options.stopping()) {
    return c.json({ status: "stopping", reason: "it is stopping", worker, storage_accounts }, 503);
  }
  const reasons = await options.checkHealth();
  if (reasons.length === 0) return c.json({ status: "ok", worker, storage_accounts });
  return c.json({ status: "unavailable", reason: reasons.join("; "), worker, storage_accounts }, 503);
}

async function status(options: AppOptions, operator: boolean) {
  const now = options.now();
  // An unavailable queue is reported as null.
  const counts = await options.queueCounts().catch(() => null);
  return {
    status: options.stopping() ? "stopping" : "ok",
    worker: options.worker,
    uptime_seconds: Math.floor((now - options.startedAt) / 1000),
    concurrency: options.concurrency,
    active: options.active().map(({ job, startedAt, progress }) => ({
      id: job.id,
      mal_id: job.malId,
      episode: job.episode,
      provider: job.provider,
      resolution: job.resolution,
      attempt: job.attempt,
      running_seconds: Math.floor((now - startedAt) / 1000),
      ...progress(),
    })),
    totals: options.totals(),
    recent: options.recent().map(({ message, ...job }) => operator ? { ...job, message } : job),
    targets: options.targets().map(({ target, state, failuresInRow, usedBytes, message }, i) => ({
      target: operator ? target : `target ${i + 1}`,
      state,
      failures_in_row: failuresInRow,
      used_bytes: usedBytes,
      ...(operator ? { message } : {}),
    })),
    ...queueStatus(counts, operator),
  };
}

/** `archived` is next to the counts by status, where existing monitors read it. */
function queueStatus(counts: Readonly<Record<string, unknown>> | null, operator: boolean) {
  if (counts === null) return { queue: null, archived: null };
  const { archived, ...queue } = operator ? counts : publicCounts(counts);
  return { queue, archived };
}

/** Without the database's error messages. */
function publicCounts(counts: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { clearing_error: _, notification, ...rest } = counts;
  return { ...rest, notification: notification && { ...notification, error: undefined } };
}
