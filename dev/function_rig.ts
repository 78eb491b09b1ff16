// Tests and benchmarks: the function against a real Postgres behind the real gateway, whose calls are counted.
import { startGateway } from "./gateway/gateway.ts";
import { makeProjectKeys } from "./gateway/keys.ts";
import { createTestDatabase, type TestDatabase } from "./test_database.ts";

export interface FunctionRig extends AsyncDisposable {
  readonly database: TestDatabase;
  /** What the functions are started with. */
  readonly env: Readonly<Record<string, string>>;
  readonly secretKey: string;
  /** The gateway itself, without the counting in front of it. */
  readonly gatewayUrl: string;
  /** Paths of the calls that reached the gateway, such as `/rest/v1/rpc/read_episode`. */
  readonly calls: string[];
  /** Where a function listens, for calls of `/functions/v1/<name>`. */
  setFunction(name: string, baseUrl: string): void;
  /** Answers 503 to everything until switched on again. */
  setDatabaseUp(up: boolean): void;
}

export const SIGNING_KEYS = `k1:${"A".repeat(43)}`;

export async function createFunctionRig(more: Readonly<Record<string, string>> = {}): Promise<FunctionRig> {
  const database = await createTestDatabase();
  const keys = makeProjectKeys();
  const gateway = await startGateway({ port: 0, databaseUrl: database.authenticatorUrl, keys });
  const calls: string[] = [];
  let up = true;
  const counter = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    calls.push(pathname);
    if (!up) return Response.json({ message: "down" }, { status: 503 });
    const body = request.body === null ? null : await request.arrayBuffer();
    return await fetch(gateway.url + pathname + search, { method: request.method, headers: request.headers, body });
  });
  return {
    database,
    secretKey: keys.secret,
    gatewayUrl: gateway.url,
    calls,
    setFunction: gateway.setFunction,
    setDatabaseUp: (value) => void (up = value),
    env: {
      SUPABASE_URL: `http://127.0.0.1:${counter.addr.port}`,
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secret }),
      CLOUDFLARE_WORKERS_URL: "https://worker.test",
      STREAM_SIGNING_KEYS: SIGNING_KEYS,
      ...more,
    },
    async [Symbol.asyncDispose]() {
      await counter.shutdown();
      await gateway.stop();
      await database[Symbol.asyncDispose]();
    },
  };
}
