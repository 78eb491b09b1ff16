/** The result of a chaos run and the gates it missed. Pure. Example: `missedGates(report)` → []. */
import type { Cell, Coverage } from "./fault_plan.ts";
import { type Measured, MEASURED_SWEEP_MS } from "./measure.ts";
import { LEASE_SECONDS } from "./stage.ts";

/** Time limit for all jobs after the last fault. */
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
  /** Why a full disk cannot be tested here. */
  readonly noSmallDisk: string | null;
  /** Number of jobs by attempts. */
  readonly runs: Readonly<Record<number, number>>;
  /** Number of jobs by interruptions. */
  readonly taken: Readonly<Record<number, number>>;
  /** Jobs released because the disk was full. */
  readonly diskFull: number;
  readonly drainSeconds: number;
  readonly postgresAwayMs: readonly number[];
  readonly problems: readonly string[];
};

export function missedGates(report: ChaosReport): string[] {
  const { missed, slotsInUse, handedOnSeconds } = report;
  return [
    ...report.problems,
    ...missed.length > 0 ? [`did not happen: ${missed.map((cell) => cell.join(" × ")).join("; ")}`] : [],
    ...slotsInUse !== null && slotsInUse < MIN_SLOTS_IN_USE ? [`utilisation while jobs wait: ${slotsInUse}`] : [],
    ...handedOnSeconds.some((seconds) => seconds > MAX_HANDED_ON_SECONDS)
      ? [`a killed runner's jobs were rescued after ${handedOnSeconds.join(", ")} s`]
      : [],
  ];
}

export function histogram(values: readonly number[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
