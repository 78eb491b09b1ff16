/**
 * A directory per job and per archive under repair. It outlives the process, so that a killed job can resume. A kernel lock, which ends
 * with its process, keeps other processes out. Example: `await using dir = await openJobDir(root, id)`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { MediaReport } from "../../core/media_report.ts";
import { releaseLock } from "./file_lock.ts";

const JOB_DIR = /^job-[0-9a-f-]{36}$/;
const REPAIR_DIR = /^repair-[0-9a-f-]{36}$/;
/** Journal of an upload. */
const UPLOAD_JOURNAL = /\.upload$/;
const BUSY_RETRY_SECONDS = 15;

export type JobDir = AsyncDisposable & {
  readonly path: string;
  /** State of an earlier run from `state.json`; null for a fresh start. */
  readonly readState: () => Promise<JobState | null>;
  readonly writeState: (state: JobState) => Promise<void>;
  /** Delete the directory on disposal. Otherwise it is kept for the next run. */
  readonly discard: () => void;
};

/** Identifies the candidate whose bytes are on disk. */
export type JobState = {
  readonly source: string;
  /** The further height that wrote it: the heights of a source share a directory. `writeState` sets it. */
  readonly job?: string;
  readonly pin?: { readonly sizeBytes: number | null; readonly etag: string | null };
  /** Set once the final file is verified and hashed. */
  readonly final?: {
    readonly sizeBytes: number;
    readonly sha256: string;
    readonly durationSeconds: number;
    /** Missing if an earlier version wrote the file. */
    readonly media?: MediaReport;
    /** Endings of the texts beside the file: `final.m3u8`, `final.v.m3u8`, … */
    readonly texts?: readonly string[];
    readonly heights?: readonly number[];
  };
};

/**
 * The directory `id`, for the job of that id or for a further height of its source.
 * @throws {KeepstreamError} if another process on this machine has it.
 */
export async function openJobDir(root: string, id: string, job = id): Promise<JobDir> {
  const path = `${root}/job-${id}`;
  const lock = await lockDir(path);
  if (lock === null) {
    // The job is released, but must not be reclaimed immediately: the other process may be stopping.
    throw new KeepstreamError("shutdown", "another runner on this machine holds the job's directory", {
      retryAfterSeconds: BUSY_RETRY_SECONDS,
    });
  }
  let discarded = false;
  const statePath = `${path}/state.json`;
  return {
    path,
    readState: async () => parseState(await Deno.readTextFile(statePath).catch(() => "")),
    writeState: async (state) => {
      await Deno.writeTextFile(`${statePath}.part`, JSON.stringify(job === id ? state : { ...state, job }));
      await Deno.rename(`${statePath}.part`, statePath);
    },
    discard: () => discarded = true,
    [Symbol.asyncDispose]: async () => {
      if (discarded) await Deno.remove(path, { recursive: true }).catch(() => {});
      releaseLock(lock);
    },
  };
}

export type RepairDir = AsyncDisposable & {
  readonly path: string;
  /** Delete the directory on disposal. Otherwise the journals of uploads are kept. */
  readonly discard: () => void;
};

/** @throws {KeepstreamError} if another process on this machine repairs the archive. */
export async function openRepairDir(root: string, storeId: string): Promise<RepairDir> {
  const path = `${root}/repair-${storeId}`;
  const lock = await lockDir(path);
  if (lock === null) {
    throw new KeepstreamError("shutdown", "another process on this machine repairs the archive", {
      retryAfterSeconds: BUSY_RETRY_SECONDS,
    });
  }
  let discarded = false;
  return {
    path,
    discard: () => discarded = true,
    [Symbol.asyncDispose]: async () => {
      await (discarded ? Deno.remove(path, { recursive: true }) : keepJournals(path)).catch(() => {}); // cleaned up later
      releaseLock(lock);
    },
  };
}

/** A repair reads the archive again; only upload journals are worth keeping. */
async function keepJournals(path: string): Promise<void> {
  for await (const { name } of Deno.readDir(path)) {
    if (name !== "lock" && !UPLOAD_JOURNAL.test(name)) await Deno.remove(`${path}/${name}`, { recursive: true });
  }
}

/** The open lock file, or null if another process has it. */
async function lockDir(path: string): Promise<Deno.FsFile | null> {
  for (;;) {
    await Deno.mkdir(path, { recursive: true });
    const lock = await Deno.open(`${path}/lock`, { create: true, write: true }).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    });
    if (lock === null) continue; // the directory was deleted between the two calls above
    if (!await lock.tryLock(true)) {
      lock.close();
      return null;
    }
    const there = await Deno.stat(`${path}/lock`).catch(() => null);
    if (there !== null && there.ino === (await lock.stat()).ino) return lock;
    releaseLock(lock); // the locked file was deleted by a cleanup that had the lock before
  }
}

/** Deletes everything but the lock and `kept`: the bytes are of another source or height, or cannot be trusted. */
export async function emptyJobDir(path: string, kept: readonly string[] = []): Promise<void> {
  for await (const entry of Deno.readDir(path)) {
    if (entry.name !== "lock" && !kept.includes(entry.name)) {
      await Deno.remove(`${path}/${entry.name}`, { recursive: true });
    }
  }
}

export type LeftoverRules = {
  readonly maxAgeMs: number;
  readonly now: () => number;
  /** Ids of finished jobs, whose directories are deleted whatever their age. */
  readonly finishedJobIds: (ids: readonly string[]) => Promise<ReadonlySet<string>>;
  /** Store ids of archives without a missing copy. */
  readonly finishedRepairIds: (storeIds: readonly string[]) => Promise<ReadonlySet<string>>;
};

/** Deletes unlocked directories that no job will resume. Returns how many. */
export async function removeLeftovers(root: string, rules: LeftoverRules): Promise<number> {
  await Deno.mkdir(root, { recursive: true });
  const entries = await Array.fromAsync(Deno.readDir(root));
  const named = (pattern: RegExp) =>
    entries.filter((entry) => entry.isDirectory && pattern.test(entry.name)).map(({ name }) => name);
  const [jobs, repairs] = [named(JOB_DIR), named(REPAIR_DIR)];
  const over = new Set([
    ...await namesOf("job-", { of: jobs, over: rules.finishedJobIds }),
    ...await namesOf("repair-", { of: repairs, over: rules.finishedRepairIds }),
  ]);
  let removed = 0;
  for (const name of [...jobs, ...repairs]) {
    const path = `${root}/${name}`;
    if (over.has(name) || await isOlder(path, rules)) {
      if (await unlessHeld(path, () => Deno.remove(path, { recursive: true }))) removed++;
    } else if (REPAIR_DIR.test(name)) {
      await unlessHeld(path, () => keepJournals(path));
    }
  }
  return removed;
}

/** Names `<prefix><id>` whose ids are finished. */
async function namesOf(
  prefix: string,
  { of: names, over }: { of: readonly string[]; over: LeftoverRules["finishedJobIds"] },
): Promise<string[]> {
  if (names.length === 0) return [];
  return [...await over(names.map((name) => name.slice(prefix.length)))].map((id) => prefix + id);
}

async function isOlder(path: string, { maxAgeMs, now }: LeftoverRules): Promise<boolean> {
  const info = await Deno.stat(path).catch(() => null);
  return info !== null && now() - (info.mtime?.getTime() ?? 0) >= maxAgeMs;
}

/** Returns false if a process has the lock. */
async function unlessHeld(path: string, act: () => Promise<void>): Promise<boolean> {
  const lock = await Deno.open(`${path}/lock`, { create: true, write: true }).catch(() => null);
  if (lock === null) return false;
  try {
    if (!await lock.tryLock(true)) return false;
    await act();
    return true;
  } finally {
    releaseLock(lock);
  }
}

function parseState(text: string): JobState | null {
  try {
    const state = JSON.parse(text) as JobState;
    return typeof state?.source === "string" ? state : null;
  } catch {
    return null;
  }
}
