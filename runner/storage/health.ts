// How each target fares, and whether it is worth trying now: a circuit breaker per target.
// auth, quota and abuse close a target at once (only a person can help), slow ones after three failures in a row.
// Runs on: Deno.

import { KeepstreamError } from "../../core/errors.ts";
import type { Problem } from "./storage_error.ts";
import type { StorageTarget } from "./target.ts";

const FAILURES_TO_CLOSE = 3;
const FIRST_CLOSED_SECONDS = 60;
const PERSON_NEEDED_SECONDS = 600;
const MAX_CLOSED_SECONDS = 1800;

export type TargetState = "ok" | "auth" | "quota" | "abuse" | "missing" | "slow";

export interface TargetHealth {
  readonly target: string;
  readonly state: TargetState;
  readonly failuresInRow: number;
  /** Unix seconds; the target is left alone until then. */
  readonly closedUntil: number | null;
  readonly usedBytes: number | null;
  readonly message: string | null;
}

export interface HealthBook {
  /** Why the target is not to be tried now, or null. After the closed time one attempt is let through again. */
  closedFor(target: string): KeepstreamError | null;
  succeeded(target: string, usedBytes?: number | null): void;
  failed(target: string, problem: Problem, error: KeepstreamError): void;
  all(): TargetHealth[];
}

export function createHealthBook(options: { now: () => number }): HealthBook {
  const book = new Map<string, TargetHealth>();
  const of = (target: string): TargetHealth =>
    book.get(target) ?? { target, state: "ok", failuresInRow: 0, closedUntil: null, usedBytes: null, message: null };

  return {
    closedFor(target) {
      const { closedUntil, state, message } = of(target);
      if (closedUntil === null || options.now() >= closedUntil) return null;
      return new KeepstreamError("storage_5xx", `${target} is left alone for now (${state}): ${message ?? ""}`, {
        retryAfterSeconds: Math.ceil(closedUntil - options.now()),
      });
    },
    succeeded(target, usedBytes) {
      book.set(target, { ...of(target), state: "ok", failuresInRow: 0, closedUntil: null, message: null });
      if (usedBytes !== undefined) book.set(target, { ...of(target), usedBytes });
    },
    failed(target, problem, error) {
      const state = stateOf(problem);
      if (state === null) return; // says something about the file, nothing about the target
      const failuresInRow = of(target).failuresInRow + 1;
      const seconds = closedSeconds(state, failuresInRow, error.retryAfterSeconds);
      const closedUntil = seconds === null ? null : options.now() + seconds;
      book.set(target, { ...of(target), state, failuresInRow, closedUntil, message: error.message });
    },
    all: () => [...book.values()],
  };
}

/** Asks a target how it is and writes it down. */
export async function probeTarget(
  target: StorageTarget,
  options: { health: HealthBook; signal?: AbortSignal; problemOf: (error: unknown) => Problem },
): Promise<void> {
  try {
    const { usedBytes } = await target.probe({ signal: options.signal });
    options.health.succeeded(target.name, usedBytes);
  } catch (error) {
    options.signal?.throwIfAborted();
    const known = error instanceof KeepstreamError ? error : new KeepstreamError("unknown", String(error));
    options.health.failed(target.name, options.problemOf(error), known);
  }
}

function stateOf(problem: Problem): TargetState | null {
  if (problem === "refused" || problem === "changed" || problem === "conflict") return null;
  return problem;
}

function closedSeconds(state: TargetState, failuresInRow: number, asked: number | undefined): number | null {
  if (asked !== undefined && asked > 0) return asked;
  if (state === "auth" || state === "quota" || state === "abuse") return PERSON_NEEDED_SECONDS;
  if (failuresInRow < FAILURES_TO_CLOSE) return null;
  return Math.min(MAX_CLOSED_SECONDS, FIRST_CLOSED_SECONDS * 2 ** (failuresInRow - FAILURES_TO_CLOSE));
}
