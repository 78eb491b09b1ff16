/**
 * Repeats a call that may succeed the next time. The policies are listed in docs/reference/retries.md.
 * Example: `await retry(() => fetchPage(url), { attempts: 3, delayMs: 500 }, { signal, retryable: isTransient })`.
 */
import { sleep } from "./sleep.ts";

export interface RetryPolicy {
  /** Calls in total, including the first; `Infinity` leaves the end to `retryable` and `signal`. */
  readonly attempts: number;
  /** Delay before the second call. */
  readonly delayMs: number;
  /** Growth of the delay from call to call. @default 2 */
  readonly factor?: number;
  /** Random share of the delay, 0 to 1. With 0.5, each delay is 50 to 100 % of the computed one. @default 0.5 */
  readonly jitter?: number;
  /** Upper limit of the computed delay. @default Infinity */
  readonly maxDelayMs?: number;
}

export interface RetryOptions {
  /** Ends the wait and the repetitions; the call itself has to watch it, too. */
  readonly signal?: AbortSignal | undefined;
  /** Whether this failure may pass. @default every failure */
  readonly retryable?: (error: unknown, attempt: number) => boolean;
  /** A delay that the failure asks for, such as Retry-After; undefined: the policy's. */
  readonly delayFor?: (error: unknown) => number | undefined;
  /** Called before each wait. */
  readonly onRetry?: (error: unknown, attempt: number) => void | Promise<void>;
  readonly random?: () => number;
  readonly sleep?: typeof sleep;
}

/** Returns the first success; throws the last failure, or the first one that is not retryable. */
export async function retry<T>(
  call: (attempt: number) => Promise<T>,
  policy: RetryPolicy,
  options: RetryOptions = {},
): Promise<T> {
  const { signal, retryable = () => true } = options;
  for (let attempt = 1;; attempt++) {
    let delayMs: number;
    try {
      return await call(attempt);
    } catch (error) {
      if (attempt >= policy.attempts || signal?.aborted || !retryable(error, attempt)) throw error;
      await options.onRetry?.(error, attempt);
      delayMs = options.delayFor?.(error) ?? retryDelay(attempt, policy, options.random);
    }
    await (options.sleep ?? sleep)(delayMs, signal);
  }
}

/** The delay after the given attempt. */
// deno-lint-ignore directories/pure-core -- a default for callers that need no reproducible jitter
export function retryDelay(attempt: number, policy: RetryPolicy, random: () => number = Math.random): number {
  const { delayMs, factor = 2, jitter = 0.5, maxDelayMs = Infinity } = policy;
  return Math.min(maxDelayMs, delayMs * factor ** (attempt - 1)) * (1 - jitter + jitter * random());
}
