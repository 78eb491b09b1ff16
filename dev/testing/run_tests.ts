/**
 * `deno task test [files or options of deno test…]`: installs what is missing, starts a Postgres for the tests, runs
 * `deno test`, and ends with its exit code. Types are checked by `.ci/check`, once.
 */
import { ARIA2, CHROMIUM, FFMPEG, installPrograms } from "../process/install.ts";
import { SetupError } from "../process/setup_error.ts";
import { CLUSTER_VARIABLE, withTestCluster } from "./test_cluster.ts";

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log("usage: deno task test [FILE…] [options of `deno test`: see deno test --help]");
    return 0;
  }
  try {
    await installPrograms([ARIA2, FFMPEG, CHROMIUM], console.error);
    return await withTestCluster((clusterUrl) => denoTest(args, clusterUrl));
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    return 1;
  }
}

async function denoTest(args: readonly string[], clusterUrl: string): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-prompt", "--no-check", "--parallel", ...args],
    env: {
      [CLUSTER_VARIABLE]: clusterUrl,
      DENO_JOBS: Deno.env.get("DENO_JOBS") ?? String(navigator.hardwareConcurrency + 1), // most tests wait for something
    },
    stdin: "null",
  }).spawn();
  const stop = () => child.kill("SIGINT"); // deno test prints what was running, then ends
  Deno.addSignalListener("SIGINT", stop);
  Deno.addSignalListener("SIGTERM", stop);
  try {
    return (await child.status).code;
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
    Deno.removeSignalListener("SIGTERM", stop);
  }
}
