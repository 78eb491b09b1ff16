import assert from "node:assert/strict";
import { CASES, casesOf, readCases, render } from "./conformance_table.ts";

Deno.test("conformance table: every case from 1 to 64 has a test, and docs/proxy.md shows exactly these", async () => {
  const cases = await readCases();
  const numbers = new Set(cases.map(({ number }) => number));
  const missing = Array.from({ length: CASES }, (_, i) => i + 1).filter((number) => !numbers.has(number));
  assert.deepEqual(missing, []);
  const document = await Deno.readTextFile(new URL("../../docs/proxy.md", import.meta.url));
  assert.equal(render(document, cases), document, "run deno run -A dev/testing/conformance_table.ts");
});

Deno.test("conformance table: titles are read from calls over several lines, with quotes inside", () => {
  const source =
    'conformance(\n  3,\n  "a \\"b\\" c",\n  async () => {});\nDeno.test("conformance 54: d", f);\narchive(59, `${x} e`, f);';
  assert.deepEqual(casesOf(source, "x_test.ts").map(({ number, title }) => [number, title]), [[3, 'a "b" c'], [
    59,
    "429, 500, 403, 404 e",
  ], [54, "d"]]);
});
