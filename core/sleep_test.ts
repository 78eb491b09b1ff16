import assert from "node:assert/strict";
import { sleep } from "./sleep.ts";

Deno.test("sleep: no signal, or one that never aborts → resolves", async () => {
  await sleep(0);
  await sleep(0, new AbortController().signal);
});

Deno.test(
  "sleep: aborted → rejects with the reason, timer cleared",
  { sanitizeOps: true },
  async () => {
    const controller = new AbortController();
    const reason = new Error("stop");
    const sleeping = sleep(3_600_000, controller.signal);
    controller.abort(reason);
    await assert.rejects(sleeping, reason);
    await assert.rejects(sleep(3_600_000, controller.signal), reason);
  },
);
