import assert from "node:assert/strict";
import { afterAbandoned } from "./abandoned.ts";
import { FIXED_PORTS, fixedPorts, type Ports } from "../system/ports.ts";
import { SetupError } from "./setup_error.ts";

/** A process that uses a port until its input ends. */
async function holdPort(): Promise<{ port: number; child: Deno.ChildProcess }> {
  const code = `const l = Deno.listen({ hostname: "127.0.0.1", port: 0 }); console.log(l.addr.port);
    for await (const _ of Deno.stdin.readable);`;
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", code], stdin: "piped", stdout: "piped" }).spawn();
  const reader = child.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  reader.releaseLock();
  return { port, child };
}

const portsWith = (runner: number) =>
  Object.fromEntries(Object.keys(FIXED_PORTS).map((part) => [part, part === "runner" ? runner : 0])) as Ports;

Deno.test("start after kill -9: processes still ending → waits for them", async () => {
  const { port, child } = await holdPort();
  const lines: string[] = [];
  const chosen = await afterAbandoned(() => fixedPorts(portsWith(port)), {
    pids: [child.pid],
    log(_part, line) {
      lines.push(line);
      void child.stdin.close(); // it ends only now
    },
  });
  assert.equal(chosen.runner, port);
  assert.deepEqual(lines, ["waiting for the ports of a killed system, which is still ending"]);
  await child.stdout.cancel();
  await child.status;
});

Deno.test("start: another program has the port → immediate error", async () => {
  const { port, child } = await holdPort();
  const { pid, status } = new Deno.Command("true").spawn();
  await status; // it has ended
  await assert.rejects(
    afterAbandoned(() => fixedPorts(portsWith(port)), { pids: [pid], log: () => assert.fail("waits") }),
    (error) => error instanceof SetupError && error.code === "port_taken",
  );
  await child.stdin.close();
  await child.stdout.cancel();
  await child.status;
});
