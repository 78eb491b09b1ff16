// The Hub's fixed five-minute windows, reported in every response: `RateLimit: "api";r=998;t=55`, `RateLimit-Policy: …`.

export type RateLimitBucket = "api" | "resolvers";

export interface RateLimitOptions {
  readonly api: number;
  readonly resolvers: number;
  readonly windowSeconds: number;
}

/** Limits of a free account per five minutes. */
export const FREE_ACCOUNT_LIMITS: RateLimitOptions = { api: 1000, resolvers: 5000, windowSeconds: 300 };

export interface RateLimitState {
  readonly allowed: boolean;
  readonly headers: Record<string, string>;
}

export class RateLimiter {
  readonly #limits: RateLimitOptions;
  readonly #windows = new Map<string, { startedAt: number; used: number }>();

  constructor(limits: RateLimitOptions) {
    this.#limits = limits;
  }

  /** Counts one call of a client at `now` (unix seconds). */
  take(client: string, options: { bucket: RateLimitBucket; now: number }): RateLimitState {
    const { bucket, now } = options;
    const quota = this.#limits[bucket];
    const key = `${bucket}:${client}`;
    let window = this.#windows.get(key);
    if (!window || now >= window.startedAt + this.#limits.windowSeconds) {
      window = { startedAt: now, used: 0 };
      this.#windows.set(key, window);
    }
    const allowed = window.used < quota;
    if (allowed) window.used++;
    const resetSeconds = Math.max(1, Math.ceil(window.startedAt + this.#limits.windowSeconds - now));
    return {
      allowed,
      headers: {
        "RateLimit": `"${bucket}";r=${quota - window.used};t=${resetSeconds}`,
        "RateLimit-Policy": `"fixed window";"${bucket}";q=${quota};w=${this.#limits.windowSeconds}`,
      },
    };
  }
}
