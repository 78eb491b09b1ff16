/**
 * How many connections a download uses: half of the maximum at first, all after a full round without a refusal, and half again if that
 * made each connection slower. After a refusal the limit is halved, then raised one by one.
 * Example: 32 allowed → 16, and 32 after 16 segments; a host that responds with 429 to the 20th connection → 16; to the 3rd → 2.
 */
/** Connections this much slower than before share a saturated link: more of them do not help. */
const SLOWER = 0.8;
/** Faster bodies say nothing about the bandwidth. */
const LEAST_SECONDS = 0.02;
/** Maximum number of rounds before one more connection is tried after refusals. */
const MAX_PROBE_INTERVAL = 16;

export class ConnectionLimit {
  readonly #start: number;
  readonly #most: number;
  #limit: number;
  #open = 0;
  #waiting: (() => void)[] = [];
  /** Results of requests that started under another limit are ignored. */
  #round = 0;
  #received = { segments: 0, bytes: 0, seconds: 0 };
  #startSpeed: number | null = null;
  #mayGrow = true;
  /** Connections that a whole round succeeded with; 0 if unknown. */
  #knownGood = 0;
  /** Rounds before one more connection is tried. Doubles after each refusal. */
  #probeInterval = 1;
  #cleanRounds = 0;

  constructor(most: number) {
    this.#most = most;
    this.#start = this.#limit = Math.ceil(most / 2);
  }

  get now(): number {
    return this.#limit;
  }

  /** Waits for a free connection; resolves with the round, to be passed to `onSegment` and `refused`. */
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

  onSegment(round: number, { bytes, seconds }: { bytes: number; seconds: number }): void {
    if (round !== this.#round) return;
    this.#received.bytes += bytes;
    this.#received.seconds += Math.max(seconds, LEAST_SECONDS);
    if (++this.#received.segments < this.#limit) return;
    const speed = this.#received.bytes / this.#received.seconds;
    if (this.#limit > this.#knownGood) this.#probeInterval = 1;
    this.#knownGood = this.#limit;
    if (!this.#mayGrow) return this.#tryOneMore();
    if (this.#startSpeed === null) {
      this.#startSpeed = speed;
      return this.#begin(this.#most);
    }
    this.#mayGrow = speed >= SLOWER * this.#startSpeed;
    this.#begin(this.#mayGrow ? this.#most : this.#start);
  }

  /**
   * The host refuses this number of connections: continue with the last good number, or half, but at least `least`. Refusals of one round
   * count once. Returns whether the limit was lowered, so that the refused request does not count as an attempt.
   */
  refused(round: number, { least }: { least: number }): boolean {
    if (round !== this.#round) return true;
    const before = this.#limit;
    const known = this.#knownGood < before ? this.#knownGood : 0;
    if (known > 0 && known === before - 1) this.#probeInterval = Math.min(2 * this.#probeInterval, MAX_PROBE_INTERVAL);
    this.#mayGrow = false;
    this.#knownGood = known;
    this.#cleanRounds = 0;
    this.#begin(Math.min(before, Math.max(least, known || before >> 1)));
    return this.#limit < before;
  }

  /** A failure with an unknown reason lowers the limit only to the initial one. */
  failed(round: number): void {
    if (this.#limit > this.#start) this.refused(round, { least: this.#start });
  }

  #tryOneMore(): void {
    if (++this.#cleanRounds < this.#probeInterval || this.#limit >= this.#start) {
      return this.#begin(Math.min(this.#limit, this.#start));
    }
    this.#cleanRounds = 0;
    this.#begin(this.#limit + 1);
  }

  #begin(limit: number): void {
    this.#limit = limit;
    this.#round++;
    this.#received = { segments: 0, bytes: 0, seconds: 0 };
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  /** A waiter that was woken and aborted passes the free connection on. */
  #leave(wake: () => void): void {
    const at = this.#waiting.indexOf(wake);
    if (at === -1) this.#waiting.shift()?.();
    else this.#waiting.splice(at, 1);
  }
}
