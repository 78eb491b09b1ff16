/**
 * Space is promised before a byte is fetched: two jobs that each fit must also fit together.
 * Example: `using space = await budget.reserve(2e9)` throws `disk_full` when the disk cannot hold it. Runs on: Deno.
 */
import { statfs } from "node:fs/promises";
import { KeepstreamError } from "../../core/errors.ts";

/** Left for everybody else on the disk. */
const MARGIN_BYTES = 256 * 1024 * 1024;

export type Reservation = Disposable & {
  /** Raises or lowers what is promised, once the real size is known. */
  readonly resize: (bytes: number) => Promise<void>;
};

export type DiskBudget = { readonly reserve: (bytes: number) => Promise<Reservation> };

export function createDiskBudget(dir: string, options: { freeBytes?: () => Promise<number> } = {}): DiskBudget {
  const freeBytes = options.freeBytes ?? (async () => {
    const stats = await statfs(dir);
    return stats.bavail * stats.bsize;
  });
  const promised = new Map<symbol, number>();
  let queue: Promise<unknown> = Promise.resolve();

  /** One decision after the other, so that two cannot be promised the same bytes. */
  function decide(id: symbol, bytes: number): Promise<void> {
    const decision = queue.then(async () => {
      const others = [...promised].reduce((sum, [other, size]) => other === id ? sum : sum + size, 0);
      // What other jobs have already written is counted twice here: on the careful side.
      const left = await freeBytes() - MARGIN_BYTES - others;
      if (bytes > left) {
        throw new KeepstreamError(
          "disk_full",
          `the job needs ${mebibytes(bytes)} of disk, ${mebibytes(left)} are left`,
        );
      }
      promised.set(id, bytes);
    });
    queue = decision.catch(() => {});
    return decision;
  }

  return {
    reserve: async (bytes) => {
      const id = Symbol("reservation");
      await decide(id, bytes);
      return { resize: (size) => decide(id, size), [Symbol.dispose]: () => void promised.delete(id) };
    },
  };
}

function mebibytes(bytes: number): string {
  return `${Math.max(0, Math.ceil(bytes / 1024 / 1024))} MiB`;
}
