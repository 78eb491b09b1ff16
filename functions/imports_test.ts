// A function's deno.json repeats versions of import_map.json, because the edge runtime reads no other file: they must agree.
import assert from "node:assert/strict";

const root = new URL("..", import.meta.url);

interface ImportMap {
  readonly imports: Readonly<Record<string, string>>;
}

async function readImports(path: string): Promise<Readonly<Record<string, string>>> {
  return (JSON.parse(await Deno.readTextFile(new URL(path, root))) as ImportMap).imports;
}

const slugs = [...Deno.readDirSync(new URL("functions/", root))]
  .filter((entry) => entry.isDirectory && !entry.name.startsWith("_"))
  .map((entry) => entry.name);

/** `npm:hono@4.13.19/cors` → [`hono`, `4.13.19`]. */
function packageOf(specifier: string): readonly [string, string] {
  const match = /^npm:\/?(@[^/]+\/[^@]+|[^@/]+)@([^/]+)/.exec(specifier);
  assert.ok(match, `${specifier} is not an exact npm specifier`);
  return [match[1]!, match[2]!];
}

for (const slug of slugs) {
  Deno.test(`functions/${slug}/deno.json has the versions of import_map.json`, async () => {
    const everywhere = new Map(Object.values(await readImports("import_map.json")).map(packageOf));
    const imports = await readImports(`functions/${slug}/deno.json`);
    for (const specifier of Object.values(imports)) {
      const [name, version] = packageOf(specifier);
      assert.equal(version, everywhere.get(name), name);
    }
  });

  Deno.test(`functions/${slug}/deno.json names no directory: the CLI would upload all of it`, async () => {
    const imports = await readImports(`functions/${slug}/deno.json`);
    for (const [name, specifier] of Object.entries(imports)) assert.ok(!name.endsWith("/"), `${name}: ${specifier}`);
  });

  Deno.test(`functions/${slug}/deno.lock is the edge's version 4, for the imports of deno.json`, async () => {
    const lock = JSON.parse(await Deno.readTextFile(new URL(`functions/${slug}/deno.lock`, root)));
    const imports = Object.values(await readImports(`functions/${slug}/deno.json`));
    const packages = [...new Set(imports.map((one) => `npm:${packageOf(one).join("@")}`))];
    assert.equal(lock.version, "4");
    assert.deepEqual(Object.keys(lock.specifiers).sort(), packages.sort());
  });
}
