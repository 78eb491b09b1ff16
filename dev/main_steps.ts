/** What `deno task dev` does besides starting: reset, addresses, the demo episode. */
import { readRunning } from "./data_folder.ts";
import { clusterHome } from "./postgres/home.ts";
import { SetupError } from "./setup_error.ts";
import type { RunningSystem } from "./system.ts";

/** Deletes all data of a system that does not run. */
export async function removeDataFolder(dir: string): Promise<void> {
  if (await readRunning(dir) !== null) {
    throw new SetupError("already_running", `keepstream runs in ${dir}: stop it before a reset`);
  }
  const home = await clusterHome(`${dir}/postgres`);
  for (const path of [home.dir, dir]) await Deno.remove(path, { recursive: true }).catch(ignoreMissing);
}

export function printAddresses(system: RunningSystem, options: { seconds: number }): void {
  const { urls, keys } = system;
  const rows = [
    ["episode", urls.episode],
    ["watch page", urls.watch],
    ["dashboard", urls.runner],
    ["gateway", urls.gateway],
    ["Postgres", urls.postgres],
    ["proxy", urls.proxy],
    ["hub emulator", urls.hub],
    ["origin", urls.origin],
    ["secret key", keys.secret],
  ];
  console.log(`\nkeepstream is ready after ${options.seconds.toFixed(1)} s\n`);
  for (const [name, value] of rows) console.log(`  ${name!.padEnd(13)} ${value}`);
  console.log(`\n  curl -s ${urls.episode}\n\nCtrl-C stops everything.\n`);
}

/** Asks for the demo episode as a viewer would: the answer's rows wake the runner. */
export function archiveDemoEpisode(system: RunningSystem, log: (line: string) => void): void {
  fetch(system.urls.episode).then(async (response) => {
    await response.body?.cancel();
    log(`asked for the demo episode: ${response.status}; it is archived now`);
  }, (error) => log(`asked for the demo episode: ${error.message}`));
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
