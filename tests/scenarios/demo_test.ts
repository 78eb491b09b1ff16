/** `deno task demo` as a person and as a machine call it. */
import assert from "node:assert/strict";

const DEMO = new URL("../../dev/demo/main.ts", import.meta.url).pathname;

async function demo(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", DEMO, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

Deno.test("deno task demo --help → the usage and exit code 0", async () => {
  const { code, stdout } = await demo("--help");
  assert.equal(code, 0);
  assert.match(stdout, /--json/);
});

Deno.test("deno task demo with an unknown argument → exit code 2 and the usage", async () => {
  const { code, stderr } = await demo("--fast");
  assert.equal(code, 2);
  assert.match(stderr, /Unknown option '--fast'[^]*usage: deno task demo/);
});

Deno.test("deno task demo --json: two at once → both exit 0, every step reported", async () => {
  const runs = await Promise.all([demo("--json"), demo("--json")]);
  for (const { code, stdout, stderr } of runs) {
    assert.equal(code, 0, stderr + stdout);
    const report = JSON.parse(stdout) as { ok: boolean; steps: { step: string; ok: boolean }[] };
    assert.equal(report.ok, true);
    const expected = [
      "system",
      "ask",
      "archive",
      "play",
      "wake",
      "replicate",
      "compare",
      "ask again",
      "play again",
      "seek",
    ];
    assert.deepEqual(report.steps.map((step) => step.step), expected);
    assert.ok(report.steps.every((step) => step.ok));
  }
});
