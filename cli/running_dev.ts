// Finds the `deno task dev` of this machine by its data directory: KEEPSTREAM_DATA_DIR, or the default one.
import { DEFAULT_DATA_DIR } from "../dev/system/data_folder.ts";
import { findRunningSystem, type RunningSystem } from "../dev/system/system.ts";

/** Null if none is running. */
export function findRunningDev(env: Readonly<Record<string, string>>): Promise<RunningSystem | null> {
  return findRunningSystem(env.KEEPSTREAM_DATA_DIR ?? DEFAULT_DATA_DIR);
}
