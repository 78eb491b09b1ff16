/** Failures of storage targets, by what they require: a new token, more space, another account, or time. */

import { type ErrorClass, KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";

/**
 * auth: token refused. quota: no space left. account_flagged: the provider flagged or barred the account. missing: the file does not
 * exist, and its repository or bucket is visible. invisible: the repository or bucket cannot be seen, which proves nothing about the
 * file. identity: the target is not the registered one. transient: timeout, rate limit, network error or 5xx. conflict: another commit
 * interferes. refused: this file will never be accepted. changed: the staged file is not the one that was hashed.
 */
export type StorageProblem =
  | "auth"
  | "quota"
  | "account_flagged"
  | "missing"
  | "invisible"
  | "identity"
  | "transient"
  | "conflict"
  | "refused"
  | "changed";

/** How `GET /status` and the storage commands name a problem. */
export type PublicProblem = Exclude<StorageProblem, "transient" | "account_flagged"> | "slow" | "abuse";

export function publicProblem(problem: StorageProblem): PublicProblem {
  if (problem === "transient") return "slow";
  return problem === "account_flagged" ? "abuse" : problem;
}

export interface StorageErrorOptions extends ErrorOptions {
  readonly code: ErrorClass;
  readonly retryAfterSeconds?: number;
}

/** A failure of one target. The message contains no token and no query string. */
export class StorageError extends KeepstreamError {
  readonly problem: StorageProblem;

  constructor(problem: StorageProblem, message: string, options: StorageErrorOptions) {
    const { code, ...rest } = options;
    super(code, redactText(message), { ...rest, retryable: problem !== "refused" });
    this.problem = problem;
  }
}

/** Classifies a refusal by status and by the texts of the Hub and of S3 stores. */
export function storageErrorOf(
  what: string,
  response: { status: number; text: string; retryAfterSeconds?: number },
): StorageError {
  const { status, text, retryAfterSeconds } = response;
  const message = `${what}: ${status} ${shorten(text)}`;
  if (status === 401) return new StorageError("auth", message, { code: "storage_denied" });
  if (
    status === 402 || status === 507 ||
    (status === 403 && /storage limit|quota|insufficient storage|payment/i.test(text))
  ) {
    return new StorageError("quota", message, { code: "storage_full" });
  }
  if (status === 403 && /abuse|flagged|suspend|banned|disabled|terms of service|content policy/i.test(text)) {
    return new StorageError("account_flagged", message, { code: "storage_denied" });
  }
  if (status === 403) return new StorageError("auth", message, { code: "storage_denied" });
  // A missing bucket or a wrong region is a configuration error, not a lost copy.
  if (/NoSuchBucket|AuthorizationHeaderMalformed/.test(text)) {
    return new StorageError("auth", message, { code: "storage_denied" });
  }
  if (status >= 300 && status < 400) {
    return new StorageError("auth", `${message} (a redirect: check endpoint and region)`, {
      code: "storage_denied",
    });
  }
  if (
    status === 404 || status === 410 ||
    (status === 400 && /LFS pointer pointed to a file that does not exist/.test(text))
  ) return new StorageError("missing", message, { code: "storage_missing" });
  if (status === 409 || status === 412) return new StorageError("conflict", message, { code: "storage_conflict" });
  if (status === 429) return new StorageError("transient", message, { code: "rate_limited", retryAfterSeconds });
  if (status === 413 || (status === 422 && /size/i.test(text))) {
    return new StorageError("refused", message, { code: "too_large" });
  }
  if (status >= 400 && status < 500 && status !== 408) {
    return new StorageError("refused", message, { code: "unknown" });
  }
  return new StorageError("transient", message, { code: "storage_5xx", retryAfterSeconds });
}

/** Converts any error of a target's call; aborts stay unchanged. */
export function asStorageError(what: string, error: unknown): unknown {
  if (error instanceof KeepstreamError) return error;
  if (error instanceof DOMException && error.name === "AbortError") return error;
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new StorageError("transient", `${what}: ${text}`, { code: "timeout" });
  }
  return new StorageError("transient", `${what}: ${text}`, { code: "network" });
}

/** HTML without tags. Of S3's XML only code and message, because the rest repeats the signed request. */
function shorten(text: string): string {
  const parts = ["Code", "Message"].map((tag) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(text)?.[1]);
  const plain = (parts[0] === undefined ? text : parts.join(" ")).replace(/<[^>]*>/g, " ").replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  return plain.length > 200 ? `${plain.slice(0, 200)}…` : plain;
}
