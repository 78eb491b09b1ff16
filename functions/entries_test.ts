// Every entry as its own program, with nothing but its own configuration: the two functions and Deno Deploy's main.ts.
import assert from "node:assert/strict";
import { spawnFunction, startFunction } from "../dev/function_process.ts";
import { createFunctionRig } from "../dev/function_rig.ts";

const ENTRIES = [
  {
    entry: "functions/streaming/index.ts",
    config: "functions/streaming/deno.json",
    answers: ["/streaming/health", "/streaming/1/1"],
  },
  {
    entry: "functions/archive/index.ts",
    config: "functions/archive/deno.json",
    answers: ["/archive/health", "/archive/counts"],
  },
  { entry: "functions/main.ts", config: "deno.json", answers: ["/api/v1/streaming/1/1", "/api/v1/archive/counts"] },
] as const;

for (const { entry, config, answers } of ENTRIES) {
  Deno.test(`${entry} runs by itself and answers ${answers.join(" and ")}`, async () => {
    await using rig = await createFunctionRig();
    await using program = await startFunction({ entry, config, env: rig.env });
    for (const path of answers) {
      const response = await fetch(program.url + path, { headers: { apikey: rig.secretKey } });
      assert.deepEqual([response.status, (await response.json()).success], [200, true], path);
    }
  });
}

Deno.test("a function without its environment ends at once and names what is missing", async () => {
  const { code, stderr } = await spawnFunction({ ...ENTRIES[0], env: {} }).output();
  const text = new TextDecoder().decode(stderr);
  assert.notEqual(code, 0);
  for (const name of ["SUPABASE_URL", "CLOUDFLARE_WORKERS_URL", "STREAM_SIGNING_KEYS"]) {
    assert.ok(text.includes(name), text);
  }
});
