/**
 * A circuit breaker per storage target. auth, quota, abuse and identity open the circuit immediately, because an operator has to act;
 * slow targets open it after three consecutive failures.
 */

import { type ErrorClass, KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import { publicProblem, StorageError, type StorageProblem } from "../transfer/storage_error.ts";
import type { StorageTarget } from "../targets/target.ts";

const FAILURES_TO_OPEN = 3;
const FIRST_OPEN_SECONDS = 60;
const OPERATOR_NEEDED_SECONDS = 600;
const MAX_OPEN_SECONDS = 1800;

export type TargetState = "ok" | "auth" | "quota" | "abuse" | "identity" | "missing" | "slow";

export interface TargetHealth {
  readonly target: string;
  readonly state: TargetState;
  readonly failuresInRow: number;
  /** Unix milliseconds; until then, the target is not called. null: closed. */
  readonly openUntilMs: number | null;
  readonly usedBytes: number | null;
  readonly message: string | null;
  readonly code: ErrorClass | null;
}

export interface CircuitBreaker {
  /** Why the circuit is open, or null. After `openUntilMs`, one attempt is let through. */
  openReason(target: string): KeepstreamError | null;
  succeeded(target: string, usedBytes?: number | null): void;
  failed(target: string, problem: StorageProblem, error: KeepstreamError): void;
  /** By the last probe; null if unknown. */
  usedBytes(target: string): number | null;
  all(): TargetHealth[];
}

const WELL = { state: "ok", failuresInRow: 0, openUntilMs: null, message: null, code: null } as const;

/** `now`: milliseconds, such as Date.now. */
export function createCircuitBreaker(options: { now: () => number }): CircuitBreaker {
  const book = new Map<string, TargetHealth>();
  const of = (target: string): TargetHealth => book.get(target) ?? { target, usedBytes: null, ...WELL };

  return {
    openReason(target) {
      const { openUntilMs, state, message, code } = of(target);
      if (openUntilMs === null || options.now() >= openUntilMs) return null;
      return new KeepstreamError(
        code ?? "storage_5xx",
        `${target}: circuit open (${state}): ${message ?? ""}`,
        {
          retryAfterSeconds: Math.ceil((openUntilMs - options.now()) / 1000),
        },
      );
    },
    succeeded(target, usedBytes) {
      book.set(target, { ...of(target), ...WELL });
      if (usedBytes !== undefined) book.set(target, { ...of(target), usedBytes });
    },
    failed(target, problem, error) {
      const state = stateOf(problem);
      if (state === null) return; // concerns the file, not the target
      const failuresInRow = of(target).failuresInRow + 1;
      const seconds = openSeconds(state, failuresInRow, error.retryAfterSeconds);
      const openUntilMs = seconds === null ? null : options.now() + seconds * 1000;
      const { message, code } = error;
      book.set(target, { ...of(target), state, failuresInRow, openUntilMs, message, code });
    },
    usedBytes: (target) => of(target).usedBytes,
    all: () => [...book.values()],
  };
}

/** Probes every target. A success closes its circuit. */
export async function probeTargets(
  targets: readonly StorageTarget[],
  options: { breaker: CircuitBreaker; signal?: AbortSignal },
): Promise<void> {
  await Promise.all(targets.map(async (target) => {
    try {
      const { usedBytes } = await target.probe({ signal: options.signal });
      options.breaker.succeeded(target.name, usedBytes);
    } catch (error) {
      options.signal?.throwIfAborted();
      const known = error instanceof KeepstreamError
        ? error
        : new KeepstreamError("unknown", redactText(String(error)));
      options.breaker.failed(target.name, error instanceof StorageError ? error.problem : "transient", known);
    }
  }));
}

/** null for problems that concern the file, not the target. */
function stateOf(problem: StorageProblem): Exclude<TargetState, "ok"> | null {
  if (problem === "refused" || problem === "changed" || problem === "conflict" || problem === "invisible") return null;
  return publicProblem(problem) as Exclude<TargetState, "ok">;
}

function openSeconds(state: TargetState, failuresInRow: number, requested: number | undefined): number | null {
  if (requested !== undefined && requested > 0) return requested;
  if (state === "auth" || state === "quota" || state === "abuse" || state === "identity") {
    return OPERATOR_NEEDED_SECONDS;
  }
  if (failuresInRow < FAILURES_TO_OPEN) return null;
  return Math.min(MAX_OPEN_SECONDS, FIRST_OPEN_SECONDS * 2 ** (failuresInRow - FAILURES_TO_OPEN));
}
