/** Counters in Prometheus' text format. Pure. Example: `keepstream_runner_jobs_total{outcome="finished"} 3`. */
import type { ActiveJob } from "../loop/active_job.ts";

export function renderMetrics(
  state: { active: readonly ActiveJob[]; totals: Readonly<Record<string, number>> },
): string {
  return [
    "# HELP keepstream_runner_active_jobs Jobs whose lease this runner holds.",
    "# TYPE keepstream_runner_active_jobs gauge",
    `keepstream_runner_active_jobs ${state.active.length}`,
    "# HELP keepstream_runner_jobs_total Jobs by outcome.",
    "# TYPE keepstream_runner_jobs_total counter",
    ...Object.entries(state.totals).map(([outcome, count]) =>
      `keepstream_runner_jobs_total{outcome="${outcome.replace(/[^a-z_]/g, "_")}"} ${count}`
    ),
    "",
  ].join("\n");
}
