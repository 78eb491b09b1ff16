import assert from "node:assert/strict";
import { manifestJsonSchema } from "./manifest_schema.ts";

Deno.test("manifest.schema.json: published → equals what the code reads", async () => {
  const published = await Deno.readTextFile(new URL("../docs/reference/manifest.schema.json", import.meta.url));
  assert.deepEqual(JSON.parse(published), manifestJsonSchema(), "run: deno task openapi");
});
