/** Links of all documents, the variables they list, and the figures of states against the database. */
import assert from "node:assert/strict";
import { dirname, normalize } from "node:path/posix";
import { createTestDatabase } from "../testing/test_database.ts";
import { blocksOf, headingsOf, linksOf } from "./markdown.ts";
import { trackedFiles } from "./tracked_files.ts";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string) => Deno.readTextFile(new URL(path, ROOT));

/** Links of a document that lead to no file, or to no heading of it. */
async function brokenLinks(path: string, text: string): Promise<readonly string[]> {
  const broken: string[] = [];
  for (const link of linksOf(text)) {
    if (/^(https?|mailto):/.test(link)) continue;
    const [file, anchor] = link.split("#") as [string, string | undefined];
    const target = file === "" ? path : normalize(`${dirname(path)}/${file}`);
    const stat = await Deno.stat(new URL(target, ROOT)).catch(() => null);
    if (stat === null) broken.push(`${path}: ${link} does not exist`);
    else if (anchor !== undefined && !headingsOf(await read(target)).some((heading) => heading.anchor === anchor)) {
      broken.push(`${path}: ${link} is not a heading`);
    }
  }
  return broken;
}

Deno.test("documents: links → files and headings that exist", async () => {
  const documents = await trackedFiles(/\.md$/);
  const broken = await Promise.all(documents.map(({ path, text }) => brokenLinks(path, text)));
  assert.deepEqual(broken.flat(), []);
});

Deno.test("documents: a link to a missing file or heading → named", async () => {
  const text = "[a](docs/none.md) [b](README.md#none) [c](#here)\n# Here\n```\n[d](none)\n```\n";
  assert.deepEqual(await brokenLinks("README.md", text), [
    "README.md: docs/none.md does not exist",
    "README.md: README.md#none is not a heading",
    "README.md: #here is not a heading",
  ]);
});

Deno.test("environment.md: variables → those of .env.example", async () => {
  const listed = new Set(
    [...(await read("docs/reference/environment.md")).matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map((match) => match[1]!),
  );
  const example = await read(".env.example");
  const explained = new Set(
    [...example.matchAll(/^(?:# )?([A-Z][A-Z0-9_]+)=/gm)].map((match) => match[1]!.replace(/_1$/, "_N")),
  );
  const onlyLocal = ["KEEPSTREAM_DATA_DIR", "KEEPSTREAM_TEST_POSTGRES_URL"];
  assert.deepEqual([...listed].filter((name) => !explained.has(name) && !onlyLocal.includes(name)), []);
  assert.deepEqual([...explained].filter((name) => !listed.has(name)), []);
});

/** `from → to` of each arrow in a mermaid state diagram, without the start. */
function transitionsOf(diagram: string): readonly string[] {
  return [...diagram.matchAll(/^ *(\w+) --> (\w+)/gm)].map(([, from, to]) => `${from} → ${to}`).sort();
}

Deno.test("queue.md: figures of states → the database's", async () => {
  const [jobs, copies] = blocksOf(await read("docs/reference/queue.md"), "mermaid");
  await using database = await createTestDatabase();
  const [row] = await database.sql`
    select pg_get_functiondef('keepstream.apply_status_change'::regproc) as body,
      (select string_agg(pg_get_constraintdef(oid), ' ') from pg_constraint where conname = 'replica_state_is_known') as states`;
  const [, list] = /\(old\.status, new\.status\) not in \(([\s\S]*?)\) then/.exec(row!.body)!;
  const allowed = [...list!.matchAll(/\('(\w+)', '(\w+)'\)/g)].map(([, from, to]) => `${from} → ${to}`);
  assert.deepEqual(transitionsOf(jobs!), [...allowed, "uploading → ready"].sort());
  const states = [...row!.states.matchAll(/'(\w+)'/g)].map((match) => match[1]!).sort();
  const shown = new Set(transitionsOf(copies!).flatMap((one) => one.split(" → ")));
  assert.deepEqual([...shown].sort(), states);
});
