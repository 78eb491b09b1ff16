/**
 * Maintenance of a running runner: probes the storage targets, repairs missing copies, removes obsolete ones.
 * Example: `const maintenance = startMaintenance(tools)`, later `await maintenance.stop()`.
 */

import { repairOnce } from "./repair.ts";
import { repairSidecars, type SidecarRepairTools } from "./sidecar_repair.ts";
import { probeTargets } from "./circuit_breaker.ts";
import { removeObsolete } from "./obsolete.ts";
import { sleep } from "../../core/sleep.ts";

const REPAIR_EVERY_MS = 60_000;
const PROBE_EVERY_MS = 600_000;

export interface MaintenanceTools extends Omit<SidecarRepairTools, "signal"> {
  /** A round failed, for example because the database is unavailable. The next round tries again. */
  readonly onError: (error: unknown) => void;
  readonly repairEveryMs?: number;
}

export interface Maintenance {
  stop(): Promise<void>;
}

export function startMaintenance(tools: MaintenanceTools): Maintenance {
  const stopping = new AbortController();
  const { signal } = stopping;
  const running = (async () => {
    let probedAt = -Infinity;
    let planned = false;
    while (!signal.aborted) {
      try {
        if (performance.now() - probedAt >= PROBE_EVERY_MS) {
          await probeTargets(tools.targets, { breaker: tools.breaker, signal });
          probedAt = performance.now();
        }
        // A new target, or one that returned, gets a copy of every archive.
        if (!planned) await tools.store.planRepairs(tools.targets.map((target) => target.name));
        planned = true;
        while (!signal.aborted && (await repairOnce({ ...tools, signal })).verified > 0);
        while (!signal.aborted && (await repairSidecars({ ...tools, signal })) > 0);
        await removeObsolete({ ...tools, signal });
      } catch (error) {
        if (!signal.aborted) tools.onError(error);
      }
      await sleep(tools.repairEveryMs ?? REPAIR_EVERY_MS, signal).catch(() => {}); // stopped
    }
  })();
  return {
    async stop() {
      stopping.abort(new Error("the runner is stopping"));
      await running;
    },
  };
}
