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
  await Deno.mkdir(path, { recursive: true });
  const lock = await Deno.open(`${path}/lock`, { create: true, write: true });
  if (!await lock.tryLock(true)) {
    lock.close();
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

/** Empties a job's directory but for its lock: another source, or bytes that cannot be trusted. */
export async function emptyJobDir(path: string): Promise<void> {
  for await (const entry of Deno.readDir(path)) {
    if (entry.name !== "lock") await Deno.remove(`${path}/${entry.name}`, { recursive: true });
  }
}

/** Removes leftovers older than `maxAgeMs` that nobody holds; younger ones may still be resumed. Returns how many went. */
export async function removeLeftovers(root: string, options: { maxAgeMs: number; now: () => number }): Promise<number> {
  await Deno.mkdir(root, { recursive: true });
  let removed = 0;
  for await (const entry of Deno.readDir(root)) {
    const isRepair = entry.isFile && REPAIR_FILE.test(entry.name);
    if (!isRepair && !(entry.isDirectory && JOB_DIR.test(entry.name))) continue; // not ours: leave it alone
    const path = `${root}/${entry.name}`;
    const info = await Deno.stat(path).catch(() => null);
    if (info === null || options.now() - (info.mtime?.getTime() ?? 0) < options.maxAgeMs) continue;
    // A repair in progress writes its file all the time; one that was not touched for so long has no writer.
    if (isRepair ? await Deno.remove(path).then(() => true, () => false) : await removeUnlocked(path)) removed++;
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
