import assert from "node:assert/strict";
import { BoundedMemory } from "./lru_cache.ts";

function held(memory: BoundedMemory<number>, names: string): string {
  return [...names].filter((name) => memory.get(name) !== undefined).join("");
}

Deno.test("BoundedMemory: what is more than it may hold pushes the oldest out, names and values alike", () => {
  const memory = new BoundedMemory<number>(100);
  for (const name of "abcdefghij") memory.set(name, 1, 9);
  assert.equal(held(memory, "abcdefghij"), "abcdefghij");
  memory.set("k", 1, 9);
  assert.equal(held(memory, "abcdefghijk"), "bcdefghijk");
  memory.set("l".repeat(41), 1, 0);
  assert.equal(held(memory, "abcdefghijk"), "ghijk");
  memory.set("m", 1, 100);
  assert.equal(held(memory, "ghijkm"), "");
});

Deno.test("BoundedMemory: what is set anew is young again, and counts once", () => {
  const memory = new BoundedMemory<number>(30);
  for (const name of "abcaaa") memory.set(name, 1, 9);
  assert.equal(held(memory, "abc"), "abc");
  memory.set("d", 1, 9);
  assert.equal(held(memory, "abcd"), "acd");
  for (let i = 0; i < 9; i++) memory.delete("a");
  memory.set("e", 1, 9);
  assert.equal(held(memory, "cde"), "cde");
});
