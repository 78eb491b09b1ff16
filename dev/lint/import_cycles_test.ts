import { deepStrictEqual } from "node:assert/strict";
import { folderGraph, graphOf, importCycles } from "./import_cycles.ts";
import { trackedFiles } from "./tracked_files.ts";

const productionFiles = async () => (await trackedFiles(/\.ts$/)).filter(({ path }) => !path.endsWith("_test.ts"));

Deno.test("import cycles: between files → none", async () => {
  deepStrictEqual(importCycles(graphOf(await productionFiles())), []);
});

Deno.test("import cycles: between folders → none", async () => {
  deepStrictEqual(importCycles(folderGraph(graphOf(await productionFiles()))), []);
});

Deno.test("import cycles: two files that import each other → one cycle", () => {
  const files = [
    { path: "runner/a/one.ts", text: 'import { two } from "../b/two.ts";\n' },
    { path: "runner/b/two.ts", text: 'export {\n  one,\n} from "../a/one.ts";\n' },
    { path: "runner/b/three.ts", text: 'import type { Two } from "./two.ts";\n' },
  ];
  deepStrictEqual(importCycles(graphOf(files)), [["runner/a/one.ts", "runner/b/two.ts"]]);
  deepStrictEqual(importCycles(folderGraph(graphOf(files))), [["runner/a", "runner/b"]]);
});
