/** What a chaos run found, and which of its gates it missed. Example: `missedGates(report)` → []. Pure. */
import type { Cell, Coverage } from "./fault_plan.ts";
import { type Measured, MEASURED_SWEEP_MS } from "./measure.ts";
import { LEASE_SECONDS } from "./stage.ts";

/** After the last fault all jobs must have ended. */
export const DRAIN_SECONDS = 60;
const MIN_SLOTS_IN_USE = 0.95;
const MAX_HANDED_ON_SECONDS = LEASE_SECONDS + MEASURED_SWEEP_MS / 1000 + 0.5;

export type ChaosReport = Measured & {
  readonly seed: number;
  readonly seconds: number;
  readonly jobs: number;
  readonly copies: number;
  readonly coverage: Coverage;
  readonly missed: readonly Cell[];
  /** Why there is no full disk here. */
  readonly noSmallDisk: string | null;
  /** How many jobs were begun once, twice, three times. */
  readonly runs: Readonly<Record<number, number>>;
  /** How many were taken away never, once, twice. */
  readonly taken: Readonly<Record<number, number>>;
  /** Jobs given back because the disk was full. */
  readonly diskFull: number;
  readonly drainSeconds: number;
  readonly postgresAwayMs: readonly number[];
  readonly problems: readonly string[];
};

export function missedGates(report: ChaosReport): string[] {
  const { missed, slotsInUse, handedOnSeconds } = report;
  return [
    ...report.problems,
    ...missed.length > 0 ? [`did not strike: ${missed.map((cell) => cell.join(" × ")).join("; ")}`] : [],
    ...slotsInUse !== null && slotsInUse < MIN_SLOTS_IN_USE ? [`slots in use while work waits: ${slotsInUse}`] : [],
    ...handedOnSeconds.some((seconds) => seconds > MAX_HANDED_ON_SECONDS)
      ? [`a killed runner's jobs were handed on after ${handedOnSeconds.join(", ")} s`]
      : [],
  ];
}

export function histogram(values: readonly number[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
