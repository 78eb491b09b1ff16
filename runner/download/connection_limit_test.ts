import assert from "node:assert/strict";
import { ConnectionLimit } from "./connection_limit.ts";

const signal = new AbortController().signal;
const SEGMENT = 1_000_000;

/** Takes all connections, and completes a segment on each at `speed` bytes per second. */
async function fill(limit: ConnectionLimit, speed: number): Promise<number> {
  const count = limit.now;
  const rounds = await Promise.all(Array.from({ length: count }, () => limit.take(signal)));
  for (const round of rounds) {
    limit.onSegment(round, { bytes: SEGMENT, seconds: SEGMENT / speed });
    limit.give();
  }
  return count;
}

Deno.test("ConnectionLimit: equal speed → half, then all connections", async () => {
  const limit = new ConnectionLimit(32);
  assert.equal(await fill(limit, 4e6), 16);
  assert.equal(await fill(limit, 3.6e6), 32);
  assert.equal(await fill(limit, 3.6e6), 32);
  assert.equal(new ConnectionLimit(1).now, 1);
});

Deno.test("ConnectionLimit: connections share one link → half for good", async () => {
  const limit = new ConnectionLimit(32);
  await fill(limit, 4e6);
  assert.equal(await fill(limit, 2e6), 32);
  for (let round = 0; round < 5; round++) assert.equal(await fill(limit, 4e6), 16);
});

Deno.test("ConnectionLimit: bodies too fast to measure → all connections", async () => {
  const limit = new ConnectionLimit(32);
  const speeds = [1e12, 1e9];
  for (const speed of speeds) await fill(limit, speed);
  assert.equal(limit.now, 32);
});

Deno.test("ConnectionLimit: refused → half, once a round; then one more a round", async () => {
  const limit = new ConnectionLimit(32);
  await fill(limit, 4e6);
  const rounds = await Promise.all(Array.from({ length: 32 }, () => limit.take(signal)));
  for (const round of rounds) {
    limit.refused(round, { least: 1 });
    limit.give();
  }
  assert.equal(limit.now, 16);
  limit.refused(await limit.take(signal), { least: 1 });
  limit.give();
  assert.equal(limit.now, 8);
  for (let next = 9; next <= 16; next++) {
    await fill(limit, 4e6);
    assert.equal(limit.now, next);
  }
  await fill(limit, 4e6);
  assert.equal(limit.now, 16);
});

Deno.test("ConnectionLimit: refused repeatedly → `least`, or the maximum if lower", async () => {
  for (const [most, least, end] of [[32, 4, 4], [32, 1, 1], [3, 4, 2], [1, 1, 1]] as const) {
    const limit = new ConnectionLimit(most);
    for (let i = 0; i < 9; i++) {
      limit.refused(await limit.take(signal), { least });
      limit.give();
    }
    assert.equal(limit.now, end);
  }
});

Deno.test("ConnectionLimit: refused → returns whether the limit was lowered", async () => {
  const limit = new ConnectionLimit(4);
  const [first, second] = [await limit.take(signal), await limit.take(signal)];
  assert.equal(limit.refused(first, { least: 1 }), true);
  assert.equal(limit.refused(second, { least: 1 }), true, "asked for with the first");
  limit.give();
  limit.give();
  assert.equal(limit.refused(await limit.take(signal), { least: 1 }), false, "with the only one");
});

Deno.test("ConnectionLimit: three accepted → three, a fourth ever more rarely", async () => {
  const limit = new ConnectionLimit(8);
  limit.refused(await limit.take(signal), { least: 1 });
  limit.give();
  const seen: number[] = [];
  for (let i = 0; i < 20; i++) {
    seen.push(limit.now);
    if (limit.now <= 3) await fill(limit, 4e6);
    else {
      limit.refused(await limit.take(signal), { least: 1 });
      limit.give();
    }
  }
  assert.deepEqual(seen, [2, 3, 4, 3, 3, 4, 3, 3, 3, 3, 4, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
});

Deno.test("ConnectionLimit: a failure with unknown reason → the initial limit", async () => {
  const limit = new ConnectionLimit(32);
  limit.failed(await limit.take(signal));
  limit.give();
  assert.equal(limit.now, 16);
  await fill(limit, 4e6);
  assert.equal(limit.now, 32);
  limit.failed(await limit.take(signal));
  limit.give();
  assert.equal(limit.now, 16);
  await fill(limit, 4e6);
  assert.equal(limit.now, 16);
});

Deno.test("ConnectionLimit: none is free → waits in order; abort ends the wait", async () => {
  const limit = new ConnectionLimit(4);
  for (let i = 0; i < 2; i++) await limit.take(signal);
  const order: string[] = [];
  const first = limit.take(signal).then(() => order.push("first"));
  const cut = new AbortController();
  const second = limit.take(cut.signal).then(() => order.push("second"), () => order.push("aborted"));
  limit.give();
  await first;
  cut.abort();
  await second;
  assert.deepEqual(order, ["first", "aborted"]);
});

Deno.test("ConnectionLimit: a waiter is aborted → its connection goes to the next", async () => {
  const limit = new ConnectionLimit(2);
  await limit.take(signal);
  const order: string[] = [];
  const cut = new AbortController();
  const first = limit.take(signal).then(() => order.push("first"));
  const second = limit.take(cut.signal).catch(() => order.push("second left"));
  const third = limit.take(signal).then(() => order.push("third"));
  cut.abort();
  await second;
  limit.give();
  await first;
  const late = new AbortController();
  const fourth = limit.take(late.signal).catch(() => order.push("fourth left"));
  limit.give();
  await third;
  limit.give();
  late.abort(); // woken and aborted at the same time
  await fourth;
  await limit.take(signal);
  assert.deepEqual(order, ["second left", "first", "third", "fourth left"]);
});
