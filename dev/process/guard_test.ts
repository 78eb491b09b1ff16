import assert from "node:assert/strict";
import process from "node:process";

const PROGRAM = `
import { startGuard } from "${import.meta.resolve("./guard.ts")}";
import { startService } from "${import.meta.resolve("./service.ts")}";
const guard = startGuard();
const command = ["/bin/sh", "-c", "sleep 600 & echo ready $!; trap '' TERM; wait; sleep 600"];
const options = { env: { PATH: Deno.env.get("PATH") }, guard, log: () => {}, ready: { line: /ready/ } };
const gone = await startService({ name: "gone", command, ...options });
Deno.kill(-gone.pid, "SIGKILL");
await gone.ended;
const service = await startService({ name: "stubborn", command, ...options });
console.log(service.pid, service.readyLine.split(" ")[1]);
await new Promise(() => setInterval(() => {}, 1000));
`;

Deno.test("startGuard: kill -9 → its process groups end, grandchildren included", async () => {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, PROGRAM);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", file],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  let text = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes("\n")) break;
  }
  const pids = text.trim().split(" ").map(Number);
  assert.equal(pids.length, 2);
  assert.deepEqual(pids.map(isAlive), [true, true]);
  child.kill("SIGKILL");
  await child.status;
  while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 50));
  await Deno.remove(file);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !Deno.readTextFileSync(`/proc/${pid}/stat`).includes(") Z ");
  } catch {
    return false;
  }
}
