import assert from "node:assert/strict";
import { retry, retryDelay } from "./retry.ts";

function failing(times: number) {
  const calls: number[] = [];
  return {
    calls,
    call: (attempt: number) => {
      calls.push(attempt);
      return calls.length <= times ? Promise.reject(new Error(`failure ${attempt}`)) : Promise.resolve("done");
    },
  };
}

function recordSleeps() {
  const waits: number[] = [];
  return { waits, sleep: (ms: number) => (waits.push(ms), Promise.resolve()) };
}

const POLICY = { attempts: 3, delayMs: 100 };

Deno.test("retry: two failures, then success → three calls, growing delays", async () => {
  const { calls, call } = failing(2);
  const { waits, sleep } = recordSleeps();
  assert.equal(await retry(call, POLICY, { sleep, random: () => 1 }), "done");
  assert.deepEqual([calls, waits], [[1, 2, 3], [100, 200]]);
});

Deno.test("retry: every attempt fails → the last failure is thrown", async () => {
  const { calls, call } = failing(9);
  const { waits, sleep } = recordSleeps();
  await assert.rejects(retry(call, POLICY, { sleep }), /failure 3/);
  assert.deepEqual([calls.length, waits.length], [3, 2]);
});

Deno.test("retry: a failure that is not retryable → thrown without a wait", async () => {
  const { calls, call } = failing(9);
  const { waits, sleep } = recordSleeps();
  await assert.rejects(retry(call, POLICY, { sleep, retryable: (_, attempt) => attempt < 2 }), /failure 2/);
  assert.deepEqual([calls.length, waits.length], [2, 1]);
});

Deno.test("retry: the failure asks for a delay → that delay is used", async () => {
  const { call } = failing(2);
  const { waits, sleep } = recordSleeps();
  const asked = [1234, undefined];
  await retry(call, POLICY, { sleep, random: () => 1, delayFor: () => asked.shift() });
  assert.deepEqual(waits, [1234, 200]);
});

Deno.test("retry: aborted during the call → its failure is thrown, not repeated", async () => {
  const stop = new AbortController();
  const { calls, call } = failing(9);
  const aborting = (attempt: number) => (stop.abort(new Error("stopped")), call(attempt));
  await assert.rejects(retry(aborting, POLICY, { signal: stop.signal }), /failure 1/);
  assert.equal(calls.length, 1);
});

Deno.test("retry: aborted during the wait → rejects with the reason", async () => {
  const stop = new AbortController();
  const { call } = failing(9);
  const policy = { attempts: 3, delayMs: 60_000 };
  const onRetry = () => void setTimeout(() => stop.abort(new Error("stopped")), 1);
  await assert.rejects(retry(call, policy, { signal: stop.signal, onRetry }), /stopped/);
});

Deno.test("retryDelay: jitter and upper limit → between the limits", () => {
  assert.equal(retryDelay(1, { attempts: 9, delayMs: 100 }, () => 0), 50);
  assert.equal(retryDelay(4, { attempts: 9, delayMs: 100, maxDelayMs: 500 }, () => 1), 500);
  assert.equal(retryDelay(3, { attempts: 9, delayMs: 100, factor: 1, jitter: 0 }, () => 0.7), 100);
});
