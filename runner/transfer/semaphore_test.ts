import assert from "node:assert/strict";
import { createSemaphore } from "./semaphore.ts";

Deno.test("semaphore: all permits taken → waits; each permit has its own buffer", async () => {
  const semaphore = createSemaphore(2);
  const first = await semaphore.acquire();
  const second = await semaphore.acquire();
  assert.notEqual(first.buffer, second.buffer);
  const order: string[] = [];
  const third = semaphore.acquire().then((permit) => (order.push("third"), permit));
  const leaving = new AbortController();
  const left = semaphore.acquire(leaving.signal);
  const fourth = semaphore.acquire().then((permit) => (order.push("fourth"), permit));
  leaving.abort(new Error("the job is over"));
  await assert.rejects(left, /the job is over/);
  assert.deepEqual(order, []);
  second[Symbol.dispose]();
  second[Symbol.dispose](); // disposing twice has no effect
  assert.equal((await third).buffer, second.buffer);
  first[Symbol.dispose]();
  assert.equal((await fourth).buffer, first.buffer);
  assert.deepEqual(order, ["third", "fourth"]);
  await assert.rejects(async () => await semaphore.acquire(AbortSignal.abort(new Error("too late"))), /too late/);
});
