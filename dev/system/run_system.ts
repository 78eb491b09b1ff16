/**
 * `deno task dev`: start, print the URLs, archive the demo episode, stop in order on Ctrl-C. A second Ctrl-C at least a second
 * later ends immediately.
 */
import { readRunning } from "./data_folder.ts";
import { createLogStream } from "../process/log_stream.ts";
import { clusterHome } from "../postgres/home.ts";
import { SetupError } from "../process/setup_error.ts";
import { type RunningSystem, startSystem, type SystemOptions } from "./system.ts";

const FORCE_AFTER_MS = 1000;

/** @throws {SetupError} if it cannot start, or if a part ended on its own; nothing is left running then. */
export async function runUntilInterrupted(
  options: Pick<SystemOptions, "dataDir" | "ports" | "allowedOrigins">,
): Promise<void> {
  const log = createLogStream(console.log, { colour: Deno.stdout.isTerminal() && !Deno.env.has("NO_COLOR") });
  const interrupted = Promise.withResolvers<null>();
  let firstAt: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      firstAt ??= performance.now(); // one Ctrl-C may arrive twice, from the terminal and through `deno task`
      if (performance.now() - firstAt > FORCE_AFTER_MS) Deno.exit(130); // the guard ends the rest
      interrupted.resolve(null);
    });
  }
  // postgres.js may throw outside of any call when its connection breaks; the part that ended is the error to report.
  for (const event of ["error", "unhandledrejection"] as const) {
    addEventListener(event, (caught) => {
      caught.preventDefault();
      const error: unknown = caught instanceof ErrorEvent ? caught.error : caught.reason;
      log("dev", `not caught: ${error instanceof Error ? error.message : error}`);
    });
  }
  const startedAt = performance.now();
  const started = await Promise.race([startSystem({ ...options, log }), interrupted.promise]);
  if (started === null) Deno.exit(130); // partially started: the guard ends it
  await using system = started;
  printUrls(system, { seconds: (performance.now() - startedAt) / 1000 });
  archiveDemoEpisode(system, (line) => log("dev", line));
  const failure = await Promise.race([interrupted.promise, system.failed]);
  if (failure) throw failure;
  log("dev", "stopping");
}

/** Deletes all data of a system that is not running. */
export async function removeDataFolder(dir: string): Promise<void> {
  if (await readRunning(dir) !== null) {
    throw new SetupError("already_running", `keepstream runs in ${dir}: stop it before a reset`);
  }
  const home = await clusterHome(`${dir}/postgres`);
  for (const path of [home.dir, dir]) await Deno.remove(path, { recursive: true }).catch(ignoreMissing);
}

function printUrls(system: RunningSystem, options: { seconds: number }): void {
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

/** Requests the demo episode like a viewer, which enqueues its jobs. */
function archiveDemoEpisode(system: RunningSystem, log: (line: string) => void): void {
  fetch(system.urls.episode).then(async (response) => {
    await response.body?.cancel();
    log(`requested the demo episode: ${response.status}; archiving starts`);
  }, (error) => log(`requested the demo episode: ${error.message}`));
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
