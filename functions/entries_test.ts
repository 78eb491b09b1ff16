// Every entry point as its own program, with only its own configuration: the two functions and Deno Deploy's main.ts.
import assert from "node:assert/strict";
import { spawnFunction, startFunction } from "../dev/testing/function_process.ts";
import { createFunctionFixture } from "../dev/testing/function_fixture.ts";

const ENTRIES = [
  {
    entry: "functions/streaming/index.ts",
    config: "functions/streaming/deno.json",
    paths: ["/streaming/health", "/streaming/1/1"],
  },
  {
    entry: "functions/archive/index.ts",
    config: "functions/archive/deno.json",
    paths: ["/archive/health", "/archive/counts"],
  },
  { entry: "functions/main.ts", config: "deno.json", paths: ["/api/v1/streaming/1/1", "/api/v1/archive/counts"] },
] as const;

for (const { entry, config, paths } of ENTRIES) {
  Deno.test(`${entry} runs by itself → serves ${paths.join(" and ")}`, async () => {
    await using fixture = await createFunctionFixture();
    await using program = await startFunction({ entry, config, env: fixture.env });
    for (const path of paths) {
      const response = await fetch(program.url + path, { headers: { apikey: fixture.secretKey } });
      assert.deepEqual([response.status, (await response.json()).success], [200, true], path);
    }
  });
}

for (const serve of [false, true]) {
  Deno.test(`main.ts by deno ${serve ? "serve" : "run"}: documented environment → both functions respond`, async () => {
    await using fixture = await createFunctionFixture();
    const documented = await Deno.readTextFile(new URL("../.env.example", import.meta.url));
    for (const name of Object.keys(fixture.env)) assert.match(documented, new RegExp(`^(# )?${name}=`, "m"));
    await using program = await startFunction({
      entry: "functions/main.ts",
      config: "deno.json",
      env: fixture.env,
      serve,
    });
    for (const path of ["streaming/health", "streaming/1/1", "archive/health", "archive/counts"]) {
      const response = await fetch(`${program.url}/api/v1/${path}`, { headers: { apikey: fixture.secretKey } });
      assert.deepEqual([response.status, (await response.json()).success], [200, true], path);
    }
  });

  Deno.test(`main.ts by deno ${serve ? "serve" : "run"}: spoofed addresses → the rate limit holds`, async () => {
    await using fixture = await createFunctionFixture();
    await fixture.database.admin`update keepstream.settings set client_requests_per_minute = 3 where true`;
    const env = { ...fixture.env, DENO_DEPLOYMENT_ID: "x", CLIENT_ADDRESS_HEADER: "cf-connecting-ip" };
    await using program = await startFunction({ entry: "functions/main.ts", config: "deno.json", env, serve });
    const statuses = [];
    for (let turn = 1; turn <= 4; turn++) {
      const spoofed = `198.51.100.${turn}`;
      const headers = { "x-forwarded-for": spoofed, "cf-connecting-ip": spoofed, "x-real-ip": spoofed };
      const response = await fetch(`${program.url}/api/v1/streaming/1/1`, { headers });
      await response.body?.cancel();
      statuses.push(response.status);
    }
    assert.deepEqual(statuses, [200, 200, 200, 429]);
  });
}

Deno.test("streaming: a configured header never arrives → the rate limit holds", async () => {
  await using fixture = await createFunctionFixture();
  await fixture.database.admin`update keepstream.settings set client_requests_per_minute = 3 where true`;
  const env = { ...fixture.env, CLIENT_ADDRESS_HEADER: "x-never-sent" };
  await using program = await startFunction({ entry: "functions/streaming/index.ts", env });
  const statuses = [];
  for (let turn = 1; turn <= 4; turn++) {
    const response = await fetch(`${program.url}/streaming/1/1`);
    await response.body?.cancel();
    statuses.push(response.status);
  }
  assert.deepEqual(statuses, [200, 200, 200, 429]);
});

Deno.test("a function without its environment → exits and names what is missing", async () => {
  const { code, stderr } = await spawnFunction({ ...ENTRIES[0], env: {} }).output();
  const text = new TextDecoder().decode(stderr);
  assert.notEqual(code, 0);
  for (const name of ["SUPABASE_URL", "CLOUDFLARE_WORKERS_URL", "STREAM_SIGNING_KEYS"]) {
    assert.ok(text.includes(name), text);
  }
});
