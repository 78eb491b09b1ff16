/**
 * How many connections a download has open: half of what is allowed at first; all of it once so many segments came that none was
 * refused; half again where that made each of them slower. A host that refuses gets half, then carefully more. Runs on: Deno.
 * Example: 32 allowed → 16, and 32 after the first 16 segments; a host that answers 429 from 20 on → 16 for good; from 3 on → 2.
 */
/** A connection of this part of its former speed is a line that is shared: more of them bring nothing. */
const SLOWER = 0.8;
/** Bodies that came quicker say nothing about the line. */
const LEAST_SECONDS = 0.02;
/** Rounds at most before one connection more is tried where one more was refused. */
const MOST_PATIENCE = 16;

export class ConnectionLimit {
  readonly #start: number;
  readonly #most: number;
  #limit: number;
  #open = 0;
  #waiting: (() => void)[] = [];
  /** What was asked for under another limit tells nothing about this one. */
  #round = 0;
  #came = { segments: 0, bytes: 0, seconds: 0 };
  #startSpeed: number | null = null;
  #mayGrow = true;
  /** As many as a whole round came over; 0: not known. */
  #borne = 0;
  /** Whole rounds to come before one more is tried; twice as many after each time that it was refused. */
  #patience = 1;
  #calm = 0;

  constructor(most: number) {
    this.#most = most;
    this.#start = this.#limit = Math.ceil(most / 2);
  }

  get now(): number {
    return this.#limit;
  }

  /** Waits for a free connection; resolves with the round, which `came` and `refused` are told. */
  async take(signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    while (this.#open >= this.#limit) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      this.#waiting.push(wake);
      signal.addEventListener("abort", wake, { once: true });
      await promise;
      signal.removeEventListener("abort", wake);
      if (signal.aborted) {
        this.#leave(wake);
        throw signal.reason;
      }
    }
    this.#open++;
    return this.#round;
  }

  give(): void {
    this.#open--;
    this.#waiting.shift()?.();
  }

  came(round: number, { bytes, seconds }: { bytes: number; seconds: number }): void {
    if (round !== this.#round) return;
    this.#came.bytes += bytes;
    this.#came.seconds += Math.max(seconds, LEAST_SECONDS);
    if (++this.#came.segments < this.#limit) return;
    const speed = this.#came.bytes / this.#came.seconds;
    if (this.#limit > this.#borne) this.#patience = 1;
    this.#borne = this.#limit;
    if (!this.#mayGrow) return this.#tryOneMore();
    if (this.#startSpeed === null) {
      this.#startSpeed = speed;
      return this.#begin(this.#most);
    }
    this.#mayGrow = speed >= SLOWER * this.#startSpeed;
    this.#begin(this.#mayGrow ? this.#most : this.#start);
  }

  /**
   * The host bears fewer: as many as came before, or half, but `least`. Many refusals of one round count once. Answers whether fewer
   * are open from now on, so that what was refused was asked for in vain, and is no try.
   */
  refused(round: number, { least }: { least: number }): boolean {
    if (round !== this.#round) return true;
    const before = this.#limit;
    const known = this.#borne < before ? this.#borne : 0;
    if (known > 0 && known === before - 1) this.#patience = Math.min(2 * this.#patience, MOST_PATIENCE);
    this.#mayGrow = false;
    this.#borne = known;
    this.#calm = 0;
    this.#begin(Math.min(before, Math.max(least, known || before >> 1)));
    return this.#limit < before;
  }

  /** What may have another reason, and counts where there are more connections than at first. */
  failed(round: number): void {
    if (this.#limit > this.#start) this.refused(round, { least: this.#start });
  }

  #tryOneMore(): void {
    if (++this.#calm < this.#patience || this.#limit >= this.#start) {
      return this.#begin(Math.min(this.#limit, this.#start));
    }
    this.#calm = 0;
    this.#begin(this.#limit + 1);
  }

  #begin(limit: number): void {
    this.#limit = limit;
    this.#round++;
    this.#came = { segments: 0, bytes: 0, seconds: 0 };
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  /** Who was woken as well as aborted hands the free connection on. */
  #leave(wake: () => void): void {
    const at = this.#waiting.indexOf(wake);
    if (at === -1) this.#waiting.shift()?.();
    else this.#waiting.splice(at, 1);
  }
}
