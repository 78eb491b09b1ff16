/** Entry point of `deno task ks storage …`, with the runner's environment. */

import { terminalLines } from "../../core/terminal_text.ts";
import { manifestKey } from "../../core/manifest/sealing.ts";
import { parseEnv } from "../env.ts";
import { createDiskBudget } from "../work_dir/disk_budget.ts";
import { createArchiveStore } from "./archive_store.ts";
import { createCircuitBreaker } from "./circuit_breaker.ts";
import { identified } from "./identity.ts";
import { PART_STREAMS } from "./replicate.ts";
import { probeFile, rewriteBy } from "./rewrite_file.ts";
import { createSemaphore } from "../transfer/semaphore.ts";
import { storageTargetsFromEnv } from "../storage_targets.ts";
import { runStorageTask, USAGE } from "./tasks.ts";
import { startVerifyBar } from "./verify_bar.ts";

if (Deno.args.some((arg) => arg === "--help" || arg === "-h")) {
  console.log(USAGE); // without an environment
  Deno.exit(0);
}
try {
  const env = parseEnv(Deno.env.toObject());
  await Deno.mkdir(env.workDir, { recursive: true });
  const store = createArchiveStore({ url: env.supabaseUrl, key: env.supabaseKey, worker: env.name });
  const code = await runStorageTask(Deno.args, {
    store,
    targets: storageTargetsFromEnv(env.storage).map((target) => identified(target, { store, now: Date.now })),
    semaphore: createSemaphore(PART_STREAMS),
    breaker: createCircuitBreaker({ now: Date.now }),
    workDir: env.workDir,
    manifestKeys: [await manifestKey(env.fileSalt)],
    fileSalt: env.fileSalt,
    mayRewrite: env.archive.form !== "plain",
    rewrite: rewriteBy(env.archive),
    probe: probeFile,
    pictures: env.extras,
    disk: createDiskBudget(env.workDir),
    print: (line) => console.log(terminalLines(line)),
    ...(Deno.stdout.isTerminal() && { startBar: startVerifyBar }),
  });
  Deno.exit(code);
} catch (error) {
  console.error(terminalLines(error instanceof Error ? error.message : String(error)));
  Deno.exit(1);
}
