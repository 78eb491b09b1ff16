import assert from "node:assert/strict";
import { createEpisodeCache } from "./episode_cache.ts";

Deno.test("episode cache: over 500 records → least recently used removed", () => {
  let now = 0;
  const cache = createEpisodeCache<number>({ now: () => now, keepSeconds: 10, weigh: () => 1 });
  for (let value = 0; value < 501; value++) cache.put(`${value}`, value);
  assert.deepEqual([cache.get("0"), cache.get("1"), cache.get("500")], [null, 1, 500]);
  cache.put("1", 1);
  cache.put("new", 7);
  assert.deepEqual([cache.get("1"), cache.get("2")], [1, null]);
  now = 10_000;
  assert.equal(cache.get("1"), null);
});

Deno.test("episode cache: weights beyond 16 MiB → the least recently used go", () => {
  const cache = createEpisodeCache<number>({ now: () => 0, keepSeconds: 10, weigh: (value) => value * 1024 * 1024 });
  cache.put("a", 7);
  cache.put("b", 8);
  assert.deepEqual([cache.get("a"), cache.get("b")], [7, 8]);
  cache.put("b", 9); // replaces the old weight
  assert.deepEqual([cache.get("a"), cache.get("b")], [7, 9]);
  cache.put("c", 1);
  assert.deepEqual([cache.get("a"), cache.get("b"), cache.get("c")], [null, 9, 1]);
  cache.put("d", 17);
  assert.deepEqual(["b", "c", "d"].map((name) => cache.get(name)), [null, null, null]);
  cache.put("e", 16);
  assert.equal(cache.get("e"), 16);
});
