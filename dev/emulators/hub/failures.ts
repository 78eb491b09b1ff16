// Failures of the real Hub as switches: a rule names an operation, an effect and how often it applies.
// Example: after `hub.fail("commit_landed_504")` the next commit succeeds and the response is 504.

/** The operation of a request, independent of method and path; also its name in the call log. */
export type Operation =
  | "whoami"
  | "create_repo"
  | "delete_repo"
  | "repo_info"
  | "list_repos"
  | "settings"
  | "preupload"
  | "lfs_batch"
  | "upload_part"
  | "upload_basic"
  | "complete"
  | "verify"
  | "commit"
  | "paths_info"
  | "tree"
  | "commits"
  | "lfs_files"
  | "delete_lfs"
  | "resolve"
  | "small_file"
  | "cdn"
  | "space";

export type Effect =
  /** Responds without doing anything. */
  | {
    readonly do: "respond";
    readonly status: number;
    readonly body: "json" | "html" | "xml";
    readonly message: string;
    readonly headers?: Readonly<Record<string, string>>;
  }
  /** Does the work and reports a failure. */
  | { readonly do: "landed"; readonly status: number }
  | { readonly do: "landed_reset" }
  /** Breaks the connection before anything is read, or after half of the body. */
  | { readonly do: "reset" }
  | { readonly do: "reset_midway" }
  /** No response until the client gives up, with or without half of the body. */
  | { readonly do: "hang" }
  | { readonly do: "hang_midway" }
  /** Responds to a part with 200, but stores half of it. */
  | { readonly do: "truncate" }
  | { readonly do: "drop_etag" }
  | { readonly do: "object_error"; readonly code: number; readonly message: string }
  /** Adds another commit just before this one, so that its parent has changed. */
  | { readonly do: "move_parent" };

export interface FailureRule {
  readonly at: Operation;
  readonly effect: Effect;
  /** How many times it applies; default 1. */
  readonly times?: number;
  /** How many matching requests pass before it applies; default 0. */
  readonly after?: number;
  /** Only for this user's requests. */
  readonly user?: string;
}

const respond = (status: number, message: string, headers?: Record<string, string>): Effect => ({
  do: "respond",
  status,
  body: "json",
  message,
  headers,
});
const page = (status: number): Effect => ({ do: "respond", status, body: "html", message: "Bad Gateway" });
const s3 = (status: number, code: string): Effect => ({ do: "respond", status, body: "xml", message: code });

/** All failures by name. */
export const FAILURES = {
  create_repo_500: { at: "create_repo", effect: respond(500, "Internal Error - We're working hard to fix this") },
  create_repo_exists: { at: "create_repo", effect: respond(409, "You already created this dataset repo") },
  create_repo_conflicting: {
    at: "create_repo",
    effect: respond(409, "Cannot create repo: another conflicting operation is in progress"),
  },
  create_repo_reset_after: { at: "create_repo", effect: { do: "landed_reset" } },
  batch_500: { at: "lfs_batch", effect: respond(500, "Internal Error") },
  batch_html: { at: "lfs_batch", effect: page(502) },
  batch_hang: { at: "lfs_batch", effect: { do: "hang" } },
  batch_object_error: {
    at: "lfs_batch",
    effect: { do: "object_error", code: 500, message: "Internal storage error" },
  },
  batch_object_refused: {
    at: "lfs_batch",
    effect: { do: "object_error", code: 422, message: "Object exceeds the size allowed" },
  },
  part_500: { at: "upload_part", effect: s3(500, "InternalError") },
  part_503: { at: "upload_part", effect: s3(503, "SlowDown") },
  part_html: { at: "upload_part", effect: page(502) },
  part_reset: { at: "upload_part", effect: { do: "reset" } },
  part_reset_midway: { at: "upload_part", effect: { do: "reset_midway" } },
  part_reset_after: { at: "upload_part", effect: { do: "landed_reset" } },
  part_hang: { at: "upload_part", effect: { do: "hang" } },
  part_hang_midway: { at: "upload_part", effect: { do: "hang_midway" } },
  part_truncated: { at: "upload_part", effect: { do: "truncate" } },
  part_no_etag: { at: "upload_part", effect: { do: "drop_etag" } },
  part_expired: { at: "upload_part", effect: s3(403, "AccessDenied: Request has expired") },
  basic_500: { at: "upload_basic", effect: s3(500, "InternalError") },
  basic_reset_midway: { at: "upload_basic", effect: { do: "reset_midway" } },
  basic_truncated: { at: "upload_basic", effect: { do: "truncate" } },
  complete_500: { at: "complete", effect: respond(500, "Internal Error") },
  complete_landed_504: { at: "complete", effect: { do: "landed", status: 504 } },
  verify_500: { at: "verify", effect: respond(500, "Internal Error") },
  commit_500: { at: "commit", effect: respond(500, "Internal Error") },
  commit_hang: { at: "commit", effect: { do: "hang" } },
  commit_412: { at: "commit", effect: { do: "move_parent" } },
  commit_moved: { at: "commit", effect: respond(412, "A commit has happened since. Please refresh and try again.") },
  commit_locked: {
    at: "commit",
    effect: respond(409, "Another commit operation is in progress for this repository"),
  },
  commit_landed_504: { at: "commit", effect: { do: "landed", status: 504 } },
  commit_landed_reset: { at: "commit", effect: { do: "landed_reset" } },
  commit_object_missing: {
    at: "commit",
    effect: respond(
      400,
      "Your push was rejected because an LFS pointer pointed to a file that does not exist. Offending file: - episode.mp4",
    ),
  },
  commit_hourly_quota: {
    at: "commit",
    effect: respond(
      429,
      "You have exceeded the rate limit for repository commits (128 per hour). You can retry this action in about 1 hour.",
    ),
  },
  commit_quota: {
    at: "commit",
    effect: respond(403, "Private repository storage limit reached, please upgrade your plan or free up space"),
  },
  abuse: {
    at: "lfs_batch",
    effect: respond(403, "This account has been flagged for abuse of the platform. Contact support.", {
      "X-Error-Code": "AccountFlagged",
    }),
  },
  batch_quota: {
    at: "lfs_batch",
    effect: respond(403, "Private repository storage limit reached, please upgrade your plan or free up space"),
  },
  batch_rate_limited_retry_after: {
    at: "lfs_batch",
    effect: respond(429, "Too many requests", { "Retry-After": "1" }),
  },
  batch_rate_limited_header: {
    at: "lfs_batch",
    effect: respond(429, "We had to rate limit you", { "RateLimit": `"api";r=0;t=1` }),
  },
  look_500: { at: "paths_info", effect: respond(500, "Internal Error") },
  look_html: { at: "paths_info", effect: page(503) },
  whoami_500: { at: "whoami", effect: respond(500, "Internal Error") },
  resolve_403: { at: "resolve", effect: respond(403, "Access to this resource is disabled.") },
  resolve_404: { at: "resolve", effect: respond(404, "Entry not found", { "X-Error-Code": "EntryNotFound" }) },
  resolve_429: { at: "resolve", effect: respond(429, "Too many requests", { "Retry-After": "1" }) },
  resolve_500: { at: "resolve", effect: respond(500, "Internal Error") },
  cdn_403: { at: "cdn", effect: s3(403, "AccessDenied: Request has expired") },
  cdn_404: { at: "cdn", effect: s3(404, "NoSuchKey") },
  cdn_416: { at: "cdn", effect: s3(416, "InvalidRange") },
  cdn_reset_midway: { at: "cdn", effect: { do: "reset_midway" } },
} as const satisfies Record<string, FailureRule>;

export type FailureName = keyof typeof FAILURES;

/** Failures that a client must survive without losing the job; `chaos` draws from them. */
export const TRANSIENT: readonly FailureName[] = [
  "create_repo_500",
  "create_repo_conflicting",
  "batch_500",
  "batch_html",
  "batch_object_error",
  "part_500",
  "part_503",
  "part_html",
  "part_reset",
  "part_reset_midway",
  "part_reset_after",
  "part_truncated",
  "part_no_etag",
  "part_expired",
  "basic_500",
  "basic_reset_midway",
  "basic_truncated",
  "complete_500",
  "complete_landed_504",
  "verify_500",
  "commit_500",
  "commit_412",
  "commit_locked",
  "commit_landed_504",
  "commit_landed_reset",
  "look_500",
  "look_html",
];

export class FailureSwitches {
  #rules: { rule: FailureRule; left: number; after: number }[] = [];
  #chaos: { next: () => number; rate: number; names: readonly FailureName[] } | null = null;

  /** Adds a rule. The first rule that matches a request applies. */
  add(rule: FailureRule): void {
    this.#rules.push({ rule, left: rule.times ?? 1, after: rule.after ?? 0 });
  }

  /** From now on every operation fails with probability `rate`, repeatably for the same seed and order of calls. */
  chaos(options: { seed: number; rate: number; names?: readonly FailureName[] } | null): void {
    this.#chaos = options && { next: mulberry32(options.seed), rate: options.rate, names: options.names ?? TRANSIENT };
  }

  clear(): void {
    this.#rules = [];
    this.#chaos = null;
  }

  /** The effect that applies to this request, if any. */
  take(at: Operation, user: string | null): Effect | null {
    for (const entry of this.#rules) {
      if (entry.left <= 0 || entry.rule.at !== at || (entry.rule.user && entry.rule.user !== user)) continue;
      if (entry.after-- > 0) continue;
      entry.left--;
      return entry.rule.effect;
    }
    const fitting = this.#chaos?.names.filter((name) => FAILURES[name].at === at) ?? [];
    if (!this.#chaos || fitting.length === 0 || this.#chaos.next() >= this.#chaos.rate) return null;
    const name = fitting[Math.floor(this.#chaos.next() * fitting.length)];
    return name ? FAILURES[name].effect : null;
  }
}

/** A small seeded generator of numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
