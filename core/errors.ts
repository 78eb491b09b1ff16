// The error classes that queue, runner and functions share.
// Example: throw new KeepstreamError("timeout", "the source sent no byte for 20 s", { retryable: true, cause });

/** Every class that a job can fail with; the queue's backoff table has a row for each. */
export const ERROR_CLASSES = [
  "network",
  "timeout",
  "upstream_5xx",
  "storage_5xx",
  "unknown",
  "rate_limited",
  "storage_denied",
  "storage_full",
  "storage_missing",
  "storage_unidentified",
  "storage_conflict",
  "disk_full",
  "lease_expired",
  "source_expired",
  "shutdown",
  "unsupported",
  "drm",
  "policy_denied",
  "too_large",
  "invalid_input",
  "cancelled",
] as const;

export type ErrorClass = typeof ERROR_CLASSES[number];

/** Classes for which a retry cannot succeed, because the input itself is refused. */
const TERMINAL: ReadonlySet<ErrorClass> = new Set([
  "unsupported",
  "drm",
  "policy_denied",
  "too_large",
  "invalid_input",
  "cancelled",
]);

export interface KeepstreamErrorOptions extends ErrorOptions {
  /** @default true, unless the class is terminal */
  readonly retryable?: boolean;
  readonly retryAfterSeconds?: number;
}

/** The message includes what to do; it never contains a query string or a token (core/redact.ts). */
export class KeepstreamError extends Error {
  override readonly name = "KeepstreamError";
  readonly code: ErrorClass;
  readonly retryable: boolean;
  readonly retryAfterSeconds?: number;

  constructor(code: ErrorClass, message: string, options: KeepstreamErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options.retryable ?? !TERMINAL.has(code);
    if (options.retryAfterSeconds !== undefined) this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** Whether another attempt may succeed. */
export function isRetryable(error: unknown): error is KeepstreamError {
  return error instanceof KeepstreamError && error.retryable;
}

/** Narrows text from a database row or another process. */
export function isErrorClass(text: string): text is ErrorClass {
  return (ERROR_CLASSES as readonly string[]).includes(text);
}
