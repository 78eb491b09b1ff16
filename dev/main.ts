/**
 * `deno task dev [--reset] [--data-dir DIR] [--free-ports]`: the whole system on this machine until Ctrl-C.
 * A second Ctrl-C, a second later, waits for nothing.
 */
import { parseArgs } from "node:util";
import { createLogStream } from "./log_stream.ts";
import { archiveDemoEpisode, printAddresses, removeDataFolder } from "./main_steps.ts";
import { SetupError } from "./setup_error.ts";
import { startSystem } from "./system.ts";

const DATA_DIR = new URL("../.keepstream/dev", import.meta.url).pathname;
const { values } = parseArgs({
  args: Deno.args,
  options: {
    reset: { type: "boolean", default: false },
    "data-dir": { type: "string", default: DATA_DIR },
    "free-ports": { type: "boolean", default: false },
  },
});
const log = createLogStream(console.log, { colour: Deno.stdout.isTerminal() && !Deno.env.has("NO_COLOR") });
const interrupted = Promise.withResolvers<null>();
let firstSignalAt: number | undefined;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.addSignalListener(signal, () => {
    firstSignalAt ??= performance.now(); // one Ctrl-C may arrive twice: from the terminal and through `deno task`
    if (performance.now() - firstSignalAt > 1000) Deno.exit(130); // the guard ends the rest
    interrupted.resolve(null);
  });
}

try {
  const startedAt = performance.now();
  if (values.reset) await removeDataFolder(values["data-dir"]);
  await using system = await startSystem({
    dataDir: values["data-dir"],
    ports: values["free-ports"] ? "free" : "fixed",
    log,
  });
  printAddresses(system, { seconds: (performance.now() - startedAt) / 1000 });
  archiveDemoEpisode(system, (line) => log("dev", line));
  const failure = await Promise.race([interrupted.promise, system.failed]);
  if (failure) throw failure;
  log("dev", "stopping");
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  Deno.exitCode = 1;
}
Deno.exit();
