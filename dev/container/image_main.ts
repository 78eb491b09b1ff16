/**
 * `deno task image:try [DIR]`: makes the image's root with mmdebstrap (in .keepstream/image-root, which is reused) and runs the exact CMD
 * in it. Writes bench/results/image.json if all checks pass. Needs Linux, root and mmdebstrap.
 */
import assert from "node:assert/strict";
import { commandLine } from "../../cli/command_line.ts";
import { startRunnerFixture } from "../testing/runner_fixture.ts";
import { startOwnCluster } from "../../tests/runner/own_cluster.ts";
import { makeImageRoot } from "./image_root.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

const { positionals: [folder] } = commandLine({ usage: "usage: deno task image:try [DIR]", positionals: 1 });
const image = await makeImageRoot(folder ?? `${ROOT}.keepstream/image-root`);
const { dockerfile } = image;
console.log(`${dockerfile.base}: ${Object.entries(image.packages).map((pair) => pair.join(" ")).join(", ")}`);

const checks: string[] = [];
function passed(check: string): void {
  checks.push(check);
  console.log(`ok: ${check}`);
}

await using cluster = await startOwnCluster();
await using fixture = await startRunnerFixture({ accounts: 2, cluster: cluster.url });
const inImage = (env: Record<string, string>) => {
  const all = { ...fixture.env, ...env };
  const { RUNNER_WORK_DIR: _, ...variables } = all; // the image uses its own default
  return fixture.spawn("image", { enter: image.enter(variables), command: dockerfile.cmd, env });
};

{
  const runner = inImage({});
  const { port } = await runner.saw("runner:started");
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  assert.deepEqual([health.status, (await health.json()).storage_accounts], [200, 2]);
  passed("CMD as uid 1000 with a read-only root serves: /health 200");
  for (const [i, medium] of fixture.origin.media.entries()) {
    const id = await fixture.enqueue({ ...await fixture.videoOf(medium.name), episode: i + 1 });
    const row = await fixture.until(id, (row) => row.status === "ready" || row.terminal_at !== null, 180);
    assert.equal(row.status, "ready", runner.lines.join("\n"));
    await runner.saw("job:finished", (line) => line.id === id);
    assert.ok(!runner.lines.some((line) => line.includes("extras:failed")), runner.lines.join("\n"));
    passed(`${medium.name} is archived on two accounts, with its pictures`);
  }
  runner.child.kill("SIGTERM");
  assert.equal((await runner.ended).code, 0);
  passed("SIGTERM ends it with 0");
}
{
  const runner = inImage({ DEV_ALLOWED_ORIGINS: "" });
  const { port } = await runner.saw("runner:started");
  const [program, ...args] = [...image.enter({ PORT: String(port) }), ...dockerfile.healthcheck];
  const check = async () => (await new Deno.Command(program!, { args, stderr: "null" }).output()).code;
  assert.equal(await check(), 0);
  passed("without development settings it listens on 0.0.0.0, and HEALTHCHECK passes at its port");
  runner.child.kill("SIGTERM");
  assert.equal((await runner.ended).code, 0);
  assert.notEqual(await check(), 0);
  passed("HEALTHCHECK fails when it has ended");
}

const result = {
  at: new Date().toISOString(),
  base: dockerfile.base,
  deno: Deno.version.deno,
  packages: image.packages,
  checks,
};
await Deno.writeTextFile(`${ROOT}bench/results/image.json`, JSON.stringify(result, null, 2) + "\n");
