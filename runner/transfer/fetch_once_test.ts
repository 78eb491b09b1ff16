// The timeouts of a response, with a simulated clock.

import assert from "node:assert/strict";
import { mock } from "node:test";
import { fetchOnce } from "./fetch_once.ts";
import { DEFAULT_TIMES } from "./retry.ts";

/** A response with one byte after each wait, in seconds. */
function trickling(waits: readonly number[]): typeof fetch {
  return (_input, init) => {
    const left = [...waits];
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => init?.signal?.addEventListener("abort", () => controller.error(init.signal!.reason)),
      pull(controller) {
        const seconds = left.shift();
        if (seconds === undefined) return controller.close();
        mock.timers.tick(seconds * 1000);
        if (!init?.signal?.aborted) controller.enqueue(new Uint8Array([32]));
      },
    }, { highWaterMark: 0 });
    return Promise.resolve(new Response(body));
  };
}

function answered(waits: readonly number[], options: { keptAlive: boolean }): Promise<Response> {
  mock.timers.enable({ apis: ["setTimeout"] });
  return fetchOnce("https://store.test/", options, { fetch: trickling(waits), times: DEFAULT_TIMES })
    .finally(() => mock.timers.reset());
}

const MINUTES_OF_WHITE_SPACE = (minutes: number) => Array.from({ length: minutes * 2 }, () => 30);

Deno.test("fetchOnce: a completion kept alive for half an hour → its response", async () => {
  const response = await answered(MINUTES_OF_WHITE_SPACE(30), { keptAlive: true });
  assert.equal((await response.text()).length, 60);
});

Deno.test("fetchOnce: a completion that stays idle → timeout", async () => {
  const running = answered([30, 30, 61, 1], { keptAlive: true });
  await assert.rejects(running, { name: "TimeoutError", message: "no response for 60 s" });
});

Deno.test("fetchOnce: a completion kept alive endlessly → timeout after an hour", async () => {
  const running = answered(MINUTES_OF_WHITE_SPACE(90), { keptAlive: true });
  await assert.rejects(running, { name: "TimeoutError", message: "the response has not ended after 3600 s" });
});

Deno.test("fetchOnce: any other response that trickles → timeout", async () => {
  const running = answered([30, 29, 2], { keptAlive: false });
  await assert.rejects(running, { name: "TimeoutError", message: "no response for 60 s" });
});
