/**
 * The runner's events, typed. Logs, the dashboard and the progress bars subscribe to them.
 * Example: `events.on((event) => console.log(JSON.stringify(event)))`.
 */
import type { ErrorClass } from "../core/errors.ts";
import { terminalJson } from "../core/terminal_text.ts";

export type Phase = "resolving" | "downloading" | "verifying" | "finalising" | "uploading" | "replicating";

type JobRef = { readonly id: string };

export type RunnerEvent =
  | { readonly event: "runner:started"; readonly worker: string; readonly port: number; readonly concurrency: number }
  | { readonly event: "runner:stopping"; readonly reason: string; readonly active: number }
  | { readonly event: "runner:stopped" }
  | { readonly event: "notification:received"; readonly by: "webhook" | "bearer" }
  | { readonly event: "notification:rejected"; readonly reason: string }
  | { readonly event: "queue:unavailable"; readonly during: string; readonly message: string }
  /** This runner swept because pg_cron did not: it is missing, or its job is. */
  | { readonly event: "queue:swept"; readonly rescued: number }
  /** No claims while no job can succeed: the disk is full, or the circuit of every storage target is open. */
  | { readonly event: "claims:paused"; readonly reason: string }
  | { readonly event: "claims:resumed" }
  | JobRef & {
    readonly event: "job:claimed";
    readonly malId: number;
    readonly episode: number;
    readonly provider: string;
    readonly resolution: string | null;
    readonly attempt: number;
  }
  | JobRef & { readonly event: "job:phase"; readonly phase: Phase }
  | JobRef & {
    readonly event: "job:progress";
    readonly phase: Phase;
    readonly bytesDone: number;
    readonly bytesTotal: number | null;
    readonly bytesPerSecond: number;
    readonly etaSeconds: number | null;
  }
  | JobRef & { readonly event: "job:resumed"; readonly bytes: number; readonly from: string }
  | JobRef & {
    readonly event: "job:archived";
    readonly sha256: string;
    readonly sizeBytes: number;
    readonly target: string;
  }
  | JobRef & { readonly event: "job:finished"; readonly copies: number; readonly failures: number; readonly ms: number }
  | JobRef & { readonly event: "job:failed"; readonly code: ErrorClass; readonly message: string }
  | JobRef & { readonly event: "job:released"; readonly reason: string }
  | JobRef & { readonly event: "job:lost"; readonly reason: string }
  /** Taken down during the upload. Late commits were removed, except on the targets in `left`: repeat the takedown. */
  | JobRef & { readonly event: "job:taken_down"; readonly left: readonly string[] }
  /** The archiving rights were withdrawn during the upload. The copies were removed, except on the targets in `left`. */
  | JobRef & { readonly event: "job:withdrawn"; readonly left: readonly string[] }
  /** Ready, but with missing copies, which are repaired later. */
  | JobRef & { readonly event: "job:partially_replicated"; readonly reason: string }
  | JobRef & {
    readonly event: "replica:failed";
    readonly target: string;
    readonly code: ErrorClass;
    readonly message: string;
  }
  /** Here and below, `id` is the replica's. */
  | JobRef & { readonly event: "replica:repaired"; readonly target: string }
  | JobRef & {
    readonly event: "replica:repair_failed" | "replica:repair_postponed";
    readonly target: string;
    readonly code: ErrorClass;
    readonly message: string;
  }
  | JobRef & { readonly event: "extras:failed"; readonly message: string }
  | JobRef & { readonly event: "heights:failed"; readonly message: string }
  | { readonly event: "work_dir:removed"; readonly entries: number };

export type Events = {
  readonly emit: (event: RunnerEvent) => void;
  /** Returns a function that unsubscribes. */
  readonly on: (listener: (event: RunnerEvent) => void) => () => void;
};

export function createEvents(): Events {
  const listeners = new Set<(event: RunnerEvent) => void>();
  return {
    emit: (event) => listeners.forEach((listener) => listener(event)),
    on: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** One JSON line per event. Progress goes to the job's row and the dashboard instead. */
export function logEvents(events: Events, write: (line: string) => void, now: () => Date): void {
  events.on((event) => {
    if (event.event === "job:progress") return;
    const { event: name, ...rest } = event;
    write(terminalJson({ at: now().toISOString(), event: name, ...rest }));
  });
}
