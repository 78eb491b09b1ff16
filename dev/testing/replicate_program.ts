// Replicates one file as a separate program that can kill itself at a step: for tests of kill -9.
// Example: `deno run -A dev/testing/replicate_program.ts '{"path":"a.mp4","env":{…},"dieAt":"commit","when":"after","nth":1}'`.

import { replicate } from "../../runner/archive/replicate.ts";
import { stageFile } from "../../runner/transfer/staged_file.ts";
import type { Archive } from "../../runner/targets/target.ts";
import { storageTargetsFromEnv } from "../../runner/storage_targets.ts";

export interface ReplicateOrder {
  readonly path: string;
  readonly archive: Archive;
  readonly env: Record<string, string>;
  readonly dieAt?: Step;
  /** Before the request is sent, or when its response has arrived and nothing has been done with it. */
  readonly when?: "before" | "after";
  readonly nth?: number;
}

const STEPS = {
  probe: /\/paths-info\//,
  create_repo: /\/api\/repos\/create$/,
  batch: /\/objects\/batch$/,
  part: /\/upload\/[^/]+\/\d+\?/,
  complete: /\/api\/complete_multipart\?/,
  verify: /\/info\/lfs\/verify$/,
  commit: /\/commit\/main$/,
} as const;

export type Step = keyof typeof STEPS;

if (import.meta.main) {
  const order: ReplicateOrder = JSON.parse(Deno.args[0] ?? "");
  const seen = new Map<Step, number>();
  const fatal: typeof fetch = async (input, init) => {
    const step = (Object.keys(STEPS) as Step[]).find((name) => STEPS[name].test(String(input)));
    if (step) seen.set(step, (seen.get(step) ?? 0) + 1);
    const dies = step !== undefined && step === order.dieAt && seen.get(step) === (order.nth ?? 1);
    if (dies && order.when !== "after") Deno.kill(Deno.pid, "SIGKILL");
    const response = await fetch(input, init);
    if (dies) Deno.kill(Deno.pid, "SIGKILL");
    return response;
  };
  const { copies, failures } = await replicate(await stageFile(order.path), order.archive, {
    targets: storageTargetsFromEnv(order.env, { fetch: fatal, times: { backoffMs: 10 } }),
  });
  console.log(JSON.stringify({ copies, failures: failures.map((failure) => failure.error.message) }));
  Deno.exit(failures.length > 0 ? 1 : 0);
}
