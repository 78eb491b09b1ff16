import assert from "node:assert/strict";
import { createSlots } from "./slots.ts";

Deno.test("slots: so many at once and no more, each with a buffer that nobody else has, lent on when it is given back", async () => {
  const slots = createSlots(2);
  const first = await slots.take();
  const second = await slots.take();
  assert.notEqual(first.buffer, second.buffer);
  const order: string[] = [];
  const third = slots.take().then((slot) => (order.push("third"), slot));
  const leaving = new AbortController();
  const left = slots.take(leaving.signal);
  const fourth = slots.take().then((slot) => (order.push("fourth"), slot));
  leaving.abort(new Error("the job is over"));
  await assert.rejects(left, /the job is over/);
  assert.deepEqual(order, []);
  second[Symbol.dispose]();
  second[Symbol.dispose](); // twice is once
  assert.equal((await third).buffer, second.buffer);
  first[Symbol.dispose]();
  assert.equal((await fourth).buffer, first.buffer);
  assert.deepEqual(order, ["third", "fourth"]);
  await assert.rejects(async () => await slots.take(AbortSignal.abort(new Error("too late"))), /too late/);
});
