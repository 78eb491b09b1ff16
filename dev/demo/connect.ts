/**
 * The system that the demo runs against: a running `deno task dev`, otherwise its own one on free ports, in a folder that is removed at
 * the end. Example: `await using connection = await connect({ ownSystem: false })`.
 */
import createClient, { type Sql } from "postgres";
import { DEFAULT_DATA_DIR } from "../system/data_folder.ts";
import { createLogStream } from "../process/log_stream.ts";
import { findRunningSystem, type RunningSystem, startSystem } from "../system/system.ts";
import type { DemoSystem } from "./demo_steps.ts";

const LOG_TAIL_LINES = 200;

export interface Connection extends AsyncDisposable {
  readonly system: DemoSystem;
  /** The system's database, as its owner. */
  readonly sql: Sql;
  /** Whether the system was started for this connection. */
  readonly started: boolean;
  /** Last log lines of a system started for this connection; a running `deno task dev` shows its own log. */
  readonly logTail: () => readonly string[];
}

/** `onFailure` is called if a part of a system started here ends on its own. @throws {SetupError} if that system cannot start. */
export async function connect(
  options: { ownSystem: boolean; onFailure?: (reason: Error) => void },
): Promise<Connection> {
  const running = options.ownSystem ? null : await findRunningSystem(DEFAULT_DATA_DIR);
  return running === null
    ? await connectToOwn(options.onFailure)
    : connectTo(running, { started: false, logTail: () => [], stop: async () => {} });
}

async function connectToOwn(onFailure?: (reason: Error) => void): Promise<Connection> {
  const dataDir = await Deno.makeTempDir({ prefix: "keepstream-demo-" });
  await Deno.chmod(dataDir, 0o755); // as root, Postgres runs as another user
  const remove = () => Deno.remove(dataDir, { recursive: true });
  try {
    const lines: string[] = [];
    const log = createLogStream((line) => {
      lines.push(line);
      if (lines.length > LOG_TAIL_LINES) lines.shift();
    }, { colour: false });
    const system = await startSystem({ dataDir, ports: "free", durable: false, log });
    void system.failed.then(onFailure);
    return connectTo(system, { started: true, logTail: () => lines, stop: () => system.stop().finally(remove) });
  } catch (error) {
    await remove();
    throw error;
  }
}

function connectTo(
  running: RunningSystem,
  options: Pick<Connection, "started" | "logTail"> & { stop: () => Promise<void> },
): Connection {
  const sql = createClient(running.urls.postgres, { max: 1, onnotice: () => {} });
  return {
    system: {
      gatewayUrl: running.urls.gateway,
      hubUrl: running.urls.hub,
      proxyUrl: running.urls.proxy,
      publishableKey: running.keys.publishable,
      secretKey: running.keys.secret,
      accounts: running.accounts,
    },
    sql,
    started: options.started,
    logTail: options.logTail,
    async [Symbol.asyncDispose]() {
      await sql.end({ timeout: 1 });
      await options.stop();
    },
  };
}
