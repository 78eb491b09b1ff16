/**
 * The system that the demo runs against: that of a running `deno task dev`, else one of its own on free ports, in a folder that is
 * removed at the end. Example: `await using connection = await connect({ ownSystem: false })`. Runs on: Deno.
 */
import createClient, { type Sql } from "postgres";
import { DEFAULT_DATA_DIR } from "../system/data_folder.ts";
import { createLogStream } from "../process/log_stream.ts";
import { findRunningSystem, type RunningSystem, startSystem } from "../system/system.ts";
import type { DemoSystem } from "./story.ts";

const LOG_TAIL_LINES = 200;

export interface Connection extends AsyncDisposable {
  readonly system: DemoSystem;
  /** The system's database, as its owner. */
  readonly sql: Sql;
  /** Whether the system was started for this connection. */
  readonly started: boolean;
  /** What the services of a system of its own said last; a running `deno task dev` shows its log itself. */
  readonly logTail: () => readonly string[];
}

/** `onFailure` is told when a part of a system of its own ends by itself. @throws {SetupError} when a system of its own cannot be started. */
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
  await Deno.chmod(dataDir, 0o755); // Postgres runs as another user where this runs as root
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
