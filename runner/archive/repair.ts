/**
 * Restores one copy of every archive per target: reads a verified copy once and uploads it to the targets without one.
 * Example: `while ((await repairOnce(tools)).claimed > 0);`.
 */

import { KeepstreamError } from "../../core/errors.ts";
import { type DiskBudget, FIRST_RESERVATION_BYTES } from "../work_dir/disk_budget.ts";
import { openRepairDir } from "../work_dir/work_dir.ts";
import type { ArchiveStore, Repair, RepairOutcome } from "./archive_store.ts";
import type { CircuitBreaker } from "./circuit_breaker.ts";
import { fetchCopy, reasonOf, SourcesUnseen } from "./fetch_copy.ts";
import type { Semaphore } from "../transfer/semaphore.ts";
import type { StagedFile } from "../transfer/staged_file.ts";
import { type Place, readSidecars } from "../sidecars/stored_sidecars.ts";
import type { ManifestKey } from "../../core/manifest/sealing.ts";
import { StorageError, type StorageProblem } from "../transfer/storage_error.ts";
import type { LockRepo, Sidecar, StorageTarget, StoredCopy } from "../targets/target.ts";

const CLAIM_AT_ONCE = 10;
const HEARTBEAT_MS = 120_000;
/** A target that is not configured here is another runner's work. */
const FOREIGN_RETRY_SECONDS = 900;
/** Problems of the whole target, for which an operator has to act. They use up no attempt. */
const TARGET_PROBLEMS: ReadonlySet<StorageProblem> = new Set([
  "auth",
  "quota",
  "account_flagged",
  "identity",
  "invisible",
]);
const TARGET_RETRY_SECONDS = 600;
const SOURCES_RETRY_SECONDS = 3600;

export interface RepairTools {
  readonly store: ArchiveStore;
  readonly targets: readonly StorageTarget[];
  readonly semaphore: Semaphore;
  readonly breaker: CircuitBreaker;
  /** Contains a directory per archive under repair. */
  readonly workDir: string;
  /** Of the work directory's disk, shared with the jobs of the process. */
  readonly disk: DiskBudget;
  readonly lockRepo?: LockRepo;
  /** Of HF_FILE_SALT, then of former salts. */
  readonly manifestKeys: readonly ManifestKey[];
  readonly signal?: AbortSignal;
  readonly onOutcome?: (repair: Repair, outcome: RepairOutcome) => void;
}

export interface Repaired {
  readonly claimed: number;
  readonly verified: number;
  readonly failed: number;
}

/** Claims some repairs and executes them. Copies of the same archive share one download. */
export async function repairOnce(tools: RepairTools): Promise<Repaired> {
  const repairs = await tools.store.claimRepairs(CLAIM_AT_ONCE);
  const outcomes: RepairOutcome["state"][] = [];
  const lost = new AbortController();
  const heartbeat = setInterval(async () => {
    const gone = await tools.store.extendRepairs(repairs).catch(() => []); // repeated before the lease expires
    if (gone.length === repairs.length) lost.abort(new KeepstreamError("lease_expired", "the repairs were reassigned"));
  }, HEARTBEAT_MS);
  try {
    const signal = tools.signal ? AbortSignal.any([tools.signal, lost.signal]) : lost.signal;
    for (const group of Map.groupBy(repairs, (repair) => repair.storeId).values()) {
      outcomes.push(...await repairArchive(group, { ...tools, signal }));
    }
  } finally {
    clearInterval(heartbeat);
  }
  const count = (state: RepairOutcome["state"]) => outcomes.filter((outcome) => outcome === state).length;
  return { claimed: repairs.length, verified: count("verified"), failed: count("failed") };
}

async function repairArchive(repairs: readonly Repair[], tools: RepairTools): Promise<RepairOutcome["state"][]> {
  const opening = openRepairDir(tools.workDir, repairs[0]!.storeId);
  await using dir = await opening.catch(() => null); // reported by the first repair that needs it
  let staged: Promise<StagedFile> | null = null;
  let sidecars: Promise<readonly Sidecar[]> | null = null;
  const states = await Promise.all(repairs.map(async (repair) => {
    const outcome = await outcomeOf(repair, {
      tools,
      stage: () => staged ??= opening.then(({ path }) => stageCopy(repair, { path: `${path}/copy.mp4`, tools })),
      beside: () => sidecars ??= dir === null ? Promise.resolve([]) : sidecarsOf(repairs, { dir: dir.path, tools }),
    });
    const result = await tools.store.completeRepair(repair, outcome);
    if (result === "done") tools.onOutcome?.(repair, outcome);
    if (result === "gone" && outcome.state === "verified") await removeOrphan(repair, tools);
    return outcome.state;
  }));
  if (states.every((state) => state === "verified")) dir?.discard();
  return states;
}

/** Makes what a copy consists of, once for all targets. */
interface Making {
  readonly tools: RepairTools;
  readonly stage: () => Promise<StagedFile>;
  readonly beside: () => Promise<readonly Sidecar[]>;
}

async function outcomeOf(
  repair: Repair,
  making: Making,
): Promise<RepairOutcome> {
  const { tools } = making;
  const target = tools.targets.find((candidate) => candidate.name === repair.target);
  if (!target) {
    const error = `${repair.target} is not configured here`;
    return { state: "pending", error, error_class: "storage_5xx", retry_after_seconds: FOREIGN_RETRY_SECONDS };
  }
  const closed = tools.breaker.openReason(target.name);
  if (closed) return givenBack(closed, TARGET_RETRY_SECONDS);
  try {
    const copy = await makeCopy(repair, target, making);
    tools.breaker.succeeded(target.name);
    return verified(copy);
  } catch (error) {
    if (tools.signal?.aborted) return { state: "pending" };
    if (error instanceof SourcesUnseen) return givenBack(error, SOURCES_RETRY_SECONDS);
    if (!(error instanceof StorageError)) return failed(error);
    tools.breaker.failed(target.name, error.problem, error);
    return TARGET_PROBLEMS.has(error.problem) ? givenBack(error, TARGET_RETRY_SECONDS) : failed(error);
  }
}

async function makeCopy(
  repair: Repair,
  target: StorageTarget,
  { tools, stage, beside }: Making,
): Promise<StoredCopy> {
  const location = target.locationOf(repair.archive);
  const file = await fileThatWasThere(repair, target, tools) ?? await stage();
  if (repair.damaged) {
    // `put` would accept the damaged copy. It is removed only now that its replacement is available.
    await beside();
    await target.remove(location, { signal: tools.signal });
  }
  return await target.put(file, location, {
    signal: tools.signal,
    semaphore: tools.semaphore,
    lockRepo: tools.lockRepo,
    beside,
    beforeCommit: () => assertHeld(repair, tools),
  });
}

/** A takedown deletes the row and its lease: then nothing may become visible. */
async function assertHeld(repair: Repair, { store }: RepairTools): Promise<void> {
  const lost = await store.extendRepairs([repair]);
  if (lost.length > 0) throw new KeepstreamError("lease_expired", "the repair is no longer this runner's");
}

/** A copy that was stored during a takedown. No row refers to it. */
async function removeOrphan(repair: Repair, { targets, signal }: RepairTools): Promise<void> {
  const target = targets.find((candidate) => candidate.name === repair.target);
  if (target) await target.remove(target.locationOf(repair.archive), { signal });
}

/** From the verified copies; those of the targets under repair are the last choice. */
async function sidecarsOf(
  repairs: readonly Repair[],
  { dir, tools }: { dir: string; tools: RepairTools },
): Promise<readonly Sidecar[]> {
  const places = repairs.flatMap(({ sources }) => sources);
  const own = repairs.flatMap(({ target, archive }) => {
    const found = tools.targets.find(({ name }) => name === target);
    return found ? [{ target, ...found.locationOf(archive) }] : [];
  });
  const known = [...places, ...own].flatMap(({ target: name, repo, path }): Place[] => {
    const target = tools.targets.find((candidate) => candidate.name === name);
    return target && !tools.breaker.openReason(name) ? [{ target, location: { repo, path } }] : [];
  });
  const distinct = [...new Map(known.map((place) => [`${place.target.name} ${place.location.path}`, place])).values()];
  const { archive, sha256, sizeBytes } = repairs[0]!;
  const { sidecars } = await readSidecars(distinct, {
    archive: { ...archive, sha256, sizeBytes },
    keys: tools.manifestKeys,
    dir,
    ...(tools.signal && { signal: tools.signal }),
  });
  return sidecars;
}

async function stageCopy(repair: Repair, { path, tools }: { path: string; tools: RepairTools }): Promise<StagedFile> {
  using space = await tools.disk.reserve(repair.sizeBytes ?? FIRST_RESERVATION_BYTES);
  return await fetchCopy(repair, { ...tools, path, space });
}

/** The recorded file, if the target has it: its account was only unavailable. `put` does not read it. */
async function fileThatWasThere(
  repair: Repair,
  target: StorageTarget,
  { signal, workDir }: RepairTools,
): Promise<StagedFile | null> {
  const { damaged, sha256, sizeBytes } = repair;
  if (damaged || sha256 === null || sizeBytes === null) return null;
  const found = await target.find(target.locationOf(repair.archive), { signal });
  return found?.sha256 === sha256 && found.sizeBytes === sizeBytes
    ? { path: `${workDir}/not-downloaded`, sha256, sizeBytes }
    : null;
}

function verified(copy: StoredCopy): RepairOutcome {
  return {
    state: "verified",
    repo: copy.repo,
    path: copy.path,
    commit_oid: copy.commitOid,
    direct_url: copy.directUrl,
    account: copy.account,
    sha256: copy.sha256,
    size_bytes: copy.sizeBytes,
  };
}

function failed(error: unknown): RepairOutcome {
  const [error_class, message] = reasonOf(error);
  const retry_after_seconds = error instanceof KeepstreamError ? error.retryAfterSeconds : undefined;
  return { state: "failed", error: message, error_class, retry_after_seconds };
}

/** Uses up no attempt, because nothing could be tried. */
function givenBack(error: KeepstreamError, seconds: number): RepairOutcome {
  return { ...failed(error), state: "pending", retry_after_seconds: error.retryAfterSeconds ?? seconds };
}
