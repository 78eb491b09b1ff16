// `deno test` as typed without knowledge of `deno task test`.
import assert from "node:assert/strict";
import { CLUSTER_VARIABLE } from "./test_cluster.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

const moduleText = (body: string) => `
  import { createTestDatabase } from "${ROOT}dev/testing/test_database.ts";
  Deno.test("a database", async () => {
    await using database = await createTestDatabase();
    const [row] = await database.sql\`select count(*) as n from public.providers\`;
    console.log("port", new URL(database.url).port, row.n);
    ${body}
  });`;

interface Started extends AsyncDisposable {
  readonly child: Deno.ChildProcess;
}

async function startDenoTest(flags: readonly string[], modules: readonly string[]): Promise<Started> {
  const dir = await Deno.makeTempDir();
  const files = modules.map((_, index) => `${dir}/m${index}_test.ts`);
  for (const [index, text] of modules.entries()) await Deno.writeTextFile(files[index]!, text);
  const { [CLUSTER_VARIABLE]: _, ...env } = Deno.env.toObject();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-check", "--config", `${ROOT}deno.json`, "--no-lock", ...flags, ...files],
    clearEnv: true,
    env: { ...env, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return {
    child,
    async [Symbol.asyncDispose]() {
      await child.status;
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** Resolves when the port is free. */
async function closed(port: number): Promise<void> {
  for (;;) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => null);
    if (connection === null) return;
    connection.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

for (const flags of [["-A", "--parallel"], ["-P"]]) {
  Deno.test(`deno test ${flags.join(" ")}: no cluster → one for all files, removed`, async () => {
    await using started = await startDenoTest(flags, [moduleText(""), moduleText(""), moduleText("")]);
    const { code, stdout, stderr } = await started.child.output();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.equal(code, 0, text);
    const ports = [...text.matchAll(/port (\d+) \d+/g)].map((match) => Number(match[1]));
    assert.equal(ports.length, 3, text);
    assert.equal(new Set(ports).size, 1, "one cluster");
    await closed(ports[0]!);
  });
}

Deno.test("deno test: killed with -9 → its cluster ends as well", async () => {
  await using started = await startDenoTest(["-A"], [
    moduleText("await new Promise((done) => setTimeout(done, 1e9));"),
  ]);
  let text = "";
  const output = started.child.stdout.pipeThrough(new TextDecoderStream());
  for await (const part of output.values({ preventCancel: true })) if (/port \d+ /.test(text += part)) break;
  started.child.kill("SIGKILL");
  await Promise.all([output.cancel(), started.child.stderr.cancel()]);
  await closed(Number(/port (\d+)/.exec(text)![1]));
});
