// Upgrades archives as a separate program that can kill itself at a request: for tests of kill -9.
// Example: `deno run -A dev/testing/upgrade_program.ts '{"env":{…},"url":"…","key":"…","dieAt":"commit","when":"after","nth":2}'`.

import { manifestKey } from "../../core/manifest/sealing.ts";
import { createArchiveStore } from "../../runner/archive/archive_store.ts";
import { createCircuitBreaker } from "../../runner/archive/circuit_breaker.ts";
import { identified } from "../../runner/archive/identity.ts";
import { upgradeArchives } from "../../runner/archive/upgrade.ts";
import { storageTargetsFromEnv } from "../../runner/storage_targets.ts";
import { createSemaphore } from "../../runner/transfer/semaphore.ts";
import { createDiskBudget } from "../../runner/work_dir/disk_budget.ts";
import { rewriting, SALT } from "./rewriting_fixture.ts";

export interface UpgradeOrder {
  readonly env: Record<string, string>;
  readonly url: string;
  readonly key: string;
  readonly workDir: string;
  readonly dieAt?: UpgradeStep;
  /** Before the request is sent, or when its response has arrived and nothing has been done with it. */
  readonly when?: "before" | "after";
  readonly nth?: number;
}

const STEPS = {
  lease: /\/rpc\/acquire_resource_lease$/,
  read: /\/resolve\/main\/.*\.mp4$/,
  begin: /\/rpc\/begin_archive_upgrade$/,
  batch: /\/objects\/batch$/,
  part: /\/upload\/[^/]+\/\d+\?/,
  commit: /\/commit\/main$/,
  finish: /\/rpc\/finish_archive_upgrade$/,
  unlock: /\/rpc\/release_resource_lease$/,
} as const;

export type UpgradeStep = keyof typeof STEPS;

if (import.meta.main) {
  const order: UpgradeOrder = JSON.parse(Deno.args[0] ?? "");
  const send = globalThis.fetch;
  let seen = 0;
  const fatal: typeof fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const isStep = order.dieAt !== undefined && STEPS[order.dieAt].test(url.split("&")[0]!);
    const dies = isStep && ++seen === (order.nth ?? 1);
    if (dies && order.when !== "after") Deno.kill(Deno.pid, "SIGKILL");
    const response = await send(input, init);
    if (dies) Deno.kill(Deno.pid, "SIGKILL");
    return response;
  };
  globalThis.fetch = fatal;
  const store = createArchiveStore({ url: order.url, key: order.key, worker: `upgrade-${Deno.pid}` });
  const targets = storageTargetsFromEnv(order.env, { fetch: fatal, times: { backoffMs: 10 } })
    .map((target) => identified(target, { store, now: Date.now }));
  const counts = await upgradeArchives({}, {
    ...rewriting,
    store,
    targets,
    semaphore: createSemaphore(6),
    breaker: createCircuitBreaker({ now: Date.now }),
    workDir: order.workDir,
    disk: createDiskBudget(order.workDir),
    manifestKeys: [await manifestKey(SALT)],
  });
  console.log(JSON.stringify(counts));
  Deno.exit(0);
}
