import assert from "node:assert/strict";
import { createTestDatabase } from "./test_database.ts";

Deno.test("createTestDatabase: two tests → separate copies", async () => {
  await using one = await createTestDatabase();
  await using two = await createTestDatabase();
  await one.sql`create table public.mine (id int primary key)`;
  const [seen] = await two.sql`select to_regclass('public.mine') as found`;
  assert.equal(seen?.found, null);
});

Deno.test("createTestDatabase: clients → the roles of a Supabase project", async () => {
  await using database = await createTestDatabase();
  const roles = ["postgres", "supabase_admin", "anon", "authenticated", "service_role"] as const;
  for (const role of roles) {
    const [row] = await database.connect(role, { max: 1 })`
      select current_user as name, (select rolsuper from pg_roles where rolname = current_user) as super`;
    assert.deepEqual({ ...row }, { name: role, super: role === "supabase_admin" });
  }
});

Deno.test("create extension pg_net, pg_cron → the interface of the originals", async () => {
  await using database = await createTestDatabase();
  const { sql } = database;
  await sql.unsafe(`
    create extension if not exists pg_net with schema extensions;
    create extension if not exists pg_cron;
    create extension if not exists supabase_vault with schema vault cascade;
    select vault.create_secret('https://runner.test', 'runner_url', 'where');`);
  const [secret] = await sql`select decrypted_secret from vault.decrypted_secrets where name = 'runner_url'`;
  assert.equal(secret?.decrypted_secret, "https://runner.test");
  const [post] = await sql`
    select net.http_post('https://runner.test/trigger?a=1', '{"a": 1}', '{"q": "ü &"}', '{"x": "y"}', 1000) as id`;
  const [row] = await database.admin`
    select id, method, url, headers, convert_from(body, 'UTF8') as body from net.http_request_queue`;
  assert.deepEqual({ ...row }, {
    id: post?.id,
    method: "POST",
    url: "https://runner.test/trigger?a=1&q=%C3%BC%20%26",
    headers: { "x": "y", "Content-Type": "application/json" },
    body: '{"a": 1}',
  });
  for (const url of ["", "runner", "nope://x", "http://", "http://a b/", "http://x:99999/"]) {
    await assert.rejects(() => sql`select net.http_post(${url})`, /invalid URL/, url);
  }
  await assert.rejects(
    () => sql`select net.http_post('http://x', '{}', '{}', '{"content-type": "text/plain"}')`,
    /Content-Type header must be "application\/json"/,
  );
  const [job] = await sql`select cron.schedule('sweep', '30 seconds', 'select 1') as id`;
  const [again] = await sql`select cron.schedule('sweep', '*/5 1-3 $ jan,feb mon', 'select 2') as id`;
  assert.equal(again?.id, job?.id);
  for (const schedule of ["", "60 seconds", "* * * *", "61 * * * *", "* * * * 8", "5-1 * * * *", "1/2 * * * *"]) {
    await assert.rejects(() => sql`select cron.schedule('x', ${schedule}, 'select 1')`, /invalid schedule/, schedule);
  }
  const jobs = await sql`select jobname, schedule, command, username, active from cron.job where jobname = 'sweep'`;
  assert.deepEqual(jobs.map((each) => ({ ...each })), [
    { jobname: "sweep", schedule: "*/5 1-3 $ jan,feb mon", command: "select 2", username: "postgres", active: true },
  ]);
  await sql`select cron.unschedule('sweep')`;
  assert.equal((await sql`select from cron.job where jobname = 'sweep'`).length, 0);
});

Deno.test("Vault: anon and service_role → no access to its keys", async () => {
  await using database = await createTestDatabase();
  const anon = database.connect("anon", { max: 1 });
  await assert.rejects(() => anon`select * from vault.decrypted_secrets`, { code: "42501" });
  await assert.rejects(() => database.serviceRole`select * from vault._key`, { code: "42501" });
  assert.equal((await database.serviceRole`select * from vault.decrypted_secrets`).length, 0);
});
