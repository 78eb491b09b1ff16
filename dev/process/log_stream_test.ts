import assert from "node:assert/strict";
import { createLogStream } from "./log_stream.ts";

Deno.test("log stream: a service's line → no escapes except its name's colour", () => {
  const written: string[] = [];
  for (const colour of [true, false]) {
    const log = createLogStream((text) => written.push(text), { colour });
    log("runner", "found \u001b]0;owned\u0007\u001b[2J\u009b31m\u202eold\r\nproxy     | forged");
  }
  const text = "found ]0;owned[2J31mold proxy     | forged";
  assert.deepEqual(written, [`\u001b[36mrunner    |\u001b[0m ${text}`, `runner    | ${text}`]);
});
