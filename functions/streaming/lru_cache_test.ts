import assert from "node:assert/strict";
import { createMemory } from "./lru_cache.ts";

Deno.test("memory: five hundred values, the longest unused go first, none outlives its time", () => {
  let now = 0;
  const memory = createMemory<number>({ now: () => now, keepSeconds: 10, weigh: () => 1 });
  for (let value = 0; value < 501; value++) memory.put(`${value}`, value);
  assert.deepEqual([memory.get("0"), memory.get("1"), memory.get("500")], [null, 1, 500]);
  memory.put("1", 1);
  memory.put("new", 7);
  assert.deepEqual([memory.get("1"), memory.get("2")], [1, null]);
  now = 10_000;
  assert.equal(memory.get("1"), null);
});

Deno.test("memory: what is large counts by its weight; what is larger than all of it is not kept", () => {
  const memory = createMemory<number>({ now: () => 0, keepSeconds: 10, weigh: (value) => value * 1024 * 1024 });
  memory.put("a", 7);
  memory.put("b", 8);
  assert.deepEqual([memory.get("a"), memory.get("b")], [7, 8]);
  memory.put("b", 9); // weighed anew, not twice
  assert.equal(memory.get("a"), 7);
  memory.put("c", 1);
  assert.deepEqual([memory.get("a"), memory.get("b"), memory.get("c")], [null, 9, 1]);
  memory.put("d", 17);
  assert.deepEqual(["b", "c", "d"].map((name) => memory.get(name)), [null, null, null]);
  memory.put("e", 16);
  assert.equal(memory.get("e"), 16);
});
