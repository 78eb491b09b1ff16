// The `deno task dev` of this machine, for the operator's commands: in its default folder, or in KEEPSTREAM_DATA_DIR.
import { DEFAULT_DATA_DIR } from "../dev/system/data_folder.ts";
import { findRunningSystem, type RunningSystem } from "../dev/system/system.ts";

/** Null when none runs. */
export function findRunningDev(env: Readonly<Record<string, string>>): Promise<RunningSystem | null> {
  return findRunningSystem(env.KEEPSTREAM_DATA_DIR ?? DEFAULT_DATA_DIR);
}
