import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import createSql from "postgres";
import { startCronWorker } from "../emulators/supabase/cron_worker.ts";
import { startGateway } from "../emulators/supabase/gateway.ts";
import { makeProjectKeys } from "../emulators/supabase/keys.ts";
import { startGuard } from "../process/guard.ts";
import { startNetWorker } from "../emulators/supabase/net_worker.ts";
import { freePort } from "../process/free_port.ts";
import { startPostgres } from "../postgres/postgres.ts";
import { createTestDatabase } from "../testing/test_database.ts";

Deno.test("gateway and workers: Postgres restarted → they continue", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "keepstream-restart-" });
  await Deno.chmod(dataDir, 0o755);
  const guard = startGuard();
  const port = freePort();
  const start = () => startPostgres({ dataDir, port, guard, durable: false });
  const first = await start();
  const keys = makeProjectKeys();
  const gateway = await startGateway({ port: 0, databaseUrl: first.authenticatorUrl, keys });
  const net = await startNetWorker({ databaseUrl: first.adminUrl });
  const cron = await startCronWorker({ databaseUrl: first.adminUrl });
  const client = createClient(gateway.url, keys.secret, { auth: { persistSession: false } });
  assert.equal((await client.rpc("queue_counts")).error, null);

  Deno.kill(first.pid, "SIGKILL");
  await first.ended;
  const down = await client.rpc("queue_counts");
  assert.deepEqual([down.status, down.error?.code], [503, "PGRST001"]);

  const second = await start();
  assert.equal((await client.rpc("queue_counts")).error, null);
  const arrived = Promise.withResolvers<void>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
    arrived.resolve();
    return new Response();
  });
  const sql = createSql(second.url, { max: 1, onnotice: () => {} });
  await sql.unsafe("create table public.ran (at timestamptz default now())");
  await sql`select cron.schedule('again', '1 second', 'insert into public.ran default values')`;
  await sql`select net.http_post(${`http://127.0.0.1:${server.addr.port}/`})`;
  await arrived.promise;
  while ((await sql`select from public.ran`).length === 0) await new Promise((resolve) => setTimeout(resolve, 50));

  await sql.end();
  await server.shutdown();
  await cron.stop();
  await net.stop();
  await gateway.stop();
  await second.stop();
  await guard.close();
  await Deno.remove(dataDir, { recursive: true });
});

Deno.test("gateway, net worker: connections ended under load → they continue", async () => {
  await using database = await createTestDatabase();
  const keys = makeProjectKeys();
  const gateway = await startGateway({ port: 0, databaseUrl: database.authenticatorUrl, keys });
  const net = await startNetWorker({ databaseUrl: database.adminUrl });
  const client = createClient(gateway.url, keys.secret, { auth: { persistSession: false } });
  const arrivals = new Set<string>();
  const all = Promise.withResolvers<void>();
  const KILLS = 20;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    if (arrivals.add(new URL(request.url).pathname).size === KILLS) all.resolve();
    return new Response();
  });
  const statuses = new Set<number>();
  let loading = true;
  const load = Array.from({ length: 6 }, async () => {
    while (loading) statuses.add((await client.rpc("queue_counts")).status);
  });
  const killer = database.connect("supabase_admin", { max: 1 });
  for (let kill = 0; kill < KILLS; kill++) {
    await killer`select net.http_post(${`http://127.0.0.1:${server.addr.port}/${kill}`})`;
    await killer`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and (application_name = 'gateway' or application_name like 'pg_net%')`;
    assert.notEqual((await client.rpc("queue_counts")).status, 0);
  }
  loading = false;
  await Promise.all(load);
  assert.deepEqual([...statuses].filter((status) => status !== 200 && status !== 503), []);
  assert.equal((await client.rpc("queue_counts")).status, 200);
  await all.promise; // each request arrived, some of them twice
  await net.stop();
  await gateway.stop();
  await server.shutdown();
});
