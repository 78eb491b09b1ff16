/** `deno task dev`: runs the whole system on this machine until Ctrl-C. */
import { commandLine, runCommand } from "../cli/command_line.ts";
import { DEFAULT_DATA_DIR } from "./system/data_folder.ts";
import { ownAllowedOrigins } from "./system/own_origins.ts";
import { confirmChange } from "../cli/system.ts";
import { removeDataFolder, runUntilInterrupted } from "./system/run_system.ts";

const { values } = commandLine({
  usage: `usage: deno task dev [--allow-origin ORIGIN]… [--reset [--yes]] [--data-dir DIR] [--free-ports]

  --allow-origin ORIGIN   a server on this machine or network that your own videos may come from, such as
                          http://192.168.1.10:8000; may be repeated; DEV_ALLOWED_ORIGINS in .env is a comma list of them
  --reset                 start with an empty database, hub and archive
  --yes                   do not ask before --reset deletes what there is
  --data-dir DIR          keep everything there, not in .keepstream/dev
  --free-ports            listen on any free ports`,
  options: {
    "allow-origin": { type: "string", multiple: true, default: [] },
    reset: { type: "boolean", default: false },
    yes: { type: "boolean", default: false },
    "data-dir": { type: "string", default: DEFAULT_DATA_DIR },
    "free-ports": { type: "boolean", default: false },
  },
});
await runCommand(async () => {
  const dataDir = values["data-dir"];
  const allowedOrigins = await ownAllowedOrigins(values["allow-origin"], Deno.env.toObject());
  if (values.reset) {
    const what = "delete the database, the hub and the archive of this folder";
    confirmChange({ url: dataDir, isLocal: true }, { what, yes: values.yes, always: true });
    await removeDataFolder(dataDir);
  }
  await runUntilInterrupted({ dataDir, ports: values["free-ports"] ? "free" : "fixed", allowedOrigins });
  return 0;
});
