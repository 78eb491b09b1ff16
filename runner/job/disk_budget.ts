/**
 * Space is promised before a byte is fetched: two jobs that each fit must also fit together.
 * Example: `using space = await budget.reserve(2e9)` throws `disk_full` when the disk cannot hold it. Runs on: Deno.
 */
import { statfs } from "node:fs/promises";
import { KeepstreamError } from "../../core/errors.ts";

/** Promised to a job before anything is known of its size. */
export const FIRST_RESERVATION_BYTES = 64 * 1024 * 1024;
/** Left for everybody else on the disk. */
const MARGIN_BYTES = 256 * 1024 * 1024;

export type Reservation = Disposable & {
  /** Raises or lowers what is promised, once the real size is known. */
  readonly resize: (bytes: number) => Promise<void>;
  /** What of it is on disk by now, and so no longer missing from the free space. */
  readonly wrote: (bytes: number) => void;
};

export type DiskBudget = {
  readonly reserve: (bytes: number) => Promise<Reservation>;
  /** How many more jobs the disk can take. */
  readonly room: () => Promise<number>;
};

export function createDiskBudget(dir: string, options: { freeBytes?: () => Promise<number> } = {}): DiskBudget {
  const freeBytes = options.freeBytes ?? (async () => {
    const stats = await statfs(dir);
    return stats.bavail * stats.bsize;
  });
  const promised = new Map<symbol, { total: number; written: number }>();
  let queue: Promise<unknown> = Promise.resolve();
  const outstanding = ({ total, written }: { total: number; written: number }) => Math.max(0, total - written);

  async function left(own?: symbol): Promise<number> {
    const others = [...promised].reduce((sum, [other, size]) => other === own ? sum : sum + outstanding(size), 0);
    return await freeBytes() - MARGIN_BYTES - others;
  }

  /** One decision after the other, so that two cannot be promised the same bytes. */
  function decide(id: symbol, total: number): Promise<void> {
    const decision = queue.then(async () => {
      const own = { total, written: promised.get(id)?.written ?? 0 };
      const free = await left(id);
      if (outstanding(own) > free) {
        throw new KeepstreamError(
          "disk_full",
          `the job needs ${mebibytes(outstanding(own))} of disk, ${mebibytes(free)} are left`,
        );
      }
      promised.set(id, own);
    });
    queue = decision.catch(() => {});
    return decision;
  }

  return {
    room: async () => Math.max(0, Math.floor(await left() / FIRST_RESERVATION_BYTES)),
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

function mebibytes(bytes: number): string {
  return `${Math.max(0, Math.ceil(bytes / 1024 / 1024))} MiB`;
}
