/**
 * Reserves disk space before a download starts, so that concurrent jobs fit together.
 * Example: `using space = await budget.reserve(2e9)` throws `disk_full` if the disk has too little space.
 */
import { statfs } from "node:fs/promises";
import { KeepstreamError } from "../../core/errors.ts";
import { saysDiskFull } from "./disk_full_text.ts";
import { StorageError } from "../transfer/storage_error.ts";

/** Reserved for a job until its size is known. */
export const FIRST_RESERVATION_BYTES = 64 * 1024 * 1024;
/** Kept free for other users of the disk. */
const MARGIN_BYTES = 256 * 1024 * 1024;
/** Minimum number of files of a job. A disk can have free bytes and no free inodes. */
const FIRST_NAMES = 32;
/** For a disk that shows free space although writes fail (a quota): seconds until the next job, doubled each time. */
const HIDDEN_WAIT_MS = 10_000;
/** After this many consecutive failures of that kind, the job fails. */
const MAX_HIDDEN = 5;

export type Reservation = Disposable & {
  /** Changes the reservation once the real size is known. */
  readonly resize: (bytes: number) => Promise<void>;
  /** Bytes already written, which no longer count as reserved. */
  readonly wrote: (bytes: number) => void;
};

export type DiskBudget = {
  readonly reserve: (bytes: number) => Promise<Reservation>;
  /** How many more jobs fit. After a job that did not fit: 0 until the space it needed is free. */
  readonly capacity: () => Promise<number>;
  /** Why the disk takes no job, or null. */
  readonly problem: () => Promise<string | null>;
  /** A job ran out of space and needs this many bytes to resume. Returns false if waiting cannot help. */
  readonly ranOut: (neededBytes: number) => boolean;
};

/** A reservation failed. */
export class DiskFull extends KeepstreamError {
  /** Bytes that must be free; null if the disk is too small for the job. */
  readonly neededBytes: number | null;

  constructor(message: string, neededBytes: number | null) {
    super("disk_full", message);
    this.neededBytes = neededBytes;
  }
}

/** The work directory only: a full storage folder is a failure of that target. */
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
  /** Bytes that the last job without space needed. */
  let lacking = 0;
  const hidden = { times: 0, until: 0 };
  const outstanding = ({ total, written }: { total: number; written: number }) => Math.max(0, total - written);

  async function left(own?: symbol): Promise<number> {
    const others = [...promised].reduce((sum, [other, size]) => other === own ? sum : sum + outstanding(size), 0);
    return await freeBytes() - MARGIN_BYTES - others;
  }

  /** Reservations are decided one after the other. */
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
    capacity: async () => {
      const jobs = await problem() === null ? Math.floor(await left() / FIRST_RESERVATION_BYTES) : 0;
      if (jobs <= 0 || await left() < lacking) {
        hidden.times = hidden.until = 0; // statfs shows the shortage, so no delay is needed
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

/** Creates files: statfs does not show a lack of inodes, a quota or a read-only mount. */
async function writeProbe(dir: string): Promise<void> {
  await Deno.mkdir(dir, { recursive: true });
  const path = `${dir}/.probe`;
  await Deno.writeTextFile(path, "writable\n");
  await Deno.remove(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // another runner deleted it
  });
}

function mebibytes(bytes: number): string {
  return `${Math.max(0, Math.ceil(bytes / 1024 / 1024))} MiB`;
}
