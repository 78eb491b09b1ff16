/**
 * A directory per job, and per archive that is repaired, that outlives the process: a killed job goes on from it, a live one is never
 * touched. The lock is the kernel's, so it ends with its holder, however that ended.
 * Example: `await using dir = await openJobDir(root, id)`. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";

const JOB_DIR = /^job-[0-9a-f-]{36}$/;
const REPAIR_DIR = /^repair-[0-9a-f-]{36}$/;
/** What a target has confirmed of an upload. */
const UPLOAD_JOURNAL = /\.upload$/;
const BUSY_RETRY_SECONDS = 15;

export type JobDir = AsyncDisposable & {
  readonly path: string;
  /** What an earlier run left, read back from `state.json`; null for a fresh start. */
  readonly readState: () => Promise<JobState | null>;
  readonly writeState: (state: JobState) => Promise<void>;
  /** Takes the directory away when the job is over; without it, it is kept for the next run. */
  readonly discard: () => void;
};

/** `source` tells one candidate's bytes from another's. */
export type JobState = {
  readonly source: string;
  readonly pin?: { readonly sizeBytes: number | null; readonly etag: string | null };
  /** Set once the final file is verified, hashed and only waits for its upload. */
  readonly final?: { readonly sizeBytes: number; readonly sha256: string; readonly durationSeconds: number };
};

/** @throws {KeepstreamError} when another process on this machine is at the same job. */
export async function openJobDir(root: string, id: string): Promise<JobDir> {
  const path = `${root}/job-${id}`;
  const lock = await lockDir(path);
  if (lock === null) {
    // Given back, but not to be claimed again at once: the holder may be a runner that is just stopping.
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
      await Deno.writeTextFile(`${statePath}.part`, JSON.stringify(state));
      await Deno.rename(`${statePath}.part`, statePath);
    },
    discard: () => discarded = true,
    [Symbol.asyncDispose]: async () => {
      if (discarded) await Deno.remove(path, { recursive: true }).catch(() => {});
      lock.close();
    },
  };
}

export type RepairDir = AsyncDisposable & {
  readonly path: string;
  /** Takes the directory away when every copy is there; without it, what targets have confirmed is kept for the next try. */
  readonly discard: () => void;
};

/** Where an archive lies while it is put elsewhere. @throws {KeepstreamError} when another process on this machine is at it. */
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
      await (discarded ? Deno.remove(path, { recursive: true }) : keepJournals(path)).catch(() => {}); // tried again by the clean-up
      lock.close();
    },
  };
}

/** A repair begins by reading the archive again; only a journal saves it something, and saves the target a second upload. */
async function keepJournals(path: string): Promise<void> {
  for await (const { name } of Deno.readDir(path)) {
    if (name !== "lock" && !UPLOAD_JOURNAL.test(name)) await Deno.remove(`${path}/${name}`, { recursive: true });
  }
}

/** The open lock file, or null when somebody else holds it. */
async function lockDir(path: string): Promise<Deno.FsFile | null> {
  for (;;) {
    await Deno.mkdir(path, { recursive: true });
    const lock = await Deno.open(`${path}/lock`, { create: true, write: true }).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    });
    if (lock === null) continue; // the directory was removed between the two lines above
    if (!await lock.tryLock(true)) {
      lock.close();
      return null;
    }
    const there = await Deno.stat(`${path}/lock`).catch(() => null);
    if (there !== null && there.ino === (await lock.stat()).ino) return lock;
    lock.close(); // what is locked was removed by a clean-up that had it before
  }
}

/** Empties a job's directory but for its lock: another source, or bytes that cannot be trusted. */
export async function emptyJobDir(path: string): Promise<void> {
  for await (const entry of Deno.readDir(path)) {
    if (entry.name !== "lock") await Deno.remove(`${path}/${entry.name}`, { recursive: true });
  }
}

export type LeftoverRules = {
  readonly maxAgeMs: number;
  readonly now: () => number;
  /** Which of these jobs are over for good: what is left of them goes at once, whatever its age. */
  readonly overJobs: (ids: readonly string[]) => Promise<ReadonlySet<string>>;
  /** Which of these archives have all their copies, or are gone. */
  readonly overRepairs: (storeIds: readonly string[]) => Promise<ReadonlySet<string>>;
};

/** Removes what nobody holds and nobody will come back for. Returns how many directories went. */
export async function removeLeftovers(root: string, rules: LeftoverRules): Promise<number> {
  await Deno.mkdir(root, { recursive: true });
  const entries = await Array.fromAsync(Deno.readDir(root));
  const named = (pattern: RegExp) =>
    entries.filter((entry) => entry.isDirectory && pattern.test(entry.name)).map(({ name }) => name);
  const [jobs, repairs] = [named(JOB_DIR), named(REPAIR_DIR)];
  const over = new Set([
    ...await namesOf("job-", { of: jobs, over: rules.overJobs }),
    ...await namesOf("repair-", { of: repairs, over: rules.overRepairs }),
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

/** Those of the directories `<prefix><id>` whose ids are over. */
async function namesOf(
  prefix: string,
  { of: names, over }: { of: readonly string[]; over: LeftoverRules["overJobs"] },
): Promise<string[]> {
  if (names.length === 0) return [];
  return [...await over(names.map((name) => name.slice(prefix.length)))].map((id) => prefix + id);
}

async function isOlder(path: string, { maxAgeMs, now }: LeftoverRules): Promise<boolean> {
  const info = await Deno.stat(path).catch(() => null);
  return info !== null && now() - (info.mtime?.getTime() ?? 0) >= maxAgeMs;
}

/** Answers whether it was done: a directory that somebody holds is left alone. */
async function unlessHeld(path: string, act: () => Promise<void>): Promise<boolean> {
  const lock = await Deno.open(`${path}/lock`, { create: true, write: true }).catch(() => null);
  if (lock === null) return false;
  try {
    if (!await lock.tryLock(true)) return false;
    await act();
    return true;
  } finally {
    lock.close();
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
