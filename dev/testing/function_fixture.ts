// For tests and benchmarks: the function with a real Postgres behind the real gateway, whose calls are counted.
import { startGateway } from "../emulators/supabase/gateway.ts";
import { makeProjectKeys } from "../emulators/supabase/keys.ts";
import { createTestDatabase, type TestDatabase } from "./test_database.ts";

export interface FunctionFixture extends AsyncDisposable {
  readonly database: TestDatabase;
  /** Variables of the functions. */
  readonly env: Readonly<Record<string, string>>;
  readonly secretKey: string;
  /** The gateway itself, without the counting proxy in front. */
  readonly gatewayUrl: string;
  /** Paths of the calls that reached the gateway, such as `/rest/v1/rpc/read_episode`. */
  readonly calls: string[];
  /** URL of a function, for calls of `/functions/v1/<name>`. */
  setFunction(name: string, baseUrl: string): void;
  /** Responds to everything with 503 until switched on again. */
  setDatabaseUp(up: boolean): void;
}

export const SIGNING_KEYS = `k1:${"A".repeat(43)}`;

export async function createFunctionFixture(more: Readonly<Record<string, string>> = {}): Promise<FunctionFixture> {
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

/** Archives a video with the runner's SQL functions; returns the location of the copy. */
export async function archiveVideo(fixture: FunctionFixture, resolution: string): Promise<string> {
  const sql = fixture.database.serviceRole;
  const jobs = await sql`select * from public.claim_pending_videos(10, 'test')`;
  const job = jobs.find((one) => one.resolution === resolution)!;
  await sql`select public.update_video_queue_status(${job.id}, 'uploading', null, ${job.lease_token})`;
  const path = "1/ep1/0123456789abcdef0123456789abcdef.mp4";
  const url = `https://hub.test/datasets/ana/anime-1/resolve/main/${path}`;
  const sha = "a".repeat(64);
  const replicas = [{
    target: "hf-1",
    account: 1,
    repo: "ana/anime-1",
    path,
    commit_oid: "b".repeat(40),
    sha256: sha,
    size_bytes: 5,
    state: "verified",
    direct_url: url,
  }];
  await sql`select public.upsert_video_store(1, 1, ${job.provider}, ${resolution}, ${"0123456789abcdef0123456789abcdef"}, 1,
    'ana/anime-1', ${path}, ${url}, null, ${job.lease_token}, ${sha}, 5, 1.5, ${
    JSON.stringify(replicas)
  }::text::jsonb)`;
  return url;
}
