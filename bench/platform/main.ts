/**
 * Costs of the local platform: first and second start of the system, one call through the gateway, commit → arrival of a pg_net
 * request. `deno task bench:platform` writes bench/results/platform.json.
 */
import { createClient } from "@supabase/supabase-js";
import createSql from "postgres";
import { commandLine } from "../../cli/command_line.ts";
import { startGateway } from "../../dev/emulators/supabase/gateway.ts";
import { makeProjectKeys } from "../../dev/emulators/supabase/keys.ts";
import { startGuard } from "../../dev/process/guard.ts";
import { startNetWorker } from "../../dev/emulators/supabase/net_worker.ts";
import { startPostgres } from "../../dev/postgres/postgres.ts";
import { startSystem } from "../../dev/system/system.ts";

commandLine({ usage: "usage: deno task bench:platform" });

const ROUNDS = 3;
const CALLS = 400;
const CLIENTS = 8;
const WAKES = 60;
const RESULTS = new URL("../results/platform.json", import.meta.url);

const rounds = { firstStartSeconds: [] as number[], secondStartSeconds: [] as number[], stopSeconds: [] as number[] };
for (let round = 0; round < ROUNDS; round++) {
  const dataDir = await makeFolder();
  rounds.firstStartSeconds.push(await seconds(startAndStop(dataDir)));
  rounds.secondStartSeconds.push(await seconds(startAndStop(dataDir)));
  await Deno.remove(dataDir, { recursive: true });
}
const calls = await measureCalls();
const report = {
  at: new Date().toISOString(),
  machine: await machine(),
  medians: {
    firstStartSeconds: median(rounds.firstStartSeconds),
    secondStartSeconds: median(rounds.secondStartSeconds),
    stopSeconds: median(rounds.stopSeconds),
    ...calls.medians,
  },
  rounds,
  raw: calls.raw,
};
await Deno.mkdir(new URL(".", RESULTS), { recursive: true });
await Deno.writeTextFile(RESULTS, JSON.stringify(report, null, 2) + "\n");
console.log(JSON.stringify(report.medians, null, 2));
Deno.exit(0);

/** Returns when the system was ready; its stop is measured separately. */
async function startAndStop(dataDir: string): Promise<number> {
  const startedAt = performance.now();
  const system = await startSystem({ dataDir, ports: "free" });
  const readyAt = performance.now();
  await system.stop();
  rounds.stopSeconds.push(round((performance.now() - readyAt) / 1000));
  return readyAt - startedAt;
}

async function measureCalls() {
  const dataDir = await makeFolder();
  const guard = startGuard();
  const postgres = await startPostgres({ dataDir, port: 0, guard, durable: false });
  const sql = createSql(postgres.url, { max: CLIENTS, onnotice: () => {} });
  await sql.unsafe(`
    create function public.bench_add(a int, b int) returns int language sql as 'select a + b';
    grant execute on function public.bench_add(int, int) to service_role;`);
  const keys = makeProjectKeys();
  const gateway = await startGateway({ port: 0, databaseUrl: postgres.authenticatorUrl, keys });
  const client = createClient(gateway.url, keys.secret, { auth: { persistSession: false } });
  const call = async () => {
    const { data, error } = await client.rpc("bench_add", { a: 2, b: 3 });
    if (data !== 5) throw new Error(`wrong response: ${JSON.stringify({ data, error })}`);
  };
  await repeat(50, call); // warm up connections, caches and compilers
  const gatewayMs = await repeat(CALLS, call);
  const directMs = await repeat(CALLS, async () => void await sql`select public.bench_add(2, 3)`);
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: CLIENTS }, () => repeat(CALLS, call)));
  const callsPerSecond = CLIENTS * CALLS / ((performance.now() - startedAt) / 1000);
  const wakeMs = await measureWakes(postgres.adminUrl, sql);
  await gateway.stop();
  await sql.end();
  await postgres.stop();
  await guard.close();
  await Deno.remove(dataDir, { recursive: true });
  return {
    medians: {
      gatewayCallMs: median(gatewayMs),
      directCallMs: median(directMs),
      gatewayCallsPerSecond: Math.round(callsPerSecond),
      wakeIdleMs: median(wakeMs.slice(0, WAKES / 2)),
      wakeBusyMs: median(wakeMs.slice(WAKES / 2)),
    },
    raw: { gatewayMs: gatewayMs.map(round), directMs: directMs.map(round), wakeMs: wakeMs.map(round) },
  };
}

/** Commit → arrival: half of them with an idle worker, half in the pause after the previous request. */
async function measureWakes(databaseUrl: string, sql: createSql.Sql): Promise<number[]> {
  let arrived = Promise.withResolvers<void>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
    arrived.resolve();
    return new Response();
  });
  const worker = await startNetWorker({ databaseUrl });
  const url = `http://127.0.0.1:${server.addr.port}/`;
  const times: number[] = [];
  for (let wake = 0; wake < WAKES; wake++) {
    await new Promise((resolve) => setTimeout(resolve, wake < WAKES / 2 ? 1100 : 20));
    arrived = Promise.withResolvers();
    await sql`select net.http_post(${url})`;
    const committedAt = performance.now();
    await arrived.promise;
    times.push(Math.max(0, performance.now() - committedAt));
  }
  await worker.stop();
  await server.shutdown();
  return times;
}

async function repeat(times: number, run: () => Promise<void>): Promise<number[]> {
  const durations: number[] = [];
  for (let index = 0; index < times; index++) {
    const startedAt = performance.now();
    await run();
    durations.push(performance.now() - startedAt);
  }
  return durations;
}

async function seconds(milliseconds: Promise<number>): Promise<number> {
  return round(await milliseconds / 1000);
}

async function makeFolder(): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-bench-" });
  await Deno.chmod(dir, 0o755);
  return dir;
}

function median(values: readonly number[]): number {
  return round(values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

async function machine() {
  const cpu = /model name\s*:\s*(.+)/.exec(await Deno.readTextFile("/proc/cpuinfo").catch(() => ""))?.[1];
  return {
    os: `${Deno.build.os} ${Deno.osRelease()}`,
    cpu: cpu ?? Deno.build.arch,
    cores: navigator.hardwareConcurrency,
    memoryGb: Math.round(Deno.systemMemoryInfo().total / 1024 ** 3),
    load: Deno.loadavg().map(round),
    deno: Deno.version.deno,
  };
}
