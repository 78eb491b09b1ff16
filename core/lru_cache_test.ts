import assert from "node:assert/strict";
import { LruCache } from "./lru_cache.ts";

/** Reads count as uses, so `keys` are read in the order of their last use. */
function kept(cache: LruCache<number>, keys: string): string {
  return [...keys].filter((key) => cache.get(key) !== undefined).join("");
}

Deno.test("LruCache: more weight than allowed → the oldest entries go", () => {
  const cache = new LruCache<number>({ maxWeight: 100 });
  for (const key of "abcdefghij") cache.set(key, 1, 10);
  assert.equal(kept(cache, "abcdefghij"), "abcdefghij");
  cache.set("k", 1, 10);
  assert.equal(kept(cache, "abcdefghijk"), "bcdefghijk");
  cache.set("l", 1, 41);
  assert.equal(kept(cache, "bcdefghijk"), "ghijk");
  cache.set("m", 1, 101);
  assert.equal(kept(cache, "ghijkm"), "");
  cache.set("n", 1, 100);
  assert.equal(kept(cache, "n"), "n");
});

Deno.test("LruCache: an entry that is replaced or read → the newest, counted once", () => {
  const cache = new LruCache<number>({ maxWeight: 30 });
  for (const key of "abcaaa") cache.set(key, 1, 10);
  cache.set("d", 1, 10);
  assert.equal(kept(cache, "bcad"), "cad");
  cache.get("c");
  cache.set("e", 1, 10);
  assert.equal(kept(cache, "adce"), "dce");
  for (let i = 0; i < 9; i++) cache.delete("d");
  cache.set("f", 1, 10);
  assert.equal(kept(cache, "cef"), "cef");
});

Deno.test("LruCache: more entries than allowed → the least recently used goes", () => {
  const cache = new LruCache<number>({ maxEntries: 500 });
  for (let value = 0; value < 501; value++) cache.set(`${value}`, value);
  assert.deepEqual([cache.get("0"), cache.get("1"), cache.get("500")], [undefined, 1, 500]);
  cache.set("new", 7);
  assert.deepEqual([cache.get("1"), cache.get("2")], [1, undefined]);
});
