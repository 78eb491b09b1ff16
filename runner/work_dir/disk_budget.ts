/**
 * Space is promised before a byte is fetched: two jobs that each fit must also fit together.
 * Example: `using space = await budget.reserve(2e9)` throws `disk_full` when the disk cannot hold it. Runs on: Deno.
 */
import { statfs } from "node:fs/promises";
import { KeepstreamError } from "../../core/errors.ts";
import { saysDiskFull } from "./disk_full_text.ts";
import { StorageError } from "../transfer/storage_error.ts";

/** Promised to a job before anything is known of its size. */
export const FIRST_RESERVATION_BYTES = 64 * 1024 * 1024;
/** Left for everybody else on the disk. */
const MARGIN_BYTES = 256 * 1024 * 1024;
/** Files that a job makes at least. A disk may have room and no names left for them. */
const FIRST_NAMES = 32;
/** Where the disk shows room and jobs fail on it all the same (a quota): the second wait for room, doubled each time. */
const HIDDEN_WAIT_MS = 10_000;
/** … and after so many in a row it is the job's own trouble. */
const MAX_HIDDEN = 5;

export type Reservation = Disposable & {
  /** Raises or lowers what is promised, once the real size is known. */
  readonly resize: (bytes: number) => Promise<void>;
  /** What of it is on disk by now, and so no longer missing from the free space. */
  readonly wrote: (bytes: number) => void;
};

export type DiskBudget = {
  readonly reserve: (bytes: number) => Promise<Reservation>;
  /** How many more jobs the disk can take. After a job that did not fit: none, until what it lacked is there. */
  readonly room: () => Promise<number>;
  /** Why the disk takes no job, whatever runs; null while it does. */
  readonly problem: () => Promise<string | null>;
  /** A job met the end of the disk, and goes on when so much is free. Answers false where it is in vain to wait for that. */
  readonly ranOut: (neededBytes: number) => boolean;
};

/** A promise that could not be made. */
export class DiskFull extends KeepstreamError {
  /** What has to be free for it; null when the disk is too small, however long the job waits. */
  readonly neededBytes: number | null;

  constructor(message: string, neededBytes: number | null) {
    super("disk_full", message);
    this.neededBytes = neededBytes;
  }
}

/** Of the work directory: a storage folder without room is that target's own trouble. */
export function isDiskError(error: unknown): error is Error {
  if (error instanceof StorageError) return false;
  if (error instanceof KeepstreamError) return error.code === "disk_full";
  return error instanceof Error && saysDiskFull(error.message);
}

export function createDiskBudget(
  dir: string,
  options: { freeBytes?: () => Promise<number>; totalBytes?: () => Promise<number>; now?: () => number } = {},
): DiskBudget {
  const freeBytes = options.freeBytes ?? (async () => {
    const stats = await statfs(dir);
    return stats.bavail * stats.bsize;
  });
  const totalBytes = options.totalBytes ?? (async () => {
    const stats = await statfs(dir);
    return stats.blocks * stats.bsize;
  });
  const now = options.now ?? Date.now;
  const promised = new Map<symbol, { total: number; written: number }>();
  let queue: Promise<unknown> = Promise.resolve();
  /** What the last job that did not fit needed. */
  let lacking = 0;
  const hidden = { times: 0, until: 0 };
  const outstanding = ({ total, written }: { total: number; written: number }) => Math.max(0, total - written);

  async function left(own?: symbol): Promise<number> {
    const others = [...promised].reduce((sum, [other, size]) => other === own ? sum : sum + outstanding(size), 0);
    return await freeBytes() - MARGIN_BYTES - others;
  }

  /** One decision after the other, so that two cannot be promised the same bytes. */
  function decide(id: symbol, total: number): Promise<void> {
    const decision = queue.then(async () => {
      const own = { total, written: promised.get(id)?.written ?? 0 };
      const needed = outstanding(own);
      const free = await left(id);
      if (needed > free) {
        const fits = total <= await totalBytes() - MARGIN_BYTES;
        const ever = fits ? "" : "; the disk is too small for it";
        throw new DiskFull(
          `the job needs ${mebibytes(needed)} of disk, ${mebibytes(free)} are left${ever}`,
          fits ? needed : null,
        );
      }
      promised.set(id, own);
    });
    queue = decision.catch(() => {});
    return decision;
  }

  async function problem(): Promise<string | null> {
    try {
      await writeProbe(dir);
      const { files, ffree } = await statfs(dir);
      if (files > 0 && ffree < FIRST_NAMES) return "the work directory's disk has no names left for files";
      const free = await freeBytes() - MARGIN_BYTES;
      const needed = Math.max(FIRST_RESERVATION_BYTES, lacking);
      return needed > free
        ? `the work directory needs ${mebibytes(needed)} for a job, ${mebibytes(free)} are left`
        : null;
    } catch (error) {
      return isDiskError(error) ? "the work directory is full or read-only" : "the work directory cannot be written to";
    }
  }

  return {
    room: async () => {
      const jobs = await problem() === null ? Math.floor(await left() / FIRST_RESERVATION_BYTES) : 0;
      if (jobs <= 0 || await left() < lacking) {
        hidden.times = hidden.until = 0; // the disk shows what is missing, and will show when it is there
        return 0;
      }
      if (now() < hidden.until) return 0;
      lacking = 0;
      return jobs;
    },
    problem,
    ranOut: (neededBytes) => {
      lacking = Math.max(lacking, neededBytes);
      if (++hidden.times > MAX_HIDDEN) {
        hidden.times = 0;
        return false;
      }
      hidden.until = hidden.times === 1 ? 0 : now() + HIDDEN_WAIT_MS * 2 ** (hidden.times - 2);
      return true;
    },
    reserve: async (bytes) => {
      const id = Symbol("reservation");
      await decide(id, bytes);
      return {
        resize: (size) => decide(id, size),
        wrote: (written) => {
          const own = promised.get(id);
          if (own !== undefined) promised.set(id, { ...own, written });
        },
        [Symbol.dispose]: () => void promised.delete(id),
      };
    },
  };
}

/** Free bytes say nothing of a disk without names left, a quota, or one that is mounted read-only. */
async function writeProbe(dir: string): Promise<void> {
  await Deno.mkdir(dir, { recursive: true });
  const path = `${dir}/.probe`;
  await Deno.writeTextFile(path, "writable\n");
  await Deno.remove(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // another runner removed it
  });
}

function mebibytes(bytes: number): string {
  return `${Math.max(0, Math.ceil(bytes / 1024 / 1024))} MiB`;
}
