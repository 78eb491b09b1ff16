/**
 * One job from claim to ready: fetch and verify the video, then upload a copy to every storage target. The first copy makes it ready.
 * Example: `await runJob(job, { progress, signal, beforeCommit, commitArchive }, tools)`. Throws the failure to report.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { fileKey } from "../../core/file_key.ts";
import { manifestKey } from "../../core/manifest/sealing.ts";
import { Cancelled } from "./stop_reasons.ts";
import { RpcError } from "../../core/rpc_error.ts";
import { sleep } from "../../core/sleep.ts";
import type { Job } from "../queue/job.ts";
import { chapterKind } from "../../sources/page/chapter_kind.ts";
import { createGuardedFetch } from "../network/guarded_fetch.ts";
import type { Replication } from "../archive/replicate.ts";
import { type DiskBudget, DiskFull, FIRST_RESERVATION_BYTES, isDiskError } from "../work_dir/disk_budget.ts";
import { readChapters } from "../media/file_chapters.ts";
import { fetchSource } from "./fetch_source.ts";
import { dropFiles, isHeight, keepFinal, keptFinal } from "./kept_final.ts";
import type { QualityPolicy } from "../download/quality_policy.ts";
import type { FetchedSource } from "./source_tools.ts";
import { sidecarMaker } from "../sidecars/make_sidecars.ts";
import { describe } from "./describe.ts";
import { type JobDir, openJobDir } from "../work_dir/work_dir.ts";
import type { JobRun, JobTools } from "./job_tools.ts";
import { retryWhileUnavailable, uploadCopies } from "./upload_copies.ts";

/** Subtitles that a provider lists beside the video. */
const MAX_ASIDE_BYTES = 256 * 1024 * 1024;
const REMOVE_TIMEOUT_MS = 30_000;
/** A commit whose request was aborted may still succeed within this time. */
const LATE_COMMIT_MS = 3_000;

export async function runJob(job: Job, run: JobRun, tools: JobTools): Promise<void> {
  try {
    const startedAt = performance.now();
    await using dir = await openJobDir(tools.workDir, job.heightOf ?? job.id, job.id);
    try {
      await runInDir(job, { dir, run, tools, startedAt });
    } catch (error) {
      if (isFinal(error, run.signal)) await dropFiles(dir, job, tools.queue);
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
  const kept = await keptFinal(dir, source, job);
  if (kept !== null) {
    tools.events.emit({ event: "job:resumed", id: job.id, bytes: kept.final.sizeBytes, from: "final" });
  }
  const fetched = kept ?? await fetchJob(job, { dir, reservation, source, run }, tools);
  await keepFinal(dir, { source, fetched, isHeight: isHeight(job) });
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
  await dropFiles(dir, job, tools.queue);
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
    const sourceJob = {
      candidate: job.candidates[0]!,
      resolution: job.resolution,
      source,
      qualities: () => qualitiesOf(job, { run, tools }),
    };
    const fetched = await fetchSource(sourceJob, {
      ...tools,
      dir,
      session,
      fileKey: await fileKey({ ...job, salt: tools.fileSalt }),
      fetch: createGuardedFetch(session),
      openAside: () => {
        const aside = tools.proxy.openSession({ policy: tools.policy, maxBytes: MAX_ASIDE_BYTES });
        return { fetch: createGuardedFetch(aside), close: aside.close };
      },
      signal: run.signal,
      progress: run.progress,
      reservation: options.reservation,
      onPhase,
      onResumed: (bytes, from) => tools.events.emit({ event: "job:resumed", id: job.id, bytes, from }),
    });
    const listed = job.candidates[0]!.chapters ?? [];
    const chapters = listed.length > 0
      ? listed.map((chapter) => ({ ...chapter, kind: chapter.kind ?? chapterKind(chapter.title) }))
      : await readChapters(fetched.final.path, run.signal);
    return { ...fetched, media: { ...fetched.media, chapters } };
  } finally {
    session.close();
  }
}

/** A further height is the only one of its job. */
async function qualitiesOf(job: Job, { run, tools }: { run: JobRun; tools: JobTools }): Promise<QualityPolicy> {
  if (isHeight(job)) return "label";
  return await retryWhileUnavailable(() => tools.queue.qualities(job.provider), run.signal);
}

async function store(
  job: Job,
  { fetched, dir }: { fetched: FetchedSource; dir: string },
  { run, tools }: { run: JobRun; tools: JobTools },
): Promise<Replication> {
  const key = await fileKey({ ...job, salt: tools.fileSalt });
  const { tracks, width } = fetched.media;
  const beside = sidecarMaker({
    path: fetched.final.path,
    texts: fetched.texts,
    describe: () => describe(job, { fetched, key, tools }),
    fileKey: key,
    durationSeconds: fetched.durationSeconds,
    hasVideo: width !== null || tracks.length === 0, // unknown, if an earlier version wrote the file
  }, {
    dir,
    signal: run.signal,
    pictures: tools.extras,
    key: await manifestKey(tools.fileSalt),
    onFailure: (message) => tools.events.emit({ event: "extras:failed", id: job.id, message }),
  });
  return await uploadCopies(job, { fetched, key, beside }, { run, tools });
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
    return await target.remove(location, { signal }).then(() => null, () => target.name);
  }));
  return left.filter((name) => name !== null);
}

/** Identifies a candidate without the parts of its URL that expire: the embed page, else host and path. */
async function sourceId(job: Job): Promise<string> {
  const candidate = job.candidates[0]!;
  const url = candidate.embedUrl ?? candidate.videoUrl?.split("?")[0] ?? "";
  const text = new TextEncoder().encode(url);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", text)).toHex();
}
