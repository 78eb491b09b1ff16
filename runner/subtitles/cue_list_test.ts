import assert from "node:assert/strict";
import { mergeCues, withoutOverlaps } from "./cue_list.ts";

type Short = readonly [start: number, end: number, text: string, group: number];
const merge = (...cues: readonly Short[]) =>
  mergeCues(cues.map(([start, end, text, group]) => ({ start, end, text, group }))).map((
    { start, end, text },
  ) => [start, end, text]);
const flat = (...cues: readonly (readonly [number, number, string])[]) =>
  withoutOverlaps(cues.map(([start, end, text]) => ({ start, end, text }))).cues.map((
    { start, end, text },
  ) => [start, end, text]);

Deno.test("mergeCues: any order → sorted by start", () => {
  assert.deepEqual(merge([5, 6, "b", 0], [1, 2, "a", 1]), [[1, 2, "a"], [5, 6, "b"]]);
});

Deno.test("mergeCues: repeated in the next segments → once", () => {
  assert.deepEqual(merge([3, 9, "a", 0], [3, 9, "a", 1], [3.0004, 9, "a", 2], [3, 9, "b", 2]), [[3, 9, "a"], [
    3,
    9,
    "b",
  ]]);
});

Deno.test("mergeCues: split at the segments' boundaries → joined", () => {
  assert.deepEqual(merge([3, 4, "a", 0], [4, 8, "a", 1], [8, 8.5, "a", 2]), [[3, 8.5, "a"]]);
});

Deno.test("mergeCues: equal texts of one segment, or with a pause → kept", () => {
  assert.deepEqual(merge([1, 2, "a", 0], [2, 3, "a", 0], [5, 6, "a", 1]), [[1, 2, "a"], [2, 3, "a"], [5, 6, "a"]]);
});

Deno.test("withoutOverlaps: two at a time → both texts are shown", () => {
  assert.deepEqual(flat([1, 5, "a"], [3, 7, "b"]), [[1, 3, "a"], [3, 5, "a\nb"], [5, 7, "b"]]);
  assert.deepEqual(flat([1, 9, "a"], [2, 3, "b"]), [[1, 2, "a"], [2, 3, "a\nb"], [3, 9, "a"]]);
  assert.deepEqual(flat([1, 2, "a"], [1, 2, "b"]), [[1, 2, "a\nb"]]);
});

Deno.test("withoutOverlaps: in order, overlapping by rounding → unchanged", () => {
  assert.deepEqual(flat([1, 2, "a"], [2, 3, "b"], [5, 6, "c"]), [[1, 2, "a"], [2, 3, "b"], [5, 6, "c"]]);
  assert.deepEqual(flat([1, 2.03, "a"], [2, 3, "b"]), [[1, 2, "a"], [2, 3, "b"]]);
});

Deno.test("withoutOverlaps: 100,000 cues at one time → twelve, the others counted", () => {
  const cues = Array.from({ length: 100_000 }, (_, i) => ({ start: 1, end: 2, text: `${i}` }));
  const { cues: shown, dropped } = withoutOverlaps(cues);
  assert.deepEqual([shown.length, shown[0]!.text.split("\n").length, dropped], [1, 12, 99_988]);
});
