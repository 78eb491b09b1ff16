/**
 * `deno task dev [--reset] [--data-dir DIR] [--free-ports]`: the whole system on this machine until Ctrl-C.
 */
import { parseArgs } from "node:util";
import { DEFAULT_DATA_DIR } from "./data_folder.ts";
import { removeDataFolder, runUntilInterrupted } from "./run_system.ts";
import { SetupError } from "./setup_error.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    reset: { type: "boolean", default: false },
    "data-dir": { type: "string", default: DEFAULT_DATA_DIR },
    "free-ports": { type: "boolean", default: false },
  },
});
const dataDir = values["data-dir"];
try {
  if (values.reset) await removeDataFolder(dataDir);
  await runUntilInterrupted({ dataDir, ports: values["free-ports"] ? "free" : "fixed" });
  Deno.exit(0);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
