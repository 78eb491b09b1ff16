// Why a provider or a resolver failed, as a code that is stable for callers, logs and tests.
// Example: throw new SourceError("gone", "the file was removed"). Runs on: Deno, edge runtime.
import { type ErrorClass, KeepstreamError } from "../core/errors.ts";
import { redactText } from "../core/redact.ts";

/** What happened, and the error class of a job that fails with it. */
const CLASS_OF = {
  no_mapping: "unsupported",
  empty: "source_expired",
  http_4xx: "source_expired",
  http_5xx: "upstream_5xx",
  blocked: "rate_limited",
  timeout: "timeout",
  busy: "rate_limited",
  network: "network",
  parse: "unsupported",
  too_large: "too_large",
  policy_denied: "policy_denied",
  invalid_input: "invalid_input",
  unsupported: "unsupported",
  gone: "source_expired",
  quota: "rate_limited",
  subscription: "unsupported",
  not_permitted: "policy_denied",
  robots: "policy_denied",
  cancelled: "cancelled",
} as const satisfies Record<string, ErrorClass>;

export type SourceCode = keyof typeof CLASS_OF;

export interface SourceErrorOptions {
  readonly status?: number;
  readonly retryAfterSeconds?: number | undefined;
  /** Whether the request may be retried within the same response. */
  readonly again?: boolean;
  readonly cause?: unknown;
}

/** `reason` is what the site did; `code` (KeepstreamError) is the class that decides the queue's back-off. */
export class SourceError extends KeepstreamError {
  readonly reason: SourceCode;
  readonly again: boolean;
  readonly status?: number;

  constructor(reason: SourceCode, message: string, options: SourceErrorOptions = {}) {
    const { status, retryAfterSeconds, again, cause } = options;
    super(CLASS_OF[reason], redactText(message), {
      ...(cause !== undefined && { cause }),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    });
    this.reason = reason;
    this.again = again ?? reason === "network";
    if (status !== undefined) this.status = status;
  }
}

/** Converts any thrown value; the signal distinguishes a timeout and a cancellation from a network error. */
export function toSourceError(thrown: unknown, signal?: AbortSignal): SourceError {
  if (thrown instanceof SourceError) return thrown;
  if (thrown instanceof KeepstreamError) return fromKeepstream(thrown);
  const cause = signal?.aborted ? signal.reason : thrown;
  const name = cause instanceof Error ? cause.name : "";
  if (name === "TimeoutError") return new SourceError("timeout", "the site did not respond in time", { cause });
  if (signal?.aborted || name === "AbortError") return new SourceError("cancelled", "cancelled", { cause });
  return new SourceError("network", cause instanceof Error ? cause.message : String(cause), { cause });
}

/** Keeps the class of an error of a guarded fetch, for example for a public name with a private address. */
function fromKeepstream(error: KeepstreamError): SourceError {
  const reasons = Object.keys(CLASS_OF) as SourceCode[];
  const reason = reasons.find((candidate) => candidate === error.code) ??
    reasons.find((candidate) => CLASS_OF[candidate] === error.code) ?? "network";
  return new SourceError(reason, error.message, { again: false, cause: error });
}
