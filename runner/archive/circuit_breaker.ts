// How each target fares, and whether it is worth trying now: a circuit breaker per target.
// auth, quota, abuse and another target in its place close it at once (only a person can help), slow ones after three failures in a row.
// Runs on: Deno.

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
  /** Unix milliseconds; the target is left alone until then. */
  readonly openUntilMs: number | null;
  readonly usedBytes: number | null;
  readonly message: string | null;
  readonly code: ErrorClass | null;
}

export interface CircuitBreaker {
  /** Why the target is not to be tried now, or null. After the closed time one attempt is let through again. */
  openReason(target: string): KeepstreamError | null;
  succeeded(target: string, usedBytes?: number | null): void;
  failed(target: string, problem: StorageProblem, error: KeepstreamError): void;
  /** As the last probe told; null when unknown. */
  usedBytes(target: string): number | null;
  all(): TargetHealth[];
}

const WELL = { state: "ok", failuresInRow: 0, openUntilMs: null, message: null, code: null } as const;

/** `now` in milliseconds, as Date.now gives it. */
export function createCircuitBreaker(options: { now: () => number }): CircuitBreaker {
  const book = new Map<string, TargetHealth>();
  const of = (target: string): TargetHealth => book.get(target) ?? { target, usedBytes: null, ...WELL };

  return {
    openReason(target) {
      const { openUntilMs, state, message, code } = of(target);
      if (openUntilMs === null || options.now() >= openUntilMs) return null;
      return new KeepstreamError(
        code ?? "storage_5xx",
        `${target} is left alone for now (${state}): ${message ?? ""}`,
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
      if (state === null) return; // says something about the file, nothing about the target
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

/** Asks every target how it is and writes it down; a target that was closed opens when it answers well. */
export async function probeTargets(
  targets: readonly StorageTarget[],
  options: { health: CircuitBreaker; signal?: AbortSignal },
): Promise<void> {
  await Promise.all(targets.map(async (target) => {
    try {
      const { usedBytes } = await target.probe({ signal: options.signal });
      options.health.succeeded(target.name, usedBytes);
    } catch (error) {
      options.signal?.throwIfAborted();
      const known = error instanceof KeepstreamError
        ? error
        : new KeepstreamError("unknown", redactText(String(error)));
      options.health.failed(target.name, error instanceof StorageError ? error.problem : "transient", known);
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
