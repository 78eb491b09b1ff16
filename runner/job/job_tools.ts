/** What a job receives: the runner's parts, and the claim loop's callbacks. */
import type { UrlPolicy } from "../../core/url_policy.ts";
import type { Events } from "../events.ts";
import type { Queue } from "../queue/queue.ts";
import type { ForwardProxy } from "../network/forward_proxy.ts";
import type { ArchivePolicy } from "../presentation/archive_policy.ts";
import type { CircuitBreaker } from "../archive/circuit_breaker.ts";
import type { Semaphore } from "../transfer/semaphore.ts";
import type { LockRepo, StorageTarget } from "../targets/target.ts";
import type { DiskBudget } from "../work_dir/disk_budget.ts";
import type { Progress } from "./progress.ts";

export type JobTools = {
  readonly queue: Queue;
  readonly events: Events;
  readonly proxy: ForwardProxy;
  readonly policy: UrlPolicy;
  readonly disk: DiskBudget;
  readonly workDir: string;
  readonly fileSalt: string;
  readonly targets: readonly StorageTarget[];
  readonly semaphore: Semaphore;
  readonly breaker: CircuitBreaker;
  readonly lockRepo?: LockRepo;
  /** Whether to make a poster and a sprite sheet. */
  readonly extras: boolean;
  readonly archive: ArchivePolicy;
  readonly maxBytes: number;
  readonly hlsConnections: number;
  readonly mp4Connections: number;
  readonly megaApiUrl?: string | undefined;
};

export type JobRun = {
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Extends the lease; throws if it is lost. Called before bytes become visible. */
  readonly beforeCommit: () => Promise<void>;
  /** Further heights of the job's source wait: this runner claims them when the job ends, because it has what they share. */
  readonly onHeights?: () => void;
  /** Makes the job ready through `write`, which ends the lease: from then on no heartbeat is needed. */
  readonly commitArchive: <T>(write: () => Promise<T>) => Promise<T>;
};
