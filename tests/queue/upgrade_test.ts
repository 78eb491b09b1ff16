/**
 * A database of each release, with data, is upgraded to the newest schema by the Supabase CLI: every
 * row stays, and the functions work. While the newest schema is the release itself, the extra
 * migrations of the last tests show that the check detects something.
 */
import assert from "node:assert/strict";
import createClient, { type Sql } from "postgres";
import { startGuard } from "../../dev/process/guard.ts";
import { readMigrationFiles, readReleases } from "../../dev/lint/released_migrations.ts";
import { startPostgres } from "../../dev/postgres/postgres.ts";
import { archiveOf, type Row, rpc } from "./fixture/rpc.ts";
import { supabaseCli } from "./supabase_cli.ts";

const CONFIG = new URL("../../supabase/config.toml", import.meta.url);
const SEEDS = new URL("./upgrade/", import.meta.url);

type Files = ReadonlyMap<string, Uint8Array>;

const newest = await readMigrationFiles();
const releases = await readReleases();
const [oldest] = Object.keys(releases);

for (const version of Object.keys(releases)) {
  Deno.test(`upgrade: ${version} with data → every row stays, functions work`, async () => {
    await using database = await createReleasedDatabase(version);
    const before = await readRows(database.sql);
    await database.push(newest);
    assert.deepEqual(lostValues(before, await readRows(database.sql)), []);
    await assertFunctionsWork(database.sql);
  });
}

Deno.test("upgrade: extra migrations → applied to the data once; lost data noticed", async () => {
  await using database = await createReleasedDatabase(oldest!);
  const before = await readRows(database.sql);
  const extra = withMigration(`
    alter table public.video_queue add column upgraded boolean not null default true;
    create table keepstream.upgrades (at timestamptz not null);
    insert into keepstream.upgrades values (now());`);
  await database.push(extra);
  await database.push(extra);
  const after = await readRows(database.sql);
  assert.deepEqual(lostValues(before, after), []);
  assert.deepEqual(after.get("public.video_queue")!.map((row) => row["upgraded"]), [true, true, true, true]);
  assert.equal(after.get("keepstream.upgrades")!.length, 1);
  await assertFunctionsWork(database.sql);

  const filled = await readRows(database.sql);
  await database.push(withMigration(
    `
    delete from keepstream.obsolete_copies where true;
    update public.video_store set hf_path = 'x' where true;
    drop table public.metadata_cache cascade;`,
    extra,
  ));
  assert.deepEqual(lostValues(filled, await readRows(database.sql)), [
    "keepstream.obsolete_copies: 1 rows before, 0 after",
    "public.metadata_cache: dropped",
    "public.video_store.hf_path: changed",
  ]);
});

function withMigration(sql: string, files: Files = newest): Files {
  return new Map([...files, [`9999010100000${files.size - newest.size}_extra.sql`, new TextEncoder().encode(sql)]]);
}

/** A project that was set up with this release and has been used. */
async function createReleasedDatabase(version: string) {
  await using stack = new AsyncDisposableStack();
  const guard = startGuard();
  stack.defer(() => guard.close());
  const dataDir = await Deno.makeTempDir({ prefix: "keepstream-upgrade-" });
  stack.defer(() => Deno.remove(dataDir, { recursive: true }));
  await Deno.chmod(dataDir, 0o755);
  const postgres = await startPostgres({ dataDir, port: 0, guard, durable: false, migrations: [] });
  stack.defer(() => postgres.stop());
  const sql = createClient(postgres.url, { max: 1, onnotice: () => {} });
  stack.defer(() => sql.end({ timeout: 1 }));
  const push = (files: Files) => pushMigrations(postgres.url, files);

  const versions = Object.keys(releases);
  const upTo = versions.slice(0, versions.indexOf(version) + 1).flatMap((one) => Object.keys(releases[one]!));
  await push(new Map([...newest].filter(([file]) => upTo.includes(file))));
  await sql.unsafe(await Deno.readTextFile(new URL(`seed_${version}.sql`, SEEDS))).simple();
  const empty = [...await readRows(sql)].filter(([, rows]) => rows.length === 0).map(([table]) => table);
  assert.deepEqual(empty, [], `seed_${version}.sql fills every table`);
  const owned = stack.move();
  return { sql, push, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** `supabase db push` of a checkout with these migrations. */
async function pushMigrations(url: string, files: Files): Promise<void> {
  const checkout = await Deno.makeTempDir({ prefix: "keepstream-checkout-" });
  try {
    await Deno.mkdir(`${checkout}/supabase/migrations`, { recursive: true });
    await Deno.copyFile(CONFIG, `${checkout}/supabase/config.toml`);
    for (const [file, bytes] of files) await Deno.writeFile(`${checkout}/supabase/migrations/${file}`, bytes);
    const { code, stdout, stderr } = await supabaseCli([
      ...["db", "push", `--remote=${url}`, "--yes", "--workdir", checkout],
    ]);
    assert.equal(code, 0, stdout + stderr);
  } finally {
    await Deno.remove(checkout, { recursive: true });
  }
}

/** All rows of all tables, in a fixed order. */
async function readRows(sql: Sql): Promise<Map<string, Row[]>> {
  const tables = await sql<{ name: string }[]>`
    select c.relnamespace::regnamespace || '.' || c.relname as name from pg_class c
    where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'keepstream'::regnamespace) order by 1`;
  const rows = new Map<string, Row[]>();
  for (const { name } of tables) {
    const found = await sql.unsafe<{ row: Row }[]>(`select to_jsonb(t) as row from ${name} t order by t::text`);
    rows.set(name, found.map(({ row }) => row));
  }
  return rows;
}

/**
 * Tables, rows and values that an upgrade has removed or changed. Add exceptions here for migrations
 * that do so on purpose.
 */
function lostValues(before: ReadonlyMap<string, Row[]>, after: ReadonlyMap<string, Row[]>): string[] {
  const lost: string[] = [];
  for (const [table, old] of before) {
    const rows = after.get(table);
    if (rows === undefined) lost.push(`${table}: dropped`);
    else if (rows.length !== old.length) lost.push(`${table}: ${old.length} rows before, ${rows.length} after`);
    else {
      for (const column of Object.keys(old[0] ?? {})) {
        const values = (list: Row[]) => list.map((row) => JSON.stringify(row[column])).sort();
        if (values(old).join() !== values(rows).join()) lost.push(`${table}.${column}: changed`);
      }
    }
  }
  return lost;
}

/** Continues with the jobs of the seed. */
async function assertFunctionsWork(sql: Sql): Promise<void> {
  const [counts] = await rpc<{ queue_counts: Row }>(sql, "queue_counts");
  const { pending, downloading, ready, failed, archived } = counts!.queue_counts;
  assert.deepEqual([pending, downloading, ready, failed, archived], [1, 1, 1, 1, 1]);

  const video = { mal_id: 1, provider: "animasu", resolution: "720p" };
  const again = { ...video, episode: 4, video_url: "https://a.test/v4.mp4", embed_url: "https://a.test/embed/4" };
  const [known] = await rpc(sql, "enqueue_video", again);
  const [claimed] = await rpc(sql, "claim_pending_videos", { limit: 1, worker: "runner-2" });
  assert.equal(claimed!["id"], known!["id"], "the waiting job of the seed");
  const { id, lease_token } = claimed!;
  await rpc(sql, "update_video_queue_status", { id, lease_token, status: "uploading" });
  await rpc(sql, "upsert_video_store", archiveOf(claimed!));

  const [leased] = await rpc(sql, "leased_videos");
  const [beat] = await rpc(sql, "extend_video_lease", { ids: [leased!["id"]], lease_tokens: [leased!["lease_token"]] });
  assert.equal(beat!["lost"], false, "the lease of the seed");
  assert.equal((await rpc(sql, "retry_videos"))[0]!["retry_videos"], 1, "the dead letter of the seed");
  const [takedowns] = await rpc(sql, "list_takedowns");
  assert.deepEqual(takedowns!["list_takedowns"], { titles: [9], episodes: [] });

  const [episode] = await rpc<{ read_episode: { store: Row[]; providers: Row[] } }>(sql, "read_episode", {
    mal_id: 1,
    episode: 1,
  });
  assert.equal(episode!.read_episode.store[0]!["hf_path"], "1/ep1/b.mp4");
  assert.equal(episode!.read_episode.providers.length, 3);
  const [obsolete] = await rpc(sql, "claim_obsolete_copies", { targets: ["hub:user"] });
  assert.equal(obsolete!["path"], "1/ep1/a.mp4");
  await rpc(sql, "sweep");
}
