/** How an error of a job is reported: as a failure, or as a release that keeps the attempt. */
import { KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import { Cancelled, ShutdownError } from "../job/stop_reasons.ts";
import type { Failure, Job } from "../queue/job.ts";
import { isUnavailable } from "../queue/queue.ts";
import { DiskFull } from "../work_dir/disk_budget.ts";

/** The failure to report for an error. */
export function toFailure(error: unknown, job: Job): Failure {
  const candidateId = job.candidates[0]!.id;
  if (error instanceof ShutdownError) return { code: "shutdown", message: "the runner is stopping", candidateId };
  if (error instanceof Cancelled) return { code: "cancelled", message: "cancelled", candidateId };
  if (error instanceof KeepstreamError) {
    const { code, retryAfterSeconds } = error;
    return { code, message: redactText(error.message), retryAfterSeconds, candidateId };
  }
  const message = redactText(error instanceof Error ? error.message : String(error));
  return { code: isUnavailable(error) ? "network" : "unknown", message, candidateId };
}

/** Released jobs keep their attempt. A disk that is too small for the job is a failure. */
export function isRelease(error: unknown, failure: Failure): boolean {
  if (failure.code === "disk_full") return !(error instanceof DiskFull && error.neededBytes === null);
  return failure.code === "shutdown";
}
