/**
 * Everything that happens in the runner, as typed events; the log, the dashboard and the progress bar are subscribers.
 * Example: `events.on((event) => console.log(JSON.stringify(event)))`. Runs on: Deno.
 */
import type { ErrorClass } from "../core/errors.ts";
import { terminalJson } from "../core/terminal_text.ts";

export type Phase = "resolving" | "downloading" | "verifying" | "finalising" | "uploading" | "replicating";

type JobRef = { readonly id: string };

export type RunnerEvent =
  | { readonly event: "runner:started"; readonly worker: string; readonly port: number; readonly concurrency: number }
  | { readonly event: "runner:stopping"; readonly reason: string; readonly active: number }
  | { readonly event: "runner:stopped" }
  | { readonly event: "wake:received"; readonly by: "webhook" | "bearer" }
  | { readonly event: "wake:rejected"; readonly reason: string }
  | { readonly event: "queue:unavailable"; readonly during: string; readonly message: string }
  /** The last sweep was overdue, so this runner swept: pg_cron does not run, or its job is gone. */
  | { readonly event: "queue:swept"; readonly reclaimed: number }
  /** Nothing is claimed while no job could come to an end here: the disk is full, or no storage target open. */
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
  /** Taken down while it was stored: what had landed by then was removed again, but on the targets in `left`; repeat the takedown. */
  | JobRef & { readonly event: "job:taken_down"; readonly left: readonly string[] }
  /** The right to keep it was withdrawn while it was stored, and it was not recorded: removed again, but on the targets in `left`. */
  | JobRef & { readonly event: "job:withdrawn"; readonly left: readonly string[] }
  /** Ready, with fewer copies than wanted: the others are repair work. */
  | JobRef & { readonly event: "job:cut_short"; readonly reason: string }
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
  | { readonly event: "work_dir:removed"; readonly entries: number };

export type Events = {
  readonly emit: (event: RunnerEvent) => void;
  /** Returns what takes the subscription back. */
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

/** One JSON line per event; progress belongs to the row and the dashboard, not to the log. */
export function logEvents(events: Events, write: (line: string) => void, now: () => Date): void {
  events.on((event) => {
    if (event.event === "job:progress") return;
    const { event: name, ...rest } = event;
    write(terminalJson({ at: now().toISOString(), event: name, ...rest }));
  });
}
