/**
 * Runs supabase/tests/database as `supabase test db` does, without Docker: pgTAP is plain SQL, taken
 * from the Debian package of any PostgreSQL version and loaded into the test's database.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createTestDatabase } from "../../dev/testing/test_database.ts";
import { findPackage, HAS_APT, unpack } from "./debian_package.ts";

const TESTS = new URL("../../supabase/tests/database/", import.meta.url);
const CACHE = new URL("../../.keepstream/pgtap/", import.meta.url).pathname;

for await (const { name: file } of Deno.readDir(TESTS)) {
  if (!file.endsWith(".test.sql")) continue;
  Deno.test({
    name: `pgTAP: ${file} → all pass`,
    ignore: !HAS_APT, // pgTAP comes from Debian; on other systems `supabase test db` runs these files
    async fn() {
      await using database = await createTestDatabase();
      await database.connect("supabase_admin", { max: 1 }).unsafe(`set search_path = extensions; ${await readPgtap()}`)
        .simple();
      const sql = database.connect("postgres", { max: 1 });
      // As in a used project: the provider exists without rights, and there is a video.
      await sql`insert into public.providers (name, recipe, rights) values ('animasu', 'catalogue', null), ('own', 'page', 'own work')`;
      await sql`select public.enqueue_video(7, 1, 'own', 'https://a.test/v.mp4')`;
      const results = await sql.unsafe(await Deno.readTextFile(new URL(file, TESTS))).simple();
      const lines = results.flat().flatMap((row) => Object.values(row as object)).filter((value) =>
        typeof value === "string"
      );
      const planned = Number(lines.find((line) => /^1\.\.\d+$/.test(line))?.slice(3));
      const verdicts = lines.filter((line) => /^(not )?ok \d+/.test(line));
      const complaints = lines.filter((line) => /^(not ok|#)/m.test(line));
      assert.deepEqual(complaints, []);
      assert.equal(verdicts.length, planned);
    },
  });
}

async function readPgtap(): Promise<string> {
  const script = await findScript(CACHE) ?? await download();
  const text = await Deno.readTextFile(script);
  return text.replaceAll(/^\\.*$/gm, ""); // psql meta-commands
}

async function download(): Promise<string> {
  const name = await findPackage("^postgresql-[0-9]+-pgtap$");
  await unpack([name], CACHE);
  const script = await findScript(CACHE);
  assert.ok(script, `${name} has no pgtap--x.y.z.sql`);
  return script;
}

async function findScript(folder: string): Promise<string | undefined> {
  if (!await exists(folder)) return undefined;
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isFile && /^pgtap--\d+\.\d+\.\d+\.sql$/.test(entry.name)) return path;
    const inside = entry.isDirectory ? await findScript(path) : undefined;
    if (inside) return inside;
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
