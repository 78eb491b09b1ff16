import assert from "node:assert/strict";
import { addRelease, findProblems, readMigrationFiles, readReleases } from "./released_migrations.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

async function releasedPair() {
  const files = new Map([["1_tables.sql", bytes("create table a ();")], ["3_functions.sql", bytes("select 1;")]]);
  return { files, releases: await addRelease(files, {}, "0.1.0") };
}

Deno.test("migrations: those of this repository → as released", async () => {
  assert.deepEqual(await findProblems(await readMigrationFiles(), await readReleases()), []);
});

Deno.test("migrations: a later file → allowed, and part of the next release", async () => {
  const { files, releases } = await releasedPair();
  files.set("4_more.sql", bytes("select 2;"));
  assert.deepEqual(await findProblems(files, releases), []);
  const next = await addRelease(files, releases, "0.2.0");
  assert.deepEqual(next["0.1.0"], releases["0.1.0"]);
  assert.deepEqual(Object.keys(next["0.2.0"]!), ["4_more.sql"]);
  files.set("4_more.sql", bytes("select 3;"));
  assert.match((await findProblems(files, next)).join(), /4_more\.sql was released in 0\.2\.0 and has changed/);
});

Deno.test("migrations: a released file is edited → named, with what to do", async () => {
  const { files, releases } = await releasedPair();
  files.set("1_tables.sql", bytes("create table a (); "));
  assert.deepEqual(await findProblems(files, releases), [
    "1_tables.sql was released in 0.1.0 and has changed: restore it, and write a new migration (docs/guide/change-the-database.md)",
  ]);
});

Deno.test("migrations: a released file is removed or renamed → named", async () => {
  const { files, releases } = await releasedPair();
  files.set("5_functions.sql", files.get("3_functions.sql")!);
  files.delete("3_functions.sql");
  assert.deepEqual(await findProblems(files, releases), [
    "3_functions.sql was released in 0.1.0 and is missing: restore it",
  ]);
});

Deno.test("migrations: a new file sorts before a released one → named", async () => {
  const { files, releases } = await releasedPair();
  files.set("2_between.sql", bytes("select 2;"));
  assert.match((await findProblems(files, releases)).join(), /^2_between\.sql sorts before 3_functions\.sql/);
});
