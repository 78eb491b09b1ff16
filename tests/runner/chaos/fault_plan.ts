/**
 * Which faults are still to happen at which points, and which have happened: twelve points of a job by nine faults. Pure.
 * Example: `plan.take("during download", (fault) => fault !== "no space left")` → "SIGKILL".
 */
import type { Random } from "../../queue/model/random.ts";

export const FAULTS = [
  "SIGKILL",
  "SIGSTOP beyond the lease",
  "SIGTERM",
  "request lost",
  "response lost",
  "5xx",
  "storage 409/412",
  "Postgres crash",
  "no space left",
] as const;
export type Fault = typeof FAULTS[number];

export const POINTS = [
  "before claim",
  "claim committed, response lost",
  "during download",
  "after download",
  "before upload",
  "during upload",
  "committed, not recorded",
  "archive recorded, response lost",
  "between replicas",
  "during a heartbeat",
  "during a release",
  "during a sweep",
] as const;
export type Point = typeof POINTS[number];

export type Cell = readonly [Point, Fault];
/** How often each fault happened at each point. */
export type Coverage = Readonly<Record<Point, Readonly<Partial<Record<Fault, number>>>>>;

export type FaultPlan = {
  /** The faults that have not been taken for this point. */
  readonly waiting: (point: Point) => readonly Fault[];
  /** Removes and returns the next fault for this point that is possible now; null if there is none. */
  readonly take: (point: Point, fits: (fault: Fault) => boolean) => Fault | null;
  /** The fault was taken and failed. */
  readonly putBack: (point: Point, fault: Fault) => void;
  readonly hit: (point: Point, fault: Fault) => void;
  /** Planned faults that have not happened. */
  readonly missed: () => Cell[];
  readonly coverage: () => Coverage;
};

export function createPlan(cells: readonly Cell[], random: Random): FaultPlan {
  const waiting = shuffle(cells, random);
  const counts = Object.fromEntries(POINTS.map((point) => [point, {}])) as Record<
    Point,
    Partial<Record<Fault, number>>
  >;
  return {
    waiting: (point) => waiting.filter(([where]) => where === point).map(([, fault]) => fault),
    take(point, fits) {
      const index = waiting.findIndex(([where, fault]) => where === point && fits(fault));
      return index === -1 ? null : waiting.splice(index, 1)[0]![1];
    },
    putBack: (point, fault) => void waiting.push([point, fault]),
    hit: (point, fault) => void (counts[point][fault] = (counts[point][fault] ?? 0) + 1),
    missed: () => cells.filter(([point, fault]) => counts[point][fault] === undefined),
    coverage: () => counts,
  };
}

export function everyCell(faults: readonly Fault[] = FAULTS): Cell[] {
  return POINTS.flatMap((point) => faults.map((fault): Cell => [point, fault]));
}

/** A Markdown table: a row per point, a column per fault. */
export function coverageTable(coverage: Coverage): string {
  const rows = POINTS.map((point) =>
    `| ${point} | ${FAULTS.map((fault) => coverage[point][fault] ?? "–").join(" | ")} |`
  );
  return [`| | ${FAULTS.join(" | ")} |`, `|---|${FAULTS.map(() => "---").join("|")}|`, ...rows].join("\n");
}

function shuffle<T>(items: readonly T[], random: Random): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}
