import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import createClient from "postgres";
import { type Guard, startGuard } from "../process/guard.ts";
import { installPostgres } from "./binaries.ts";
import { clusterHome } from "./home.ts";
import type { Migration } from "./migrate.ts";
import { type Postgres, startPostgres } from "./postgres.ts";
import type { SetupErrorCode } from "../process/setup_error.ts";

interface PostgresFixture extends AsyncDisposable {
  readonly dir: string;
  /** The cluster's directory: elsewhere if the user that Postgres runs as cannot enter the checkout. */
  readonly cluster: string;
  start(port?: number): Promise<Postgres>;
  refuses(code: SetupErrorCode, message: RegExp, port?: number): Promise<void>;
  /** pids of servers in this fixture's directory. */
  servers(): Promise<number[]>;
}

async function createPostgresFixture(options: { migrations?: Migration[] } = {}): Promise<PostgresFixture> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-postgres-" });
  await Deno.chmod(dir, 0o755);
  const guard: Guard = startGuard();
  const { dir: cluster } = await clusterHome(join(dir, "pg"));
  const start = (port = 0) => startPostgres({ dataDir: join(dir, "pg"), port, guard, durable: false, ...options });
  const servers = () => serversIn(cluster);
  return {
    dir,
    cluster,
    start,
    servers,
    async refuses(code, message, port) {
      const error = await start(port).then(() => null, (error) => error);
      assert.equal(error?.name, "SetupError", String(error?.stack));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.equal(error.message.includes("\n"), false, "one line");
      assert.deepEqual(await servers(), [], "nothing is left running");
    },
    async [Symbol.asyncDispose]() {
      await guard.close();
      for (const path of [cluster, dir]) await Deno.remove(path, { recursive: true }).catch(() => {});
    },
  };
}

async function serversIn(dir: string): Promise<number[]> {
  const pid = Number((await Deno.readTextFile(join(dir, "data/postmaster.pid")).catch(() => "")).split("\n")[0]);
  const running = await Deno.stat(`/proc/${pid}`).then(() => pid > 0, () => false);
  return running ? [pid] : [];
}

async function query<T>(url: string, text: string): Promise<T[]> {
  const sql = createClient(url, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe(text) as unknown as T[];
  } finally {
    await sql.end({ timeout: 1 });
  }
}

Deno.test("startPostgres: restarted → same data; its password → owner only", async () => {
  await using fixture = await createPostgresFixture();
  const first = await fixture.start();
  await query(first.url, "create table public.kept (id int primary key); insert into public.kept values (7)");
  await first.stop();
  assert.equal(await first.ended, "exit code 0");
  const second = await fixture.start();
  assert.deepEqual((await query<{ id: number }>(second.url, "select id from public.kept"))[0], { id: 7 });
  const { mode } = await Deno.stat(join(fixture.cluster, "postgres-password"));
  assert.equal(mode! & 0o777, 0o600);
  await assert.rejects(query(second.url.replace(/:[0-9a-f]{48}@/, ":wrong@"), "select 1"), { code: "28P01" });
  await second.stop();
});

Deno.test("startPostgres: server killed with -9 → same data", async () => {
  await using fixture = await createPostgresFixture();
  const first = await fixture.start();
  await query(first.url, "create table public.kept (id int primary key); insert into public.kept values (7)");
  const [pid] = await fixture.servers();
  Deno.kill(pid!, "SIGKILL");
  assert.equal(await first.ended, "SIGKILL");
  await Deno.stat(join(fixture.cluster, "data/postmaster.pid")); // stale
  const second = await fixture.start();
  assert.equal((await query(second.url, "select id from public.kept")).length, 1);
  await second.stop();
});

Deno.test("startPostgres: a server left by an earlier run → stopped", async () => {
  await using fixture = await createPostgresFixture();
  const first = await fixture.start();
  const [orphan] = await fixture.servers();
  const second = await fixture.start();
  assert.equal(await first.ended, "exit code 0");
  const [pid] = await fixture.servers();
  assert.notEqual(pid, orphan);
  await second.stop();
});

Deno.test("startPostgres: interrupted initdb → a new cluster", async () => {
  await using fixture = await createPostgresFixture();
  await Deno.mkdir(join(fixture.cluster, "data.new/global"), { recursive: true });
  await Deno.writeTextFile(join(fixture.cluster, "data.new/PG_VERSION"), "17\n");
  const postgres = await fixture.start();
  await postgres.stop();
});

Deno.test("startPostgres: an incomplete cluster → refused", async (t) => {
  const breakages: [string, (data: string) => Promise<void>, RegExp][] = [
    [
      "without PG_VERSION",
      (data) => Deno.remove(join(data, "PG_VERSION")),
      /not a complete Postgres 17 cluster: delete it/,
    ],
    [
      "without pg_control",
      (data) => Deno.remove(join(data, "global/pg_control")),
      /not a complete Postgres 17 cluster/,
    ],
    ["of another version", (data) => Deno.writeTextFile(join(data, "PG_VERSION"), "15\n"), /made by Postgres 15/],
    [
      "with a damaged pg_control",
      (data) => Deno.truncate(join(data, "global/pg_control"), 100),
      /cannot use .*delete it/,
    ],
    ["without its log", (data) => Deno.remove(join(data, "pg_wal"), { recursive: true }), /cannot use .*delete it/],
  ];
  for (const [name, breakIt, message] of breakages) {
    await t.step(name, async () => {
      await using fixture = await createPostgresFixture();
      await (await fixture.start()).stop();
      await breakIt(join(fixture.cluster, "data"));
      await fixture.refuses("data_folder_broken", message);
    });
  }
});

Deno.test({
  name: "startPostgres: a folder of another user → refused",
  ignore: Deno.build.os === "windows" || Deno.uid() !== 0, // only root can change a folder's owner
  async fn() {
    await using fixture = await createPostgresFixture();
    await (await fixture.start()).stop();
    await Deno.chown(join(fixture.cluster, "data"), 54_321, null);
    await fixture.refuses(
      "data_folder_foreign",
      /belongs to uid 54321, Postgres would run as uid \d+: start as the user/,
    );
  },
});

Deno.test("startPostgres: a taken port → a one-line error", async () => {
  await using fixture = await createPostgresFixture();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  await fixture.refuses("port_taken", new RegExp(`^port ${port} \\(Postgres\\) is taken`), port);
});

Deno.test("startPostgres: an applied migration changed → a one-line error", async () => {
  await using fixture = await createPostgresFixture();
  const postgres = await fixture.start();
  await query(
    postgres.adminUrl,
    "update supabase_migrations.schema_migrations set statements = array['select 1'] where true",
  );
  await postgres.stop();
  await fixture.refuses("migration_changed", /changed after it was applied to this database: start with --reset$/);
});

Deno.test("startPostgres: a database of an older version → a one-line error", async () => {
  await using fixture = await createPostgresFixture();
  const postgres = await fixture.start();
  await query(postgres.adminUrl, "comment on schema auth is 'platform of yore'");
  await postgres.stop();
  await fixture.refuses(
    "migration_changed",
    /^dev\/postgres changed after this database was made: start with --reset$/,
  );
});

Deno.test("installPostgres: no package for the platform → a one-line error", async () => {
  const dir = await Deno.makeTempDir();
  const refused = async (packageDir: string) => {
    const error = await installPostgres(dir, packageDir).then(() => null, (error) => error);
    return [error?.name, error?.code, error?.message];
  };
  const missing = ["SetupError", "missing_program", "Postgres is not installed: run `deno install` in the checkout"];
  assert.deepEqual(await refused(join(dir, "nowhere")), missing);
  const [name, code, message] = await refused(dir);
  assert.deepEqual([name, code], ["SetupError", "missing_program"]);
  assert.match(message, /^Postgres for (linux|darwin)-(x64|arm64) is not installed: run `deno install` again$/);
  await Deno.remove(dir, { recursive: true });
});

Deno.test({
  name: "startPostgres: a full disk → a one-line error",
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0, // only root can mount a small disk
  async fn() {
    await using fixture = await createPostgresFixture();
    await Deno.mkdir(join(fixture.dir, "pg"), { recursive: true });
    const mount = new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", "size=20m,mode=0755", "tmpfs", join(fixture.dir, "pg")],
      stderr: "null",
    });
    if (!(await mount.output()).success) return; // a container that may not mount
    try {
      await fixture.refuses("disk_full", /^no space left for Postgres in .*: free some/);
    } finally {
      await new Deno.Command("umount", { args: [join(fixture.dir, "pg")] }).output();
    }
  },
});

Deno.test("startPostgres: disk full during a migration → a one-line error", async () => {
  const sql = `do $$ begin
    raise exception using errcode = '53100', message = 'could not extend file "base/5/16492": No space left on device';
  end $$`;
  await using fixture = await createPostgresFixture({ migrations: [{ version: "1", name: "large", sql }] });
  await fixture.refuses("disk_full", /^no space left for Postgres in .*: free some/);
});

Deno.test({
  name: "startPostgres: root in a closed folder → moved to /var/lib/keepstream",
  ignore: Deno.uid() !== 0,
  async fn() {
    const closed = await Deno.makeTempDir({ prefix: "keepstream-closed-" }); // mode 0700, like /root
    const home = await clusterHome(join(closed, "checkout/.keepstream/dev"));
    assert.match(home.dir, /^\/var\/lib\/keepstream\/[0-9a-f]{12}$/);
    assert.match(
      home.moved ?? "",
      new RegExp(`no other user may enter ${closed}: its files are in /var/lib/keepstream/`),
    );
    assert.notEqual(home.runAs?.uid, 0);
    await Deno.remove(closed, { recursive: true });
    await Deno.remove(home.dir, { recursive: true });
  },
});

Deno.test("installPostgres: two at the same time → installed once", async () => {
  const dir = await Deno.makeTempDir();
  const [one, two] = await Promise.all([installPostgres(dir), installPostgres(dir)]);
  assert.deepEqual(one, two);
  assert.equal((await Array.fromAsync(Deno.readDir(dir))).length, 1);
  const tree = dirname(one.bin);
  const linked = await Deno.realPath(join(tree, "lib/libpq.so.5")).catch(() => tree);
  assert.ok(linked.startsWith(await Deno.realPath(tree)));
  await Deno.remove(dir, { recursive: true });
});
