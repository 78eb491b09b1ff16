/** What a role that should be able to do nothing can do all the same: every function, table, view and sequence is tried. */
import assert from "node:assert/strict";
import type { TestDatabase } from "../../dev/testing/test_database.ts";
import { outcome } from "./rpc.ts";

export async function openDoors(database: TestDatabase, role: "anon" | "authenticated"): Promise<string[]> {
  const functions = await database.sql<{ call: string }[]>`
    select format('select public.%I(%s)', p.proname,
      (select string_agg('null::' || format_type(t, null), ', ') from unnest(p.proargtypes) t)) as call
    from pg_proc p where p.pronamespace = 'public'::regnamespace order by 1`;
  const relations = await database.sql<{ name: string; kind: string }[]>`
    select c.oid::regclass::text as name, c.relkind as kind from pg_class c
    where c.relnamespace in ('public'::regnamespace, 'keepstream'::regnamespace) and c.relkind in ('r', 'v', 'S') order by 1`;
  assert.ok(functions.length >= 26 && relations.length >= 19, "the schema was not found");

  const attempts = functions.map((row) => row.call);
  for (const { name, kind } of relations) {
    attempts.push(`select * from ${name}`);
    if (kind === "r") {
      attempts.push(`delete from ${name} where true`, `insert into ${name} default values`, `truncate ${name}`);
    }
  }
  const client = database.connect(role, { max: 1 });
  const open: string[] = [];
  for (const attempt of attempts) {
    if (await outcome(client.unsafe(attempt)) !== "42501") open.push(attempt);
  }
  return open;
}
