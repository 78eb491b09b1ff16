/** The schema from outside: generated types, the platform's advisors, and the API's roles. */
import assert from "node:assert/strict";
import { createTestDatabase } from "../../dev/testing/test_database.ts";
import { openDoors } from "./fixture/privilege_probe.ts";
import { outcome } from "./fixture/rpc.ts";
import { generateTypes, supabaseCli } from "./supabase_cli.ts";

Deno.test("core/database.types.ts: generated again → the same", async () => {
  await using database = await createTestDatabase();
  const kept = await Deno.readTextFile(new URL("../../core/database.types.ts", import.meta.url));
  assert.equal(kept, await generateTypes(database.url), "run deno task db:types");
});

/**
 * Expected notes: no policies, because only the service role has access; unused indexes, because the
 * database is new.
 */
const BY_DESIGN = ["rls_enabled_no_policy", "unused_index"];

Deno.test("supabase db advisors: our schema → no findings; no RLS → found", async () => {
  await using database = await createTestDatabase();
  const advise = (level: string) =>
    supabaseCli([
      ...["db", "advisors", `--remote=${database.url}`, "--type", "all"],
      ...["--level", level, "--fail-on", "warn", "--output-format", "json"],
    ]);

  const clean = await advise("info");
  assert.equal(clean.code, 0, clean.stdout + clean.stderr);
  const notes = [...clean.stdout.matchAll(/"name":\s*"([a-z_]+)",\s*"title"/g)].map((match) => match[1]);
  assert.deepEqual([...new Set(notes)].sort(), BY_DESIGN);

  await database.sql`create table public.forgotten (id int)`;
  await database.sql`grant select on public.forgotten to anon`;
  const dirty = await advise("warn");
  assert.notEqual(dirty.code, 0);
  assert.match(dirty.stdout + dirty.stderr, /rls_disabled_in_public/);
});

// Roles of viewers have no access.
for (const role of ["anon", "authenticated"] as const) {
  Deno.test(`${role}: every function, table and view → refused`, async () => {
    await using database = await createTestDatabase();
    assert.deepEqual(await openDoors(database, role), []);
    await database.sql`grant execute on function public.sweep() to anon, authenticated`;
    assert.deepEqual(await openDoors(database, role), ["select public.sweep()"]);
  });
}

Deno.test("service_role: reads the queue → allowed; writes → refused", async () => {
  await using database = await createTestDatabase();
  await database.serviceRole`select * from public.video_queue`;
  await database.serviceRole`select * from public.operator`;
  await database.sql`insert into public.providers (name, recipe, rights) values ('a', 'page', 'own work')`;
  await database
    .sql`insert into public.video_queue (mal_id, episode, provider, video_url) values (1, 1, 'a', 'https://a.test/')`;
  await database.sql`update public.video_queue set status = 'failed', terminal_at = now(), attempts = 3 where true`;
  await database.serviceRole`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
  const [row] = await database.serviceRole`select status, attempts, terminal_at from public.video_queue`;
  assert.deepEqual({ ...row }, { status: "pending", attempts: 0, terminal_at: null }, "the documented statement");
  for (
    const write of [
      "insert into public.video_queue (mal_id, episode, provider, video_url) values (1, 1, 'a', 'https://a.test/')",
      "update public.video_queue set lease_token = null where true",
      "update public.video_queue set attempts = 0 where true",
      "delete from public.video_store where true",
      "update public.video_replicas set state = 'verified' where true",
      "select * from keepstream.events",
      "select keepstream.send_notification()",
    ]
  ) {
    assert.equal(await outcome(database.serviceRole.unsafe(write)), "42501", write);
  }
});
