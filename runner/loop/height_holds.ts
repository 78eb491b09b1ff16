/**
 * Keeps further heights of a source from other runners while this one works on them, because it has the audio that they share on its disk.
 * Example: `holds.renew([mainJobId])` every second; `holds.end(mainJobId)` makes the rest due.
 */
import type { Queue } from "../queue/queue.ts";

/** Share of a lease after which a hold is repeated. It lasts as long as a lease. */
const RENEW_AT = 1 / 3;

export class HeightHolds {
  readonly #options: { readonly queue: Pick<Queue, "holdHeights">; readonly leaseSeconds: number };
  readonly #onError: (error: unknown) => void;
  readonly #renewedAt = new Map<string, number>();
  #last: Promise<void> = Promise.resolve();

  constructor(
    options: { readonly queue: Pick<Queue, "holdHeights">; readonly leaseSeconds: number },
    onError: (error: unknown) => void,
  ) {
    this.#options = options;
    this.#onError = onError;
  }

  /** `ids`: the jobs of whose sources heights may wait. */
  renew(ids: readonly string[]): void {
    for (const id of new Set(ids)) {
      const at = this.#renewedAt.get(id);
      if (at !== undefined && performance.now() - at < this.#options.leaseSeconds * 1000 * RENEW_AT) continue;
      this.#renewedAt.set(id, performance.now());
      if (at !== undefined) this.#call(id, false); // enqueuing and claiming have just held them
    }
  }

  /** The waiting heights become due for every runner. */
  end(id: string): void {
    this.#renewedAt.delete(id);
    this.#call(id, true);
  }

  async settled(): Promise<void> {
    await this.#last;
  }

  #call(id: string, isOver: boolean): void {
    const call = () => this.#options.queue.holdHeights(id, { isOver }).catch(this.#onError);
    this.#last = this.#last.then(call);
  }
}
