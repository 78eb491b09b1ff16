// Every task of deno.json as a process: --help, and arguments that do not exist.
import assert from "node:assert/strict";

const ROOT = new URL("..", import.meta.url).pathname;
const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
  tasks: Record<string, { command: string }>;
};

/** The name in the usage: aliases of `ks` commands print the usage of the command. */
function usageOf(task: string): string {
  const command = / cli\/main\.ts (\w+)$/.exec(tasks[task]!.command)?.[1];
  return command === undefined ? task : `(ks )?${command}`;
}

/** Runs a task's command without the line of the task runner. */
async function run(task: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [deno, ...command] = tasks[task]!.command.split(" ");
  assert.equal(deno, "deno");
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [command[0]!, "--quiet", ...command.slice(1), ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", KEEPSTREAM_DATA_DIR: "/nonexistent" },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

for (const task of Object.keys(tasks)) {
  Deno.test(`deno task ${task}: --help → the usage; a wrong option → exit code 2`, async () => {
    const help = await run(task, "--help");
    assert.deepEqual([help.code, help.err], [0, ""]);
    assert.match(help.out, new RegExp(`^usage:\\s+deno task ${usageOf(task)}\\b`));
    if (task === "test") return; // its options are those of deno test
    const wrong = await run(task, "--nonsense");
    assert.deepEqual([wrong.code, wrong.out], [2, ""], wrong.err);
    assert.doesNotMatch(wrong.err, /^\s+at .*\.ts/m, "no stack trace");
  });
}
