/**
 * Keeps a test cluster for the process with the given pid. `start PID` starts `keep PID` in a separate session, prints the
 * cluster's URL and ends, so that the tests have no child process that a sanitizer would report.
 */
import { isAlive } from "../process/process_alive.ts";
import { withTestCluster } from "./test_cluster.ts";

const POLL_MS = 250;

const [verb, pidText] = Deno.args;
const pid = Number(pidText);
try {
  if (verb === "keep") await keep();
  else console.log(await start());
  Deno.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  Deno.exit(1);
}

async function start(): Promise<string> {
  const log = await Deno.makeTempFile({ prefix: `keepstream-test-${pid}-`, suffix: ".log" });
  const keeper = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      'exec "$@" 2>"$0"',
      log,
      Deno.execPath(),
      "run",
      "--quiet",
      "-A",
      import.meta.filename!,
      "keep",
      `${pid}`,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
    detached: true,
  }).spawn();
  try {
    for await (const line of keeper.stdout.pipeThrough(new TextDecoderStream())) return line.trim();
    throw new Error(await Deno.readTextFile(log));
  } finally {
    await Deno.remove(log);
  }
}

async function keep(): Promise<void> {
  await withTestCluster(async (url) => {
    console.log(url);
    // The process is not a child of this one, so it cannot be awaited.
    while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  });
}
