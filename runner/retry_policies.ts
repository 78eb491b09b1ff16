/** Every retry policy of the runner. docs/reference/retries.md lists them together with those of the other directories. */
import type { RetryPolicy } from "../core/retry.ts";

/** A constant delay, repeated until the caller's `retryable` or signal ends it. */
function every(delayMs: number, attempts = Infinity): RetryPolicy {
  return { attempts, delayMs, factor: 1, jitter: 0 };
}

/** A playlist: after that, another variant is tried. */
export const PLAYLIST_FETCH = every(500, 2);
/** A segment, an init section or a key of a playlist. A refusal for too many connections does not count as an attempt. */
export const SEGMENT_FETCH: RetryPolicy = { attempts: 5, delayMs: 450, jitter: 2 / 3 };
/** A subtitle segment: after that it is a gap. One attempt each once a rendition has `MAX_RETRIED_GAPS`: it is probably gone. */
export const SUBTITLE_ATTEMPTS = 3;
export const MAX_RETRIED_GAPS = 3;
/** A subtitle file that a provider lists beside the video: after that it is left out. */
export const LISTED_SUBTITLE_FETCH = every(500, 3);
/** A longer Retry-After of a media host is cut to this. */
export const MAX_SEGMENT_DELAY_MS = 10_000;
/** How often a download resolves its source again after URLs expired. */
export const MAX_SOURCE_REFRESHES = 3;

/** A range of a mega file. */
export const MEGA_RANGE_FETCH: RetryPolicy = { attempts: 5, delayMs: 450, jitter: 2 / 3 };

/** A probe right after another connection to the same host ended: some hosts still count it. */
export const PROBE = every(500, 2);
/** A sample of a file that is compared with the copy on disk. */
export const SAMPLE_FETCH = every(500, 3);

/** aria2c's JSON-RPC after its start: about five seconds. */
export const ARIA2C_START: RetryPolicy = { attempts: 40, delayMs: 2, factor: 1.2, jitter: 0, maxDelayMs: 250 };

/** Calls of a storage target: Hub API, S3, parts of an upload. */
export const STORAGE_CALL: RetryPolicy = { attempts: 5, delayMs: 500 };
/** A target that asks for a longer pause is not waited for: the job returns to the queue. */
export const MAX_STORAGE_DELAY_MS = 60_000;
/** How often an upload starts over after its URLs expired or its repository was deleted. */
export const MAX_UPLOAD_PLANS = 5;

/** The lock on a repository, while another runner commits; after a minute the commit is tried without it. */
export const REPOSITORY_LOCK = every(300);
export const REPOSITORY_LOCK_TIMEOUT_MS = 60_000;

/** Reports of a job's outcome, until its lease ends. */
export const OUTCOME_REPORT = every(1000);
/** A lease renewal before a commit, until the lease ends. */
export const LEASE_RENEWAL = every(300);
/** Writes of a job that may be repeated, while the queue is unavailable and the job is ours. */
export const QUEUE_WRITE = every(500);
