/** The running parts of the local system, and how they are stopped. */
import type { LogLine } from "../process/log_stream.ts";
import type { Service } from "../process/service.ts";
import { SetupError } from "../process/setup_error.ts";

const STOP_PHASES = [
  ["runner"], // releases its leases through the gateway
  ["streaming", "archive", "proxy", "web", "pg_cron", "pg_net"],
  ["gateway"],
  ["origin", "hub", "postgres"],
  ["guard"],
  ["folder"],
] as const;
export type PartName = typeof STOP_PHASES[number][number];

/** Running parts and how to stop them, in phases: a part stops before those that it needs. */
export class Parts {
  readonly services = new Map<string, Service>();
  readonly failed: Promise<SetupError>;
  readonly #stops = new Map<string, () => Promise<void>>();
  readonly #fail: (error: SetupError) => void;
  #stopping: Promise<void> | undefined;

  constructor(readonly log: LogLine) {
    const { promise, resolve } = Promise.withResolvers<SetupError>();
    this.failed = promise;
    this.#fail = resolve;
  }

  add(name: PartName, stop: () => Promise<void>, ended?: Promise<string>): void {
    this.#stops.set(name, stop);
    ended?.then((how) => {
      if (this.#stopping) return;
      this.#fail(new SetupError("part_failed", `${name} ended (${how}): everything is stopped; start again`));
    });
  }

  stop(): Promise<void> {
    return this.#stopping ??= this.#stopAll();
  }

  async #stopAll(): Promise<void> {
    for (const phase of STOP_PHASES) {
      await Promise.all(phase.map(async (name) => {
        await this.#stops.get(name)?.().catch((error) => this.log("dev", `${name} did not stop cleanly: ${error}`));
      }));
    }
  }
}
