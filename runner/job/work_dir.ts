/**
 * A directory per job that outlives the process: a killed job goes on from it, a live one is never touched. The lock is the kernel's,
 * so it ends with its holder, however that ended. Example: `await using dir = await openJobDir(root, { id, source })`. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";

const JOB_DIR = /^job-[0-9a-f-]{36}$/;
const REPAIR_FILE = /^repair-[0-9a-f-]{36}\.mp4$/;
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
  readonly over: (ids: readonly string[]) => Promise<ReadonlySet<string>>;
};

/** Removes what nobody holds and nobody will come back for. Returns how many entries went. */
export async function removeLeftovers(root: string, rules: LeftoverRules): Promise<number> {
  await Deno.mkdir(root, { recursive: true });
  const entries = await Array.fromAsync(Deno.readDir(root));
  const jobs = entries.filter((entry) => entry.isDirectory && JOB_DIR.test(entry.name)).map(({ name }) => name);
  const repairs = entries.filter((entry) => entry.isFile && REPAIR_FILE.test(entry.name)).map(({ name }) => name);
  const over = jobs.length === 0 ? new Set() : await rules.over(jobs.map((name) => name.slice("job-".length)));
  const isOld = async (name: string) => {
    const info = await Deno.stat(`${root}/${name}`).catch(() => null);
    return info !== null && rules.now() - (info.mtime?.getTime() ?? 0) >= rules.maxAgeMs;
  };
  let removed = 0;
  for (const name of jobs) {
    if (!over.has(name.slice("job-".length)) && !await isOld(name)) continue;
    if (await removeUnlocked(`${root}/${name}`)) removed++;
  }
  for (const name of repairs) {
    // A repair in progress writes its file all the time; one that was not touched for so long has no writer.
    if (await isOld(name) && await Deno.remove(`${root}/${name}`).then(() => true, () => false)) removed++;
  }
  return removed;
}

async function removeUnlocked(path: string): Promise<boolean> {
  const lock = await Deno.open(`${path}/lock`, { create: true, write: true }).catch(() => null);
  if (lock === null) return false;
  try {
    if (!await lock.tryLock(true)) return false;
    await Deno.remove(path, { recursive: true });
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
