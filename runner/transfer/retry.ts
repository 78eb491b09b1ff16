/**
 * Repeated calls of storage targets: core/retry with the target's policy, and a fetch that honours Retry-After.
 * Example: `const call = retryingFetch(parts)`, then `await call(url, init)`.
 */
import { retry, type RetryOptions, type RetryPolicy } from "../../core/retry.ts";
import { sleep } from "../../core/sleep.ts";
import { MAX_STORAGE_DELAY_MS, STORAGE_CALL } from "../retry_policies.ts";
import { fetchOnce, type FetchTimes } from "./fetch_once.ts";
import { StorageError } from "./storage_error.ts";

export interface RetryTimes extends FetchTimes {
  /** Attempts of one call, including the first. */
  readonly attempts: number;
  /** Delay before the second attempt; doubles, with jitter. */
  readonly backoffMs: number;
  /** A call that asks for a longer delay is not repeated. */
  readonly maxWaitMs: number;
}

export const DEFAULT_TIMES: RetryTimes = {
  attempts: STORAGE_CALL.attempts,
  backoffMs: STORAGE_CALL.delayMs,
  maxWaitMs: MAX_STORAGE_DELAY_MS,
  idleTimeoutMs: 60_000,
  keptAliveMs: 3_600_000,
};

export interface RetryParts {
  readonly fetch: typeof fetch;
  /** Send files over our own connections; false sends them with fetch, as an HTTP proxy requires. */
  readonly sockets?: boolean;
  readonly times: RetryTimes;
  readonly sleep: typeof sleep;
  readonly random: () => number;
}

const MAX_REQUESTED_SECONDS = 86_400;
const RETRIED = new Set([408, 429, 500, 502, 503, 504]);

export function retryStorageCall<T>(
  call: (attempt: number) => Promise<T>,
  parts: Pick<RetryParts, "times" | "sleep" | "random">,
  options: Pick<RetryOptions, "signal" | "retryable" | "delayFor" | "onRetry">,
): Promise<T> {
  return retry(call, policyOf(parts), { ...options, sleep: parts.sleep, random: parts.random });
}

function policyOf({ times }: Pick<RetryParts, "times">): RetryPolicy {
  return { ...STORAGE_CALL, attempts: times.attempts, delayMs: times.backoffMs };
}

class RetryableResponse extends Error {
  readonly response: Response;

  constructor(response: Response) {
    super(`HTTP ${response.status}`);
    this.response = response;
  }

  get requestedMs(): number | undefined {
    const seconds = requestedSeconds(this.response.headers);
    return seconds === null ? undefined : seconds * 1000;
  }
}

/** Returns the first final response: a success, a refusal, or the last failure. Throws for network failures and timeouts. */
export function retryingFetch(parts: RetryParts): typeof fetch {
  const attempt = async (input: RequestInfo | URL, init: RequestInit | undefined) => {
    const response = await fetchOnce(input, init ?? {}, parts);
    if (RETRIED.has(response.status)) throw new RetryableResponse(response);
    return response;
  };
  const retryable = (error: unknown) => {
    if (!(error instanceof RetryableResponse)) return !(error instanceof StorageError);
    const delayMs = error.requestedMs;
    // A 429 without a delay is the Hub's hourly commit quota: repeating it within seconds is pointless.
    return delayMs === undefined ? error.response.status !== 429 : delayMs <= parts.times.maxWaitMs;
  };
  return async (input, init) => {
    try {
      return await retryStorageCall(() => attempt(input, init), parts, {
        signal: init?.signal ?? undefined,
        retryable,
        delayFor: (error) => error instanceof RetryableResponse ? error.requestedMs : undefined,
      });
    } catch (error) {
      if (error instanceof RetryableResponse) return error.response;
      throw error;
    }
  };
}

/** Whole seconds to wait as the response requests: `RateLimit: "api";r=0;t=55`, or Retry-After (seconds or a date); else null. */
export function requestedSeconds(headers: Headers, now = Date.now()): number | null {
  const limit = headers.get("ratelimit")?.match(/r=(\d+)\s*;\s*t=(\d+)/);
  const after = headers.get("retry-after")?.trim() ?? "";
  let seconds: number;
  if (limit?.[1] === "0") seconds = Number(limit[2]);
  else if (/^\d+$/.test(after)) seconds = Number(after);
  else seconds = /\d{4}/.test(after) ? Math.max(0, (Date.parse(after) - now) / 1000) : NaN;
  return Number.isNaN(seconds) ? null : Math.min(Math.ceil(seconds), MAX_REQUESTED_SECONDS);
}
