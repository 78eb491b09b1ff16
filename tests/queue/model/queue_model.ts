/**
 * A second implementation of the queue in plain TypeScript, the reference for random operations. It
 * has no clock: `due` and `expired` come from the database before each operation.
 */
export type Status = "pending" | "downloading" | "uploading" | "ready" | "failed";

export interface Candidate {
  readonly url: string;
  readonly rank: number;
  fails: number;
  state: "live" | "expired" | "dead";
}

export interface ModelJob {
  readonly id: string;
  readonly key: string;
  readonly priority: number;
  status: Status;
  attempts: number;
  retryCount: number;
  epoch: number;
  terminal: boolean;
  errorClass: string | null;
  token: string | null;
  cancelRequested: boolean;
  candidates: Candidate[];
  /** URL of the candidate in use, which stays first until a failure counts against it. */
  inUse: string | null;
  /** Every token that was ever returned for the job. */
  readonly tokens: string[];
  completions: number;
  /** Copies that are verified, and copies that were reported missing. */
  archive: { readonly token: string; readonly sha256: string; copies: number; missing: number } | null;
  /** A new URL, or an operator, since it became a dead letter. */
  revivable: boolean;
  /** The job of whose source this is a further height. */
  readonly heightOf: string | null;
}

export type Verdict = "accepted" | "PT404" | "PT409" | "PT422";

export const MAX_ATTEMPTS = 8;
const TERMINAL_SOURCE = new Set(["unsupported", "drm", "policy_denied", "too_large", "invalid_input"]);
/** Failures that do not count against the candidate. */
const BLAMELESS = new Set(["storage_5xx", "storage_conflict", "disk_full", "unknown"]);
const NOT_THE_HOLDERS = new Set(["lease_expired", "cancelled"]);
const KNOWN = new Set([
  ...["network", "timeout", "upstream_5xx", "storage_5xx", "unknown", "rate_limited", "storage_conflict", "disk_full"],
  ...["source_expired", "shutdown", ...TERMINAL_SOURCE],
]);

export const isActive = (job: ModelJob) => job.status === "downloading" || job.status === "uploading";
export const isClaimable = (job: ModelJob) => (job.status === "pending" || job.status === "failed") && !job.terminal;

export function liveCandidates(job: ModelJob): Candidate[] {
  const used = (candidate: Candidate) => Number(candidate.url === job.inUse);
  return job.candidates.filter((candidate) => candidate.state === "live").sort((a, b) =>
    used(b) - used(a) || a.fails - b.fails || a.rank - b.rank
  );
}

export function newJob(
  id: string,
  key: string,
  options: { priority: number; url: string; heightOf?: string },
): ModelJob {
  return {
    id,
    key,
    priority: options.priority,
    status: "pending",
    attempts: 0,
    retryCount: 0,
    epoch: 0,
    terminal: false,
    errorClass: null,
    token: null,
    cancelRequested: false,
    candidates: [{ url: options.url, rank: 0, fails: 0, state: "live" }],
    inUse: null,
    tokens: [],
    completions: 0,
    archive: null,
    revivable: true,
    heightOf: options.heightOf ?? null,
  };
}

/** Enqueues an existing job again. Returns false if nothing may change. */
export function enqueueAgain(job: ModelJob, url: string, mayRevive: boolean): boolean {
  if (job.terminal && job.errorClass === "cancelled") return false;
  if (job.candidates.some((candidate) => candidate.url === url)) return false;
  const rank = Math.max(-1, ...job.candidates.map((candidate) => candidate.rank)) + 1;
  job.candidates.push({ url, rank, fails: 0, state: "live" });
  if (job.status === "pending") job.inUse = null;
  if (job.status === "failed" && (!job.terminal || mayRevive)) revive(job, job.terminal);
  return true;
}

export function revive(job: ModelJob, resetAttempts: boolean): void {
  if (resetAttempts) {
    job.attempts = 0;
    job.retryCount = 0;
  }
  job.status = "pending";
  job.terminal = false;
  job.errorClass = null;
  job.revivable = true;
  job.inUse = null;
  if (liveCandidates(job).length === 0) { for (const candidate of job.candidates) candidate.state = "live"; }
}

export function claim(job: ModelJob, token: string): void {
  job.status = "downloading";
  job.attempts += 1;
  job.epoch += 1;
  job.token = token;
  job.tokens.push(token);
  job.inUse = liveCandidates(job)[0]?.url ?? null;
}

function leave(job: ModelJob): void {
  job.token = null;
  job.cancelRequested = false;
}

function failTerminally(job: ModelJob, errorClass: string): void {
  job.retryCount += 1;
  job.status = "failed";
  job.errorClass = errorClass;
  job.terminal = true;
  job.revivable = false;
  leave(job);
}

function failForNow(job: ModelJob, errorClass: string): void {
  job.retryCount += 1;
  job.status = "failed";
  job.errorClass = errorClass;
  job.terminal = job.attempts >= MAX_ATTEMPTS;
  job.revivable = !job.terminal;
  leave(job);
}

function giveBack(job: ModelJob): void {
  job.status = "pending";
  job.attempts -= 1;
  leave(job);
}

/** `enqueue_heights`: whether the call is accepted. */
export function mayEnqueueHeights(
  job: ModelJob,
  { token, expired }: { token: string | null; expired: boolean },
): Verdict {
  if (job.token === null || token !== job.token || expired) return "PT409";
  return job.heightOf === null ? "accepted" : "PT422";
}

/** The waiting heights of a job, in the order in which its holder claims them. */
export function waitingHeights(jobs: readonly ModelJob[], mainId: string): ModelJob[] {
  const labelOf = ({ key }: ModelJob) => Number.parseInt(key.split("/")[1]!);
  return jobs.filter((job) => job.heightOf === mainId && job.status === "pending").sort((a, b) =>
    labelOf(b) - labelOf(a)
  );
}

export interface Report {
  readonly token: string | null;
  readonly status: Status;
  readonly errorClass: string | null;
  readonly expired: boolean;
}

/** `update_video_queue_status`. */
export function report(job: ModelJob, { token, status, errorClass, expired }: Report): Verdict {
  if (job.token === null || token !== job.token || expired) return "PT409";
  if (status === "ready" || (status === "downloading" && job.status === "uploading")) return "PT422";
  if (status === job.status) return "accepted";
  if (job.cancelRequested) {
    failTerminally(job, "cancelled");
    return "accepted";
  }
  if (status === "uploading") {
    job.status = "uploading";
    return "accepted";
  }
  if (status === "pending") {
    if (errorClass !== null && KNOWN.has(errorClass)) job.errorClass = errorClass;
    else if (errorClass !== null && NOT_THE_HOLDERS.has(errorClass)) job.errorClass = "unknown";
    giveBack(job);
    return "accepted";
  }
  fail(job, errorClass !== null && KNOWN.has(errorClass) ? errorClass : "unknown");
  return "accepted";
}

function fail(job: ModelJob, errorClass: string): void {
  if (errorClass === "shutdown") {
    job.errorClass = errorClass;
    giveBack(job);
    return;
  }
  const [tried] = liveCandidates(job);
  if (tried && !BLAMELESS.has(errorClass)) {
    tried.fails += 1;
    if (errorClass === "source_expired") tried.state = "expired";
    if (TERMINAL_SOURCE.has(errorClass)) tried.state = "dead";
    job.inUse = null;
  }
  const others = liveCandidates(job).length > 0;
  if (errorClass === "source_expired") {
    if (others) {
      job.errorClass = errorClass;
      giveBack(job);
      return;
    }
    for (const candidate of job.candidates) if (candidate.state === "expired") candidate.state = "live";
  }
  if (TERMINAL_SOURCE.has(errorClass) && !others) failTerminally(job, errorClass);
  else failForNow(job, errorClass);
}

/** `upsert_video_store` with one verified copy. */
export function complete(job: ModelJob, call: { token: string | null; sha256: string; expired: boolean }): Verdict {
  if (job.status === "ready" && job.archive!.token === call.token && job.archive!.sha256 === call.sha256) {
    return "accepted";
  }
  if (job.token === null || call.token !== job.token || call.expired || job.cancelRequested) return "PT409";
  if (job.status !== "uploading") return "PT422";
  job.status = "ready";
  job.errorClass = null;
  job.archive = { token: call.token, sha256: call.sha256, copies: 2, missing: 0 };
  job.completions += 1;
  leave(job);
  return "accepted";
}

export function cancel(job: ModelJob): Verdict {
  if (job.status === "ready") return "PT422";
  if (isActive(job)) {
    job.cancelRequested = true;
    return "accepted";
  }
  job.status = "failed";
  job.errorClass = "cancelled";
  job.terminal = true;
  job.revivable = false;
  return "accepted";
}

export function rescue(job: ModelJob): void {
  if (job.cancelRequested) failTerminally(job, "cancelled");
  else failForNow(job, "lease_expired");
}

/** An operator's UPDATE … SET status = 'pending', retry_count = 0. A ready job is archived again. */
export function retryByOperator(job: ModelJob): void {
  if (job.status === "failed") revive(job, true);
}

/** The old archive stays until the new one is recorded. */
export function rearchive(job: ModelJob): void {
  revive(job, true);
}

export function loseArchive(job: ModelJob): void {
  job.archive = null;
  if (job.status === "ready" || (job.terminal && job.errorClass !== "cancelled")) revive(job, true);
}

export function reportMissing(job: ModelJob): void {
  job.archive!.copies -= 1;
  job.archive!.missing += 1;
}

export function confirmMissing(job: ModelJob): void {
  const archive = job.archive!;
  archive.missing -= 1;
  if (archive.copies + archive.missing === 0) loseArchive(job);
}

export function repairCopy(job: ModelJob, wasMissing: boolean): void {
  job.archive!.copies += 1;
  if (wasMissing) job.archive!.missing -= 1;
}
