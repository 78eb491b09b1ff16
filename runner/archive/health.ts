// How each target fares, and whether it is worth trying now: a circuit breaker per target.
// auth, quota, abuse and another target in its place close it at once (only a person can help), slow ones after three failures in a row.
// Runs on: Deno.

import { type ErrorClass, KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import { type Problem, StorageError } from "../transfer/storage_error.ts";
import type { StorageTarget } from "../targets/target.ts";

const FAILURES_TO_CLOSE = 3;
const FIRST_CLOSED_SECONDS = 60;
const PERSON_NEEDED_SECONDS = 600;
const MAX_CLOSED_SECONDS = 1800;

export type TargetState = "ok" | "auth" | "quota" | "abuse" | "identity" | "missing" | "slow";

export interface TargetHealth {
  readonly target: string;
  readonly state: TargetState;
  readonly failuresInRow: number;
  /** Unix milliseconds; the target is left alone until then. */
  readonly closedUntilMs: number | null;
  readonly usedBytes: number | null;
  readonly message: string | null;
  readonly code: ErrorClass | null;
}

export interface HealthBook {
  /** Why the target is not to be tried now, or null. After the closed time one attempt is let through again. */
  closedFor(target: string): KeepstreamError | null;
  succeeded(target: string, usedBytes?: number | null): void;
  failed(target: string, problem: Problem, error: KeepstreamError): void;
  /** As the last probe told; null when unknown. */
  usedBytes(target: string): number | null;
  all(): TargetHealth[];
}

const WELL = { state: "ok", failuresInRow: 0, closedUntilMs: null, message: null, code: null } as const;

/** `now` in milliseconds, as Date.now gives it. */
export function createHealthBook(options: { now: () => number }): HealthBook {
  const book = new Map<string, TargetHealth>();
  const of = (target: string): TargetHealth => book.get(target) ?? { target, usedBytes: null, ...WELL };

  return {
    closedFor(target) {
      const { closedUntilMs, state, message, code } = of(target);
      if (closedUntilMs === null || options.now() >= closedUntilMs) return null;
      return new KeepstreamError(
        code ?? "storage_5xx",
        `${target} is left alone for now (${state}): ${message ?? ""}`,
        {
          retryAfterSeconds: Math.ceil((closedUntilMs - options.now()) / 1000),
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
      const seconds = closedSeconds(state, failuresInRow, error.retryAfterSeconds);
      const closedUntilMs = seconds === null ? null : options.now() + seconds * 1000;
      const { message, code } = error;
      book.set(target, { ...of(target), state, failuresInRow, closedUntilMs, message, code });
    },
    usedBytes: (target) => of(target).usedBytes,
    all: () => [...book.values()],
  };
}

/** Asks every target how it is and writes it down; a target that was closed opens when it answers well. */
export async function probeTargets(
  targets: readonly StorageTarget[],
  options: { health: HealthBook; signal?: AbortSignal },
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
      options.health.failed(target.name, error instanceof StorageError ? error.problem : "slow", known);
    }
  }));
}

function stateOf(problem: Problem): TargetState | null {
  if (problem === "refused" || problem === "changed" || problem === "conflict" || problem === "invisible") return null;
  return problem;
}

function closedSeconds(state: TargetState, failuresInRow: number, asked: number | undefined): number | null {
  if (asked !== undefined && asked > 0) return asked;
  if (state === "auth" || state === "quota" || state === "abuse" || state === "identity") return PERSON_NEEDED_SECONDS;
  if (failuresInRow < FAILURES_TO_CLOSE) return null;
  return Math.min(MAX_CLOSED_SECONDS, FIRST_CLOSED_SECONDS * 2 ** (failuresInRow - FAILURES_TO_CLOSE));
}
