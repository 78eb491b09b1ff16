/**
 * `deno task test [files or options of deno test…]`: installs what is missing, starts a Postgres for the tests, runs
 * `deno test`, and ends with its exit code.
 */
import process from "node:process";
import { ARIA2, CHROMIUM, FFMPEG, installPrograms } from "./install.ts";
import { type Guard, startGuard } from "./guard.ts";
import { startPostgres } from "./postgres.ts";
import { SetupError } from "./setup_error.ts";
import { CLUSTER_VARIABLE } from "./test_database.ts";

const FOLDER_PREFIX = "keepstream-test-";

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: readonly string[]): Promise<number> {
  try {
    await installPrograms([ARIA2, FFMPEG, CHROMIUM], console.error);
    const guard = startGuard();
    try {
      return await testWithPostgres(args, guard);
    } finally {
      await guard.close();
    }
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    return 1;
  }
}

async function testWithPostgres(args: readonly string[], guard: Guard): Promise<number> {
  await removeAbandoned();
  const dataDir = await Deno.makeTempDir({ prefix: `${FOLDER_PREFIX}${Deno.pid}-` });
  await Deno.chmod(dataDir, 0o755);
  try {
    const postgres = await startPostgres({ dataDir, port: 0, guard, durable: false });
    try {
      return await denoTest(args, { guard, clusterUrl: postgres.adminUrl });
    } finally {
      await postgres.stop();
    }
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function denoTest(args: readonly string[], context: { guard: Guard; clusterUrl: string }): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-prompt", "--parallel", ...args],
    env: {
      [CLUSTER_VARIABLE]: context.clusterUrl,
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

/** Folders of runs that were killed with -9. */
async function removeAbandoned(): Promise<void> {
  const folder = Deno.env.get("TMPDIR") ?? "/tmp";
  for await (const { name } of Deno.readDir(folder)) {
    const pid = new RegExp(`^${FOLDER_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid && !isAlive(Number(pid))) await Deno.remove(`${folder}/${name}`, { recursive: true }).catch(() => {});
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}
