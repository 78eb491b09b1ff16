/**
 * How many connections a download has open: half of what is allowed at first; all of it once so many segments came that none was
 * refused; half again where that made each of them slower, or a host refuses. Runs on: Deno.
 * Example: 32 allowed → 16, and 32 after the first 16 segments; a host that answers 429 from 20 on → 16 for good.
 */
const LEAST = 4;
/** A connection of this part of its former speed is a line that is shared: more of them bring nothing. */
const SLOWER = 0.8;
/** Bodies that came quicker say nothing about the line. */
const LEAST_SECONDS = 0.02;

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
    const wake = () => this.#waiting.shift()?.();
    while (this.#open >= this.#limit) {
      await new Promise<void>((done) => {
        this.#waiting.push(done);
        signal.addEventListener("abort", wake, { once: true });
      });
      signal.removeEventListener("abort", wake);
      signal.throwIfAborted();
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
    if (!this.#mayGrow) return this.#begin(Math.min(this.#limit + 1, this.#start));
    if (this.#startSpeed === null) {
      this.#startSpeed = speed;
      return this.#begin(this.#most);
    }
    this.#mayGrow = speed >= SLOWER * this.#startSpeed;
    this.#begin(this.#mayGrow ? this.#most : this.#start);
  }

  /** The host bears fewer. Many refusals of one round count once. */
  refused(round: number): void {
    if (round !== this.#round) return;
    this.#mayGrow = false;
    this.#begin(Math.min(this.#limit, Math.max(LEAST, this.#limit >> 1)));
  }

  /** What may have another reason, and counts where there are more connections than at first. */
  failed(round: number): void {
    if (this.#limit > this.#start) this.refused(round);
  }

  #begin(limit: number): void {
    this.#limit = limit;
    this.#round++;
    this.#came = { segments: 0, bytes: 0, seconds: 0 };
    this.#waiting.splice(0).forEach((wake) => wake());
  }
}
