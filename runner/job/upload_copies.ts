/**
 * Uploads a finished file to every storage target. The first copy makes the job ready; the others become replicas with a lease of their own.
 * Example: `const { copies, replicaIds } = await uploadCopies(job, { fetched, key, beside }, { run, tools })`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import { retry } from "../../core/retry.ts";
import { type Job, LeaseLost, type ReplicaRow } from "../queue/job.ts";
import { isUnavailable } from "../queue/queue.ts";
import { replicate, type Replication, replicationError, type TargetFailure } from "../archive/replicate.ts";
import type { PutOptions, StorageTarget, StoredCopy } from "../targets/target.ts";
import type { FinalFile } from "../mp4/fast_start.ts";
import { QUEUE_WRITE } from "../retry_policies.ts";
import type { FetchedSource } from "./source_tools.ts";
import type { JobRun, JobTools } from "./job_tools.ts";

const REPLICA_LEASE_EVERY_MS = 120_000;
const GIVE_UP_MS = 10_000;

/** Commits the archive with the first copy. The other copies follow as replicas whose lease this runner holds. */
export async function uploadCopies(
  job: Job,
  { fetched, key, beside }: { fetched: FetchedSource; key: string; beside: NonNullable<PutOptions["beside"]> },
  { run, tools }: { run: JobRun; tools: JobTools },
): Promise<Replication> {
  if (tools.targets.length === 0) throw new KeepstreamError("storage_5xx", "no storage target is configured");
  const status = await retryWhileUnavailable(() => tools.queue.report(job, "uploading"), run.signal);
  if (status !== "uploading") throw new LeaseLost("the job was cancelled");
  run.progress.enter("uploading", fetched.final.sizeBytes * tools.targets.length);
  tools.events.emit({ event: "job:phase", id: job.id, phase: "uploading" });
  let replicaIds: ReadonlyMap<string, string> | null = null;
  let committing: Promise<ReadonlyMap<string, string> | null> = Promise.resolve(null);
  let stored: readonly string[] | null = null;
  const noted = async () => {
    const sidecars = await beside();
    stored = sidecars.map(({ ending }) => ending);
    return sidecars;
  };
  let renewal: ReturnType<typeof setInterval> | undefined;
  const onFirst = async (copy: StoredCopy) => {
    await run.beforeCommit();
    await enqueueHeights(job, fetched, { run, tools });
    const replicas = tools.targets.map((target) => replicaRow(target, { copy, final: fetched.final, key, job }));
    const archive = {
      fileKey: key,
      sha256: fetched.final.sha256,
      sizeBytes: fetched.final.sizeBytes,
      durationSeconds: fetched.durationSeconds,
      media: stored === null ? fetched.media : { ...fetched.media, sidecars: stored },
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
      breaker: tools.breaker,
      onProgress: (bytes, total) => run.progress.set(bytes, total),
      onFirst,
      beside: noted,
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
    return result;
  } catch (error) {
    if (replicaIds !== null) await giveReplicasBack(job, { ids: replicaIds, tools });
    throw error;
  } finally {
    clearInterval(renewal);
  }
}

/** Right before the archive is committed: if this runner is killed in between, another one has all of them to do. */
async function enqueueHeights(
  job: Job,
  { heights = [] }: FetchedSource,
  { run, tools }: { run: JobRun; tools: JobTools },
): Promise<void> {
  if (heights.length === 0) return;
  try {
    const waiting = await retryWhileUnavailable(() => tools.queue.enqueueHeights(job, heights), run.signal);
    if (waiting > 0) run.onHeights?.();
  } catch (error) {
    if (error instanceof LeaseLost) throw error;
    // The height that the server states is archived all the same.
    tools.events.emit({ event: "heights:failed", id: job.id, message: redactText((error as Error).message) });
  }
}

/** For calls that may be repeated. Ends when the queue responds or the job is aborted. */
export async function retryWhileUnavailable<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
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
