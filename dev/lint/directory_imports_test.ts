import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import plugin from "./directory_imports.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

function messages(path: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, ROOT + path, source).map((found) => found.message);
}

const REFUSED: readonly [title: string, path: string, source: string, message: RegExp][] = [
  [
    "functions importing runner",
    "functions/streaming/routes.ts",
    `import { a } from "../../runner/a.ts";`,
    /not runner/,
  ],
  ["runner importing functions by re-export", "runner/a.ts", `export * from "../functions/a.ts";`, /not functions/],
  ["a named re-export", "runner/a.ts", `export { a } from "../cf-proxy/a.ts";`, /not cf-proxy/],
  ["a dynamic import", "sources/a.ts", `const a = await import("../runner/a.ts");`, /not runner/],
  ["a type import", "core/a.ts", `import type { A } from "../sources/a.ts";`, /nothing but itself/],
  ["an inline type import", "core/a.ts", `export type A = import("../sources/a.ts").A;`, /nothing but itself/],
  ["production importing dev", "runner/a.ts", `import "../dev/system.ts";`, /not dev/],
  ["a test importing a sibling", "runner/a_test.ts", `import "../functions/a.ts";`, /not functions/],
  ["a way round through ..", "core/a.ts", `import "../core/../runner/a.ts";`, /not runner/],
  ["a computed import", "runner/a.ts", `const a = await import(name);`, /cannot be checked/],
  ["a version outside the import map", "runner/a.ts", `import { z } from "npm:zod@4";`, /import_map/],
  ["a URL outside the import map", "tests/a.ts", `import "https://example.test/a.ts";`, /import_map/],
  ["zod in the Worker", "cf-proxy/a.ts", `import { z } from "zod";`, /zod/],
  ["a file outside of the repository", "runner/a.ts", `import "../../a.ts";`, /outside/],
  ["the clock in core", "core/a.ts", `export const a = () => Date.now();`, /core is pure/],
  ["an argumentless Date in core", "core/a.ts", `export const a = () => new Date();`, /core is pure/],
  ["fetch in core", "core/a.ts", `export const a = () => fetch("https://a.test");`, /core is pure/],
  ["Deno in core", "core/a.ts", `export const a = Deno.args;`, /core is pure/],
  ["the environment outside env.ts", "runner/a.ts", `const a = Deno.env.get("A");`, /env\.ts/],
];

for (const [title, path, source, message] of REFUSED) {
  Deno.test(`directory imports: ${title} → refused`, () => {
    const found = messages(path, source);
    assert.equal(found.length, 1, found.join("; "));
    assert.match(found[0]!, message);
  });
}

const ALLOWED: readonly [title: string, path: string, source: string][] = [
  [
    "functions importing core and sources",
    "functions/a/app.ts",
    `import "../../core/a.ts"; export * from "../../sources/a.ts";`,
  ],
  ["a directory importing itself", "runner/a/b.ts", `import "../c.ts"; await import("./d.ts");`],
  ["a test importing dev", "runner/a_test.ts", `import "../dev/system.ts";`],
  [
    "tests importing everything",
    "tests/a.ts",
    `import "../runner/a.ts"; import "../functions/a.ts"; import "../dev/a.ts";`,
  ],
  ["a bare name of the import map", "runner/a.ts", `import { z } from "zod";`],
  ["the environment in env.ts", "runner/env.ts", `const a = Deno.env.toObject();`],
  ["a Date from a number in core", "core/a.ts", `export const a = (ms: number) => new Date(ms);`],
];

for (const [title, path, source] of ALLOWED) {
  Deno.test(`directory imports: ${title} → allowed`, () => assert.deepEqual(messages(path, source), []));
}
