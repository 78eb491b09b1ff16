// Every entry as its own program, with nothing but its own configuration: the two functions and Deno Deploy's main.ts.
import assert from "node:assert/strict";
import { createFunctionRig } from "../dev/function_rig.ts";

const ROOT = new URL("..", import.meta.url).pathname;

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

function start({ entry, config }: typeof ENTRIES[number], env: Readonly<Record<string, string>>) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-lock", "--allow-net", "--allow-env", "--config", config, entry],
    cwd: ROOT,
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "",
      HOME: Deno.env.get("HOME") ?? "",
      ...(Deno.env.has("DENO_DIR") && { DENO_DIR: Deno.env.get("DENO_DIR")! }),
      ...env,
    },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

async function answered(url: string, init: RequestInit): Promise<Response> {
  for (let turn = 0; turn < 600; turn++) {
    const response = await fetch(url, init).catch(() => null);
    if (response !== null) return response;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} never answered`);
}

for (const program of ENTRIES) {
  Deno.test(`${program.entry} runs by itself and answers ${program.answers.join(" and ")}`, async () => {
    await using rig = await createFunctionRig();
    const port = freePort();
    const child = start(program, { ...rig.env, DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}` });
    try {
      for (const path of program.answers) {
        const response = await answered(`http://127.0.0.1:${port}${path}`, { headers: { apikey: rig.secretKey } });
        assert.deepEqual([response.status, (await response.json()).success], [200, true], path);
      }
    } finally {
      child.kill("SIGTERM");
      await Promise.all([child.status, child.stdout.cancel(), child.stderr.cancel()]);
    }
  });
}

Deno.test("a function without its environment ends at once and names what is missing", async () => {
  const { code, stderr } = await start(ENTRIES[0], {}).output();
  const text = new TextDecoder().decode(stderr);
  assert.notEqual(code, 0);
  for (const name of ["SUPABASE_URL", "CLOUDFLARE_WORKERS_URL", "STREAM_SIGNING_KEYS"]) {
    assert.ok(text.includes(name), text);
  }
});
