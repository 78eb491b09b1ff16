import assert from "node:assert/strict";
import { ConnectionLimit } from "./connection_limit.ts";

const signal = new AbortController().signal;
const SEGMENT = 1_000_000;

/** Takes all connections, and has a segment come over each of them at `speed` bytes a second. */
async function fill(limit: ConnectionLimit, speed: number): Promise<number> {
  const count = limit.now;
  const rounds = await Promise.all(Array.from({ length: count }, () => limit.take(signal)));
  for (const round of rounds) {
    limit.came(round, { bytes: SEGMENT, seconds: SEGMENT / speed });
    limit.give();
  }
  return count;
}

Deno.test("ConnectionLimit: half at first, all after one round, and all of them as long as they are as quick", async () => {
  const limit = new ConnectionLimit(32);
  assert.equal(await fill(limit, 4e6), 16);
  assert.equal(await fill(limit, 3.6e6), 32);
  assert.equal(await fill(limit, 3.6e6), 32);
  assert.equal(new ConnectionLimit(1).now, 1);
});

Deno.test("ConnectionLimit: more connections that share one line → back to half, and no second attempt", async () => {
  const limit = new ConnectionLimit(32);
  await fill(limit, 4e6);
  assert.equal(await fill(limit, 2e6), 32);
  for (let round = 0; round < 5; round++) assert.equal(await fill(limit, 4e6), 16);
});

Deno.test("ConnectionLimit: bodies that come at once say nothing of the line → all, and it stays so", async () => {
  const limit = new ConnectionLimit(32);
  const speeds = [1e12, 1e9];
  for (const speed of speeds) await fill(limit, speed);
  assert.equal(limit.now, 32);
});

Deno.test("ConnectionLimit: refused → half, once for all that were asked for together; then one more a round, up to the first number", async () => {
  const limit = new ConnectionLimit(32);
  await fill(limit, 4e6);
  const rounds = await Promise.all(Array.from({ length: 32 }, () => limit.take(signal)));
  for (const round of rounds) {
    limit.refused(round);
    limit.give();
  }
  assert.equal(limit.now, 16);
  limit.refused(await limit.take(signal));
  limit.give();
  assert.equal(limit.now, 8);
  for (let next = 9; next <= 16; next++) {
    await fill(limit, 4e6);
    assert.equal(limit.now, next);
  }
  await fill(limit, 4e6);
  assert.equal(limit.now, 16);
});

Deno.test("ConnectionLimit: refused again and again → four, or what is allowed where that is less", async () => {
  for (const [most, least] of [[32, 4], [3, 2], [1, 1]] as const) {
    const limit = new ConnectionLimit(most);
    for (let i = 0; i < 9; i++) {
      limit.refused(await limit.take(signal));
      limit.give();
    }
    assert.equal(limit.now, least);
  }
});

Deno.test("ConnectionLimit: a failure that may have another reason → back to half where there were more, else nothing", async () => {
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

Deno.test("ConnectionLimit: who finds all connections taken waits for one, in order; an abort ends the wait", async () => {
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
