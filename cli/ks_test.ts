import assert from "node:assert/strict";
import { CommandError, HelpRequest } from "./command_line.ts";
import { NO_SYSTEM, runKs } from "./command_process.ts";
import { COMMANDS } from "./commands.ts";
import { ks } from "./ks.ts";

const { tasks } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url))) as {
  tasks: Record<string, { command: string }>;
};

Deno.test("ks: --help → every command with one line, and the exit codes", async () => {
  await assert.rejects(ks(["--help"], {}), (error) => {
    assert.ok(error instanceof HelpRequest);
    for (const [name, { summary }] of Object.entries(COMMANDS)) {
      assert.match(error.message, new RegExp(`^ {2}${name} +${summary}$`, "m"));
    }
    assert.match(error.message, /^Exit codes: 0 done, 1 failed/m);
    return true;
  });
});

for (
  const [typed, words] of [
    ["video", /^unknown command video: did you mean videos\?/],
    ["catalog", /did you mean catalogue\?/],
    ["Storage", /did you mean storage\?/],
    ["xyz", /^unknown command xyz: there are videos, providers, /],
    ["toString", /^unknown command toString: /],
    ["--json", /^unknown option --json\nusage: /],
  ] as const
) {
  Deno.test(`ks: ${typed} → CommandError with a hint`, async () => {
    await assert.rejects(ks([typed], {}), (error) => error instanceof CommandError && words.test(error.message));
  });
}

Deno.test("ks: no command → the usage and exit code 2; --help → exit code 0", async () => {
  const none = await runKs("--help", [], NO_SYSTEM);
  assert.deepEqual([none.code, none.err], [0, ""]);
  assert.match(none.out, /^usage: deno task ks <command>/);
  const unknown = await runKs("vidoes", [], NO_SYSTEM);
  assert.deepEqual([unknown.code, unknown.out], [2, ""]);
  assert.match(unknown.err, /did you mean videos\?/);
});

for (const name of Object.keys(COMMANDS)) {
  Deno.test(`ks ${name}: --help → its usage; a wrong option → exit code 2`, async () => {
    const help = await runKs(name, ["--help"], NO_SYSTEM);
    assert.deepEqual([help.code, help.err], [0, ""]);
    assert.match(help.out, new RegExp(`^usage:\\s+deno task (ks )?${name}\\b`));
    const wrong = await runKs(name, ["--nonsense"], NO_SYSTEM);
    assert.deepEqual([wrong.code, wrong.out], [2, ""], wrong.err);
  });
}

Deno.test("ks: every operator task of deno.json → an alias of a command", () => {
  const aliases: Readonly<Record<string, string>> = { "provider:check": "check" };
  for (const task of ["videos", "providers", "provider:check", "catalogue", "storage", "sign", "env"]) {
    assert.equal(tasks[task]?.command, `deno run -A cli/main.ts ${aliases[task] ?? task}`);
  }
});
