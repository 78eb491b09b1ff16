// What can be wrong with a target, told apart because each asks for something else: a new token, more space, another account, time.
// Runs on: Deno.

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

/** A failure of one target. Its message holds no token and no query string, whatever the text came from. */
export class StorageError extends KeepstreamError {
  readonly problem: StorageProblem;

  constructor(problem: StorageProblem, message: string, options: StorageErrorOptions) {
    const { code, ...rest } = options;
    super(code, redactText(message), { ...rest, retryable: problem !== "refused" });
    this.problem = problem;
  }
}

/** Reads the meaning of a refusal: status first, then the words the Hub and S3 servers use. */
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
  // A bucket that is not there is a wrong configuration, not a lost copy; another region says so in many ways.
  if (/NoSuchBucket|AuthorizationHeaderMalformed/.test(text)) {
    return new StorageError("auth", message, { code: "storage_denied" });
  }
  if (status >= 300 && status < 400) {
    return new StorageError("auth", `${message} (it sends elsewhere: endpoint or region are not its own)`, {
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

/** Anything thrown on the way to a target, as one of ours; an abort stays what it is. */
export function asStorageError(what: string, error: unknown): unknown {
  if (error instanceof KeepstreamError) return error;
  if (error instanceof DOMException && error.name === "AbortError") return error;
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new StorageError("transient", `${what}: ${text}`, { code: "timeout" });
  }
  return new StorageError("transient", `${what}: ${text}`, { code: "network" });
}

/** A page without its tags; of S3's XML the code and the message, because the rest repeats the request with its signature. */
function shorten(text: string): string {
  const told = ["Code", "Message"].map((tag) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(text)?.[1]);
  const plain = (told[0] === undefined ? text : told.join(" ")).replace(/<[^>]*>/g, " ").replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  return plain.length > 200 ? `${plain.slice(0, 200)}…` : plain;
}
