/**
 * Runs `supabase db lint` on the functions. It needs the extension plpgsql_check, which Debian
 * packages for its own Postgres: that server is unpacked next to the checkout and runs for this test
 * only.
 */
import assert from "node:assert/strict";
import createClient, { type Sql } from "postgres";
import { freePort } from "../../dev/process/free_port.ts";
import { startGuard } from "../../dev/process/guard.ts";
import { readExtensions } from "../../dev/postgres/binaries.ts";
import { clusterHome } from "../../dev/postgres/home.ts";
import { readMigrations } from "../../dev/postgres/migrate.ts";
import { findPackage, HAS_APT, missingDependencies, unpack } from "./debian_package.ts";
import { supabaseCli } from "./supabase_cli.ts";

const FOLDER = new URL("../../.keepstream/plpgsql_check/", import.meta.url).pathname;
const PLATFORM_SQL = new URL("../../dev/postgres/platform.sql", import.meta.url);

Deno.test({
  name: "supabase db lint: our functions → no error; a broken one → found",
  ignore: !HAS_APT,
  async fn() {
    await using server = await startServer();
    const lint = () =>
      supabaseCli([
        ...["db", "lint", `--remote=${server.url}`, "--schema", "public,keepstream"],
        ...["--level", "error", "--fail-on", "error", "--output-format", "json"],
      ]);
    const clean = await lint();
    assert.equal(clean.code, 0, clean.stdout + clean.stderr);
    await server.sql`
      create function public.broken() returns text language plpgsql as $$
      declare job record; begin select 1 as id into job; return job.class; end $$`;
    const dirty = await lint();
    assert.notEqual(dirty.code, 0);
    assert.match(dirty.stdout + dirty.stderr, /record \\?"job\\?" has no field \\?"class\\?"/);
  },
});

async function startServer(): Promise<AsyncDisposable & { readonly url: string; readonly sql: Sql }> {
  await using stack = new AsyncDisposableStack();
  const { dir, runAs } = await clusterHome(FOLDER);
  const check = await findPackage("^postgresql-[0-9]+-plpgsql-check$");
  const version = Number(/\d+/.exec(check)![0]);
  const bin = `${dir}/usr/lib/postgresql/${version}/bin`;
  if (!await Deno.stat(`${bin}/postgres`).then(() => true, () => false)) {
    const names = [`postgresql-${version}`, check];
    await unpack([...new Set([...names, ...await missingDependencies(names)])], dir);
  }
  for (const { name, text } of await readExtensions()) {
    await Deno.writeTextFile(`${dir}/usr/share/postgresql/${version}/extension/${name}`, text);
  }

  const data = await Deno.makeTempDir({ dir, prefix: "data-" });
  stack.defer(() => Deno.remove(data, { recursive: true }));
  if (runAs) await Deno.chown(data, runAs.uid, runAs.gid);
  const identity = {
    ...(runAs && { uid: runAs.uid, gid: runAs.gid }),
    cwd: "/",
    env: { LC_ALL: "C", LD_LIBRARY_PATH: await libraryPath(dir) },
  };
  const made = await new Deno.Command(`${bin}/initdb`, {
    args: ["-D", data, "-U", "supabase_admin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
    ...identity,
  }).output();
  assert.ok(made.success, new TextDecoder().decode(made.stderr));

  const guard = startGuard();
  stack.defer(() => guard.close());
  const port = freePort();
  const settings = { listen_addresses: "127.0.0.1", unix_socket_directories: "", jit: "off", fsync: "off" };
  const server = new Deno.Command(`${bin}/postgres`, {
    args: [
      "-D",
      data,
      "-p",
      `${port}`,
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
    ...identity,
  }).spawn();
  guard.add(server.pid, "INT");
  stack.defer(async () => {
    server.kill("SIGINT");
    await server.status;
    guard.remove(server.pid);
  });

  const connect = (role: string) => {
    const sql = createClient(`postgres://${role}@127.0.0.1:${port}/postgres`, { max: 1, onnotice: () => {} });
    stack.defer(() => sql.end({ timeout: 1 }));
    return sql;
  };
  const admin = connect("supabase_admin");
  await untilReady(admin, server);
  const platform = (await Deno.readTextFile(PLATFORM_SQL)).replaceAll(":password", "'test'");
  // Features of Postgres 17 that an older Debian version lacks.
  await admin.unsafe(version >= 16 ? platform : platform.replace(", pg_create_subscription", "")).simple();
  if (version < 16) {
    await admin`set allow_system_table_mods = on`;
    await admin`create function pg_catalog.pg_input_is_valid(text, text) returns boolean language sql as 'select true'`;
  }
  await admin`create extension plpgsql_check`;
  const sql = connect("postgres");
  for (const migration of await readMigrations()) await sql.unsafe(migration.sql).simple();
  const owned = stack.move();
  return {
    url: `postgres://supabase_admin@127.0.0.1:${port}/postgres`,
    sql,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Debian's library folder for this architecture. */
async function libraryPath(dir: string): Promise<string> {
  const folders = await Array.fromAsync(Deno.readDir(`${dir}/usr/lib`));
  const triplet = folders.find(({ name }) => name.endsWith("-linux-gnu"));
  return triplet ? `${dir}/usr/lib/${triplet.name}` : "";
}

async function untilReady(sql: Sql, server: Deno.ChildProcess): Promise<void> {
  let ended = false;
  server.status.then(() => ended = true);
  for (;;) {
    const ready = await sql`select 1`.then(() => true, () => false);
    if (ready) return;
    assert.ok(!ended, "the server ended");
    await new Promise((next) => setTimeout(next, 100));
  }
}
