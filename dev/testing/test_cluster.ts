/**
 * A Postgres for tests: without fsync, in a temporary folder named after the process that started it.
 *
 * `deno task test` starts one for its run. A plain `deno test -A` gets one from `sharedClusterUrl()`: the first test that
 * needs it starts a separate process that keeps the cluster until the test process has ended.
 */
import { startGuard } from "../process/guard.ts";
import { startPostgres } from "../postgres/postgres.ts";
import { isAlive } from "../process/process_alive.ts";

/** Names the cluster: a URL for its superuser. */
export const CLUSTER_VARIABLE = "KEEPSTREAM_TEST_POSTGRES_URL";

const FOLDER_PREFIX = "keepstream-test-";
const KEEPER = new URL("./test_cluster_main.ts", import.meta.url).pathname;

/** Runs `use` with the URL of a cluster that exists during the call. */
export async function withTestCluster<T>(use: (clusterUrl: string) => Promise<T>): Promise<T> {
  await removeAbandoned();
  const guard = startGuard();
  try {
    const dataDir = await Deno.makeTempDir({ prefix: `${FOLDER_PREFIX}${Deno.pid}-` });
    try {
      await Deno.chmod(dataDir, 0o755); // Postgres may run as another user
      const postgres = await startPostgres({ dataDir, port: 0, guard, durable: false });
      try {
        return await use(postgres.adminUrl);
      } finally {
        await postgres.stop();
      }
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  } finally {
    await guard.close();
  }
}

/** The cluster of this test process, started by its first worker that asks. */
export async function sharedClusterUrl(): Promise<string> {
  const known = Deno.env.get(CLUSTER_VARIABLE); // all workers of a process share its environment variables
  if (known) return known;
  const lockFile = `${temporaryFolder()}/${FOLDER_PREFIX}${Deno.pid}.lock`;
  const lock = await Deno.open(lockFile, { create: true, write: true });
  try {
    await lock.lock(true);
    const started = Deno.env.get(CLUSTER_VARIABLE);
    if (started) return started;
    const url = await startKeeper();
    Deno.env.set(CLUSTER_VARIABLE, url);
    return url;
  } finally {
    lock.close();
    await Deno.remove(lockFile).catch(() => {}); // another worker was first
  }
}

async function startKeeper(): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", KEEPER, "start", String(Deno.pid)],
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  if (code !== 0) throw new Error(`no Postgres for the tests: ${text.decode(stderr)}`);
  return text.decode(stdout).trim();
}

/** Removes the folders of runs that were killed with -9. */
async function removeAbandoned(): Promise<void> {
  const folder = temporaryFolder();
  for await (const { name } of Deno.readDir(folder)) {
    const pid = new RegExp(`^${FOLDER_PREFIX}(\\d+)[-.]`).exec(name)?.[1];
    if (pid && !isAlive(Number(pid))) await Deno.remove(`${folder}/${name}`, { recursive: true }).catch(() => {});
  }
}

function temporaryFolder(): string {
  return Deno.env.get("TMPDIR") ?? "/tmp";
}
