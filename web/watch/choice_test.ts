import assert from "node:assert/strict";
import { matching, nearestLevel, type Track } from "./choice.ts";

const track = (language: string | null, label = ""): Track => ({ language, label });

Deno.test("choice: language in another spelling → its track; label decides", () => {
  const tracks = [track("ja", "Japanese"), track("en", "English"), track("en", "English (commentary)")];
  for (const language of ["en", "eng", "en-US", "EN"]) {
    assert.equal(matching(tracks, track(language, "Main")), 1, language);
  }
  assert.equal(matching(tracks, track("eng", "English (commentary)")), 2);
  assert.equal(matching(tracks, track(null, "Japanese")), 0);
  for (const other of [track("de", "Deutsch"), track(null, ""), track("", "x"), track("not a tag", "x"), null]) {
    assert.equal(matching(tracks, other), -1, JSON.stringify(other));
  }
  assert.equal(matching([], track("en")), -1);
});

Deno.test("choice: nearest height, the smaller of two; none known → -1", () => {
  assert.equal(nearestLevel([360, 720, 1080], 720), 1);
  assert.equal(nearestLevel([360, 1080], 720), 0);
  assert.equal(nearestLevel([1080, 480], 1000), 0);
  assert.deepEqual([nearestLevel([], 720), nearestLevel([360], null)], [-1, -1]);
});
