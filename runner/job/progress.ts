/**
 * A job's phase, bytes, smoothed speed and remaining time, from real counters. Pure, except for the injected clock.
 * Example: 12 of 40 MB at 4 MB/s → { phase: "downloading", bytes_done: 12e6, bytes_total: 40e6, eta_seconds: 7 }.
 */
import type { Phase } from "../events.ts";

/** Smoothing of the speed. */
const SMOOTHING_SECONDS = 3;

export type ProgressRow = {
  readonly phase: Phase;
  readonly bytes_done: number;
  readonly bytes_total: number | null;
  readonly bytes_per_second: number;
  readonly eta_seconds: number | null;
};

export class Progress {
  #phase: Phase = "resolving";
  #done = 0;
  #total: number | null = null;
  #speed: number | null = null;
  #sampledAt: number;
  #sampledDone = 0;
  readonly #now: () => number;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
    this.#sampledAt = now();
  }

  get phase(): Phase {
    return this.#phase;
  }

  enter(phase: Phase, total: number | null = null): void {
    this.#phase = phase;
    this.#total = total;
    this.#done = this.#sampledDone = 0;
    this.#speed = null;
    this.#sampledAt = this.#now();
  }

  /** Bytes done in this phase. Bytes that were on disk before count as done, but not for the speed. */
  set(done: number, total: number | null = this.#total): void {
    if (this.#speed === null && this.#sampledDone === 0 && this.#done === 0) this.#sampledDone = done;
    this.#done = done;
    this.#total = total !== null && total > 0 ? Math.max(total, done) : null;
  }

  /** Call it about once a second. */
  sample(): ProgressRow {
    const now = this.#now();
    const seconds = (now - this.#sampledAt) / 1000;
    if (seconds > 0.2) {
      const measured = Math.max(0, this.#done - this.#sampledDone) / seconds;
      const weight = this.#speed === null ? 1 : 1 - Math.exp(-seconds / SMOOTHING_SECONDS);
      this.#speed = (this.#speed ?? 0) + weight * (measured - (this.#speed ?? 0));
      this.#sampledAt = now;
      this.#sampledDone = this.#done;
    }
    const speed = Math.round(this.#speed ?? 0);
    const left = this.#total === null ? null : this.#total - this.#done;
    return {
      phase: this.#phase,
      bytes_done: this.#done,
      bytes_total: this.#total,
      bytes_per_second: speed,
      eta_seconds: left === null || speed === 0 ? null : Math.ceil(left / speed),
    };
  }
}
