/** A job that runs in this process, and the event of its progress. */
import type { RunnerEvent } from "../events.ts";
import type { ProgressRow } from "../job/progress.ts";
import type { Job } from "../queue/job.ts";

export type ActiveJob = {
  readonly job: Job;
  readonly startedAt: number;
  readonly progress: () => ProgressRow;
};

export function progressEvent(id: string, row: ProgressRow): RunnerEvent {
  return {
    event: "job:progress",
    id,
    phase: row.phase,
    bytesDone: row.bytes_done,
    bytesTotal: row.bytes_total,
    bytesPerSecond: row.bytes_per_second,
    etaSeconds: row.eta_seconds,
  };
}
