/**
 * Uploads a staged file to all targets in parallel. The first confirmed copy makes the episode ready.
 * Example: `await replicate(file, { malId: 55825, episode: 1, fileKey }, { targets, onFirst: commitArchive })`.
 */

import { KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import type { CircuitBreaker } from "./circuit_breaker.ts";
import { byPreference } from "./primary.ts";
import { createSemaphore, type Semaphore } from "../transfer/semaphore.ts";
import type { StagedFile } from "../transfer/staged_file.ts";
import { StorageError, type StorageProblem } from "../transfer/storage_error.ts";
import type { Archive, LockRepo, Sidecar, StorageTarget, StoredCopy } from "../targets/target.ts";

/** Parallel parts over all targets. */
export const PART_STREAMS = 6;

export interface ReplicateOptions {
  readonly targets: readonly StorageTarget[];
  readonly signal?: AbortSignal;
  /** Bytes stored or being sent, of `file.sizeBytes × targets`. */
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
  /** Called with the first confirmed copy. If it throws (a lost lease), everything stops. */
  readonly onFirst?: (copy: StoredCopy) => Promise<void> | void;
  /** Called with every further copy, after `onFirst`. If it throws, everything stops. */
  readonly onCopy?: (copy: StoredCopy) => Promise<void> | void;
  /** Called for every failed target; after `onFirst`, if there is a first copy. */
  readonly onFailure?: (failure: TargetFailure) => Promise<void> | void;
  /** Called with the target's name before its change becomes visible. Throw to stop it. */
  readonly beforeCommit?: (target: string) => Promise<void>;
  /** Makes the sidecars, once for all targets (`PutOptions.beside`). */
  readonly beside?: () => Promise<readonly Sidecar[]>;
  readonly lockRepo?: LockRepo;
  /** Shared between the jobs of a process. @default a new one */
  readonly semaphore?: Semaphore;
  readonly breaker?: CircuitBreaker;
}

export interface TargetFailure {
  readonly target: string;
  readonly account: number;
  readonly problem: StorageProblem | "circuit_open";
  readonly error: KeepstreamError;
}

export interface Replication {
  readonly copies: StoredCopy[];
  readonly failures: TargetFailure[];
}

/** Resolves when every target has succeeded or failed. Throws only if aborted or if a callback throws. */
export async function replicate(file: StagedFile, archive: Archive, options: ReplicateOptions): Promise<Replication> {
  const { breaker } = options;
  // The preferred target starts first, so it is usually the first copy and the primary.
  const targets = byPreference(options.targets, {
    malId: archive.malId,
    usedBytes: (name) => breaker?.usedBytes(name) ?? null,
  });
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const semaphore = options.semaphore ?? createSemaphore(PART_STREAMS);
  const progress = new Map<string, number>();
  let progressBytes = 0;
  const copies: StoredCopy[] = [];
  const failures: TargetFailure[] = [];
  let first: Promise<void> | null = null;

  async function putTo(target: StorageTarget) {
    const outcome = await attempt(target);
    if (outcome === null) return;
    try {
      if ("problem" in outcome) {
        failures.push(outcome);
        await first;
        await options.onFailure?.(outcome);
      } else if (first === null) {
        copies.push(outcome);
        await (first = Promise.resolve(outcome).then(options.onFirst));
      } else {
        copies.push(outcome);
        await first;
        await options.onCopy?.(outcome);
      }
    } catch (error) {
      stop.abort(error); // the copy cannot be committed: the lease is lost, or the database is unavailable
    }
  }

  /** The copy, the failure, or null if everything was stopped. */
  async function attempt(target: StorageTarget): Promise<StoredCopy | TargetFailure | null> {
    const closed = breaker?.openReason(target.name);
    if (closed) return failureOf(target, closed, "circuit_open");
    try {
      const copy = await target.put(file, target.locationOf(archive), {
        signal,
        semaphore,
        beforeCommit: options.beforeCommit && (() => options.beforeCommit!(target.name)),
        lockRepo: options.lockRepo,
        beside: options.beside,
        onProgress(bytes) {
          progressBytes += bytes - (progress.get(target.name) ?? 0);
          progress.set(target.name, bytes);
          options.onProgress?.(progressBytes, file.sizeBytes * targets.length);
        },
      });
      breaker?.succeeded(target.name);
      return copy;
    } catch (error) {
      if (signal.aborted) return null;
      const failure = failureOf(target, error);
      // A lost lease or an unavailable queue says nothing about the target.
      if (error instanceof StorageError) breaker?.failed(target.name, error.problem, error);
      return failure;
    }
  }

  await Promise.all(targets.map(putTo));
  signal.throwIfAborted();
  return { copies, failures };
}

/** The failure to report if no target succeeded: the most retryable one. */
export function replicationError(failures: readonly TargetFailure[]): KeepstreamError {
  const best = failures.toSorted((a, b) => Number(b.error.retryable) - Number(a.error.retryable))[0];
  if (!best) return new KeepstreamError("storage_5xx", "no storage target is configured");
  const all = failures.map((failure) => `${failure.target} (${failure.problem}): ${failure.error.message}`).join("; ");
  const waits = failures.map((failure) => failure.error.retryAfterSeconds ?? 0);
  const retryAfterSeconds = Math.min(...waits) || undefined;
  return new KeepstreamError(best.error.code, redactText(all), { cause: best.error, retryAfterSeconds });
}

function failureOf(target: StorageTarget, error: unknown, problem?: "circuit_open"): TargetFailure {
  const known = error instanceof KeepstreamError
    ? error
    : new KeepstreamError("unknown", redactText(error instanceof Error ? error.message : String(error)), {
      cause: error,
    });
  const kind = problem ?? (error instanceof StorageError ? error.problem : "transient");
  return { target: target.name, account: target.account, problem: kind, error: known };
}
