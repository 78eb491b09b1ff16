/**
 * One job from claim to ready: fetch and verify the video, then upload a copy to every storage target. The first copy makes it ready.
 * Example: `await runJob(job, { progress, signal, beforeCommit, commitArchive }, tools)`. Throws the failure to report.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { fileKey } from "../../core/file_key.ts";
import { retry } from "../../core/retry.ts";
import type { UrlPolicy } from "../../core/url_policy.ts";
import type { Events } from "../events.ts";
import { Cancelled } from "./stop_reasons.ts";
import { RpcError } from "../../core/rpc_error.ts";
import { sleep } from "../../core/sleep.ts";
import { type Job, LeaseLost, type ReplicaRow } from "../queue/job.ts";
import { isUnavailable, type Queue } from "../queue/queue.ts";
import type { ForwardProxy } from "../network/forward_proxy.ts";
import { createGuardedFetch } from "../network/guarded_fetch.ts";
import { removeWithExtras } from "../targets/extras.ts";
import type { CircuitBreaker } from "../archive/circuit_breaker.ts";
import { replicate, type Replication, replicationError, type TargetFailure } from "../archive/replicate.ts";
import type { Semaphore } from "../transfer/semaphore.ts";
import type { LockRepo, StorageTarget, StoredCopy } from "../targets/target.ts";
import type { FinalFile } from "../media/fast_start.ts";
import { type DiskBudget, DiskFull, FIRST_RESERVATION_BYTES, isDiskError } from "../work_dir/disk_budget.ts";
import { QUEUE_WRITE } from "../retry_policies.ts";
import { fetchSource } from "./fetch_source.ts";
import type { Progress } from "./progress.ts";
import type { FetchedSource } from "./source_tools.ts";
import { storeExtras } from "./store_extras.ts";
import { emptyJobDir, type JobDir, openJobDir } from "../work_dir/work_dir.ts";

const REPLICA_LEASE_EVERY_MS = 120_000;
const GIVE_UP_MS = 10_000;
const REMOVE_TIMEOUT_MS = 30_000;
/** A commit whose request was aborted may still succeed within this time. */
const LATE_COMMIT_MS = 3_000;

export type JobTools = {
  readonly queue: Queue;
  readonly events: Events;
  readonly proxy: ForwardProxy;
  readonly policy: UrlPolicy;
  readonly disk: DiskBudget;
  readonly workDir: string;
  readonly fileSalt: string;
  readonly targets: readonly StorageTarget[];
  readonly semaphore: Semaphore;
  readonly health: CircuitBreaker;
  readonly lockRepo?: LockRepo;
  /** Whether to make a poster and a sprite sheet. */
  readonly extras: boolean;
  readonly maxBytes: number;
  readonly hlsConnections: number;
  readonly mp4Connections: number;
  readonly megaApiUrl?: string | undefined;
};

export type JobRun = {
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Extends the lease; throws if it is lost. Called before bytes become visible. */
  readonly beforeCommit: () => Promise<void>;
  /** Makes the job ready through `write`, which ends the lease: from then on no heartbeat is needed. */
  readonly commitArchive: <T>(write: () => Promise<T>) => Promise<T>;
};

export async function runJob(job: Job, run: JobRun, tools: JobTools): Promise<void> {
  try {
    const startedAt = performance.now();
    await using dir = await openJobDir(tools.workDir, job.id);
    try {
      await runInDir(job, { dir, run, tools, startedAt });
    } catch (error) {
      if (isFinal(error, run.signal)) dir.discard();
      throw await isGone(dir.path)
        ? new KeepstreamError("disk_full", "the work directory is gone", { cause: error })
        : error;
    }
  } catch (error) {
    if (!isDiskError(error)) throw error;
    const neededBytes = error instanceof DiskFull ? error.neededBytes : 0;
    if (neededBytes === null || !tools.disk.ranOut(neededBytes)) throw new DiskFull(error.message, null);
    throw error instanceof KeepstreamError ? error : new KeepstreamError("disk_full", error.message, { cause: error });
  }
}

async function isGone(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => false, (error) => error instanceof Deno.errors.NotFound);
}

/** Whether no later run needs the files on disk: the source is refused permanently, or the job was cancelled. */
function isFinal(error: unknown, signal: AbortSignal): boolean {
  if (signal.aborted) return signal.reason instanceof Cancelled;
  return isWithdrawn(error) || error instanceof KeepstreamError && !error.retryable;
}

async function runInDir(
  job: Job,
  { dir, run, tools, startedAt }: { dir: JobDir; run: JobRun; tools: JobTools; startedAt: number },
): Promise<void> {
  using reservation = await tools.disk.reserve(FIRST_RESERVATION_BYTES);
  const source = await sourceId(job);
  const kept = await keptFinal(dir, source);
  if (kept !== null) {
    tools.events.emit({ event: "job:resumed", id: job.id, bytes: kept.final.sizeBytes, from: "final" });
  }
  const fetched = kept ?? await fetchJob(job, { dir, reservation, source, run }, tools);
  await keepFinal(dir, { source, fetched });
  const { copies, failures } = await store(job, { fetched, dir: dir.path }, { run, tools }).then(async (stored) => {
    if (await isTakenDown(job, tools)) await removeLateCommits(job, tools, "job:taken_down");
    return stored;
  }, async (error) => {
    const event = isWithdrawn(error) ? "job:withdrawn" : await isTakenDown(job, tools) ? "job:taken_down" : null;
    if (event !== null) {
      await removeFromTargets(job, tools);
      await sleep(LATE_COMMIT_MS);
      await removeLateCommits(job, tools, event);
    }
    throw error;
  });
  dir.discard();
  tools.events.emit({
    event: "job:finished",
    id: job.id,
    copies: copies.length,
    failures: failures.length,
    ms: Math.round(performance.now() - startedAt),
  });
}

async function fetchJob(
  job: Job,
  options: { dir: JobDir; reservation: Awaited<ReturnType<DiskBudget["reserve"]>>; source: string; run: JobRun },
  tools: JobTools,
): Promise<FetchedSource> {
  const { dir, source, run } = options;
  const session = tools.proxy.openSession({ policy: tools.policy, maxBytes: tools.maxBytes });
  const onPhase = () => tools.events.emit({ event: "job:phase", id: job.id, phase: run.progress.phase });
  try {
    const sourceJob = { candidate: job.candidates[0]!, resolution: job.resolution, source };
    return await fetchSource(sourceJob, {
      ...tools,
      dir,
      session,
      fetch: createGuardedFetch(session),
      signal: run.signal,
      progress: run.progress,
      reservation: options.reservation,
      onPhase,
      onResumed: (bytes, from) => tools.events.emit({ event: "job:resumed", id: job.id, bytes, from }),
    });
  } finally {
    session.close();
  }
}

async function store(
  job: Job,
  { fetched, dir }: { fetched: FetchedSource; dir: string },
  { run, tools }: { run: JobRun; tools: JobTools },
): Promise<Replication> {
  const { replicaIds, ...result } = await upload(job, fetched, { run, tools });
  if (tools.extras) await addExtras(job, { fetched, copies: result.copies, replicaIds, dir }, { run, tools });
  return result;
}

/** A takedown that happens during a commit is noticed here, after all commits. */
async function isTakenDown(job: Job, tools: JobTools): Promise<boolean> {
  return !await tools.queue.hasJob(job.id).catch(() => true); // unknown: remove nothing
}

/** The archiving rights were withdrawn during the upload: the queue refused to commit the archive. */
function isWithdrawn(error: unknown): boolean {
  return error instanceof RpcError && error.code === "PT403";
}

async function removeLateCommits(job: Job, tools: JobTools, event: "job:taken_down" | "job:withdrawn"): Promise<void> {
  tools.events.emit({ event, id: job.id, left: await removeFromTargets(job, tools) });
}

/** Returns the targets on which it failed. Copies of an archive that is still recorded stay. */
async function removeFromTargets(job: Job, tools: JobTools): Promise<string[]> {
  const archive = { malId: job.malId, episode: job.episode, fileKey: await fileKey({ ...job, salt: tools.fileSalt }) };
  const signal = AbortSignal.timeout(REMOVE_TIMEOUT_MS);
  const recorded = await tools.queue.recordedCopies(job.id).catch(() => null);
  if (recorded === null) return tools.targets.map((target) => target.name); // unknown: remove nothing
  const left = await Promise.all(tools.targets.map(async (target) => {
    const location = target.locationOf(archive);
    const stays = recorded.some(({ target: name, repo, path }) =>
      name === target.name && repo === location.repo && path === location.path
    );
    if (stays) return null;
    return await removeWithExtras({ target, location }, { signal }).then(() => null, () => target.name);
  }));
  return left.filter((name) => name !== null);
}

async function addExtras(
  job: Job,
  what: {
    fetched: FetchedSource;
    copies: readonly StoredCopy[];
    replicaIds: ReadonlyMap<string, string>;
    dir: string;
  },
  { run, tools }: { run: JobRun; tools: JobTools },
): Promise<void> {
  const fileKeyOf = await fileKey({ ...job, salt: tools.fileSalt });
  await storeExtras({ path: what.fetched.final.path, durationSeconds: what.fetched.durationSeconds }, {
    archive: { malId: job.malId, episode: job.episode, fileKey: fileKeyOf },
    targets: tools.targets.filter((target) => what.copies.some((copy) => copy.target === target.name)),
    dir: what.dir,
    signal: run.signal,
    put: (target) => ({
      signal: run.signal,
      semaphore: tools.semaphore,
      beforeCommit: async () => {
        if (await tools.queue.hasReplica(what.replicaIds.get(target.name)!)) return;
        throw new LeaseLost("the archive was taken down meanwhile");
      },
      ...(tools.lockRepo === undefined ? {} : { lockRepo: tools.lockRepo }),
    }),
    onFailure: (message) => tools.events.emit({ event: "extras:failed", id: job.id, message }),
  });
}

/** Commits the archive with the first copy. The other copies follow as replicas whose lease this runner holds. */
async function upload(
  job: Job,
  fetched: FetchedSource,
  { run, tools }: { run: JobRun; tools: JobTools },
): Promise<Replication & { readonly replicaIds: ReadonlyMap<string, string> }> {
  if (tools.targets.length === 0) throw new KeepstreamError("storage_5xx", "no storage target is configured");
  const key = await fileKey({ ...job, salt: tools.fileSalt });
  const status = await retryWhileUnavailable(() => tools.queue.report(job, "uploading"), run.signal);
  if (status !== "uploading") throw new LeaseLost("the job was cancelled");
  run.progress.enter("uploading", fetched.final.sizeBytes * tools.targets.length);
  tools.events.emit({ event: "job:phase", id: job.id, phase: "uploading" });
  let replicaIds: ReadonlyMap<string, string> | null = null;
  let committing: Promise<ReadonlyMap<string, string> | null> = Promise.resolve(null);
  let renewal: ReturnType<typeof setInterval> | undefined;
  const onFirst = async (copy: StoredCopy) => {
    await run.beforeCommit();
    const replicas = tools.targets.map((target) => replicaRow(target, { copy, final: fetched.final, key, job }));
    const archive = {
      fileKey: key,
      sha256: fetched.final.sha256,
      sizeBytes: fetched.final.sizeBytes,
      durationSeconds: fetched.durationSeconds,
      replicas,
    };
    const committed = run.commitArchive(() =>
      retryWhileUnavailable(() => tools.queue.commitArchive(job, archive), run.signal)
    );
    committing = committed;
    const ids = replicaIds = await committed;
    tools.events.emit({
      event: "job:archived",
      id: job.id,
      sha256: copy.sha256,
      sizeBytes: copy.sizeBytes,
      target: copy.target,
    });
    const open = [...ids].filter(([target]) => target !== copy.target).map(([, id]) => id);
    if (open.length === 0) return;
    renewal = setInterval(() => {
      tools.queue.extendReplicas(open, job.leaseToken).catch(() => {}); // repeated before the lease of ten minutes expires
    }, REPLICA_LEASE_EVERY_MS);
  };
  try {
    const result = await replicate(fetched.final, { malId: job.malId, episode: job.episode, fileKey: key }, {
      targets: tools.targets,
      signal: run.signal,
      semaphore: tools.semaphore,
      health: tools.health,
      onProgress: (bytes, total) => run.progress.set(bytes, total),
      onFirst,
      beforeCommit: async (target) => {
        const ids = await committing; // until the archive is committed, who owns the other copies is unknown
        if (ids === null) return await run.beforeCommit();
        const id = ids.get(target);
        const held = id !== undefined && await tools.queue.extendReplicas([id], job.leaseToken);
        if (!held) throw new LeaseLost(`the copy on ${target} was reassigned or taken down before its commit`);
      },
      ...(tools.lockRepo === undefined ? {} : { lockRepo: tools.lockRepo }),
    });
    if (replicaIds === null) throw replicationError(result.failures);
    await settleReplicas(job, { ids: replicaIds, result, tools });
    return { ...result, replicaIds };
  } catch (error) {
    if (replicaIds !== null) await giveReplicasBack(job, { ids: replicaIds, tools });
    throw error;
  } finally {
    clearInterval(renewal);
  }
}

/** For calls that may be repeated. Ends when the queue responds or the job is aborted. */
async function retryWhileUnavailable<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return await retry(call, QUEUE_WRITE, { retryable: (error) => isUnavailable(error) && !signal.aborted });
}

function replicaRow(
  target: StorageTarget,
  what: { copy: StoredCopy; final: FinalFile; key: string; job: Job },
): ReplicaRow {
  const { copy, job } = what;
  if (target.name === copy.target) {
    return {
      target: target.name,
      account: copy.account,
      repo: copy.repo,
      path: copy.path,
      direct_url: copy.directUrl,
      commit_oid: copy.commitOid,
      sha256: copy.sha256,
      size_bytes: copy.sizeBytes,
      state: "verified",
    };
  }
  const location = target.locationOf({ malId: job.malId, episode: job.episode, fileKey: what.key });
  const unknown = { direct_url: null, commit_oid: null, sha256: null, size_bytes: null };
  return { target: target.name, account: target.account, ...location, ...unknown, state: "uploading" };
}

async function settleReplicas(
  job: Job,
  { ids, result, tools }: { ids: ReadonlyMap<string, string>; result: Replication; tools: JobTools },
): Promise<void> {
  for (const copy of result.copies.slice(1)) {
    await complete(job, { id: ids.get(copy.target), tools }, {
      state: "verified",
      repo: copy.repo,
      path: copy.path,
      commit_oid: copy.commitOid,
      direct_url: copy.directUrl,
      account: copy.account,
      sha256: copy.sha256,
      size_bytes: copy.sizeBytes,
    });
  }
  for (const failure of result.failures) {
    tools.events.emit(replicaFailed(job, failure));
    await complete(job, { id: ids.get(failure.target), tools }, {
      state: "failed",
      error: failure.error.message,
      error_class: failure.error.code,
      retry_after_seconds: failure.error.retryAfterSeconds ?? null,
    });
  }
}

/** Interrupted between the first copy and the others: another runner repairs them. */
async function giveReplicasBack(
  job: Job,
  { ids, tools }: { ids: ReadonlyMap<string, string>; tools: JobTools },
): Promise<void> {
  for (const id of ids.values()) await complete(job, { id, tools }, { state: "pending" });
}

/** The job is ready already. What cannot be written now is found by the sweep when the replica's lease expires. */
async function complete(
  job: Job,
  { id, tools }: { id: string | undefined; tools: JobTools },
  outcome: Record<string, unknown>,
): Promise<void> {
  if (id === undefined) return;
  try {
    await retryWhileUnavailable(
      () => tools.queue.completeReplica(id, job.leaseToken, outcome),
      AbortSignal.timeout(GIVE_UP_MS),
    );
  } catch (error) {
    if (error instanceof LeaseLost) return;
    tools.events.emit({ event: "queue:unavailable", during: "complete_replica", message: (error as Error).message });
  }
}

function replicaFailed(job: Job, failure: TargetFailure) {
  const { code, message } = failure.error;
  return { event: "replica:failed", id: job.id, target: failure.target, code, message } as const;
}

/** Identifies a candidate without the parts of its URL that expire: the embed page, else host and path. */
async function sourceId(job: Job): Promise<string> {
  const candidate = job.candidates[0]!;
  const url = candidate.embedUrl ?? candidate.videoUrl?.split("?")[0] ?? "";
  const text = new TextEncoder().encode(`${url}\n${job.resolution ?? ""}`);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", text)).toHex();
}

/**
 * The final file of an earlier run that was not uploaded. It is this job's video, whichever candidate is first now. Partial downloads of
 * another candidate are deleted.
 */
async function keptFinal(dir: JobDir, source: string): Promise<FetchedSource | null> {
  const state = await dir.readState();
  if (state?.final !== undefined) {
    const path = `${dir.path}/final.mp4`;
    const { sizeBytes, sha256, durationSeconds } = state.final;
    const size = (await Deno.stat(path).catch(() => null))?.size;
    if (size === sizeBytes) return { final: { path, sizeBytes, sha256 }, durationSeconds };
  }
  if (state !== null && state.source !== source) await emptyJobDir(dir.path);
  return null;
}

async function keepFinal(dir: JobDir, { source, fetched }: { source: string; fetched: FetchedSource }): Promise<void> {
  const { sizeBytes, sha256 } = fetched.final;
  await dir.writeState({ source, final: { sizeBytes, sha256, durationSeconds: fetched.durationSeconds } });
  for (const name of ["segments", "muxed.mp4", "remuxed.mp4", "media.bin", "mega.bin", "mega.bin.mega"]) {
    await Deno.remove(`${dir.path}/${name}`, { recursive: true }).catch(() => {});
  }
}
