import assert from "node:assert/strict";
import { type ClockPart, type CueGroup, placeCues } from "./placement.ts";

const UNMAPPED = [0, 0, null];
const WRAP = 2 ** 33 / 90_000;

function group(
  times: readonly (readonly [number, number])[],
  more: Partial<CueGroup> & { window?: CueGroup["window"] } = {},
): CueGroup {
  const cues = times.map(([start, end]) => ({ start, end, text: `cue at ${start}` }));
  return { cues, discontinuity: 0, window: { start: 0, end: 20 }, offsets: UNMAPPED, ...more };
}

const part = (start: number, at = 0, number = 0): ClockPart => ({ discontinuity: [number, number], start, at });
const place = (groups: readonly CueGroup[], parts: readonly ClockPart[]) =>
  placeCues(groups, parts).map(({ start, end }) => [start, end].map((time) => Number(time.toFixed(3))));

Deno.test("placeCues: a video that starts at 10 s, cues on its clock → from 0", () => {
  assert.deepEqual(place([group([[11, 12], [15, 16]])], [part(10)]), [[1, 2], [5, 6]]);
});

Deno.test("placeCues: a map to the clock → by the map, even if far away", () => {
  const mapped = group([[1, 2]], { offsets: [10, 10, 10], window: { start: 100, end: 104 } });
  assert.deepEqual(place([mapped], [part(10)]), [[1, 2]]);
});

Deno.test("placeCues: the clock wraps 4 s after the start → cues at 1, 5, 9 s", () => {
  const start = WRAP - 4;
  const groups = [0, 1, 2].map((i) => {
    const source = (start + 4 * i) % WRAP;
    return group([[1, 2]], { offsets: [source, source, source], window: { start: 4 * i, end: 4 * i + 4 } });
  });
  assert.deepEqual(place(groups, [part(start)]), [[1, 2], [5, 6], [9, 10]]);
  const continuous = group([[1, 2], [5, 6], [9, 10]], { offsets: [start, start, start] }); // one segment across the wrap
  assert.deepEqual(place([continuous], [part(start)]), [[1, 2], [5, 6], [9, 10]]);
});

Deno.test("placeCues: no map, cues from 0, clock from 100 s → unchanged", () => {
  assert.deepEqual(place([group([[1, 2], [5, 6]])], [part(100)]), [[1, 2], [5, 6]]);
  assert.deepEqual(place([group([[1, 2], [5, 6]])], [part(1_700_000_000)]), [[1, 2], [5, 6]]);
});

Deno.test("placeCues: no map, cues in their segments from 0 → unchanged", () => {
  const groups = [0, 1, 2].map((i) => group([[4 * i + 1, 4 * i + 2]], { window: { start: 4 * i, end: 4 * i + 4 } }));
  assert.deepEqual(place(groups.slice(1), [part(1.4)]), [[5, 6], [9, 10]]);
  const repeated = group([[9, 14]], { window: { start: 12, end: 16 } }); // says nothing: it started earlier
  assert.deepEqual(place([groups[2]!, repeated], [part(1.4)]), [[9, 10], [9, 14]]);
});

Deno.test("placeCues: no map, as near on either clock → the source's", () => {
  assert.deepEqual(place([group([[11, 12]])], [part(1.4)]), [[9.6, 10.6]]);
});

Deno.test("placeCues: times relative to each sample → added to its start", () => {
  const groups = [10, 14].map((start) =>
    group([[1, 2]], { offsets: [0, start, null], window: { start: start - 10, end: start - 6 } })
  );
  assert.deepEqual(place(groups, [part(10)]), [[1, 2], [5, 6]]);
});

Deno.test("placeCues: discontinuities → each part's own clock", () => {
  const parts = [part(10, 0, 7), part(500, 8, 8)];
  const groups = [
    group([[11, 12]], { discontinuity: 7, window: { start: 0, end: 8 } }),
    group([[503, 504]], { discontinuity: 8, window: { start: 8, end: 16 } }),
  ];
  assert.deepEqual(place(groups, parts), [[1, 2], [11, 12]]);
});

Deno.test("placeCues: no discontinuities in the playlist → by position", () => {
  const groups = [
    group([[11, 12]], { window: { start: 0, end: 8 } }),
    group([[503, 504]], { window: { start: 8, end: 16 } }),
  ];
  for (const number of [0, 3]) {
    assert.deepEqual(place(groups, [part(10, 0, number), part(500, 8, number + 1)]), [[1, 2], [11, 12]]);
  }
});

Deno.test("placeCues: several parts with one discontinuity number → by position", () => {
  const groups = [0, 8, 16].map((at, i) =>
    group([[10 + 100 * i, 11 + 100 * i]], { window: { start: at, end: at + 8 } })
  );
  assert.deepEqual(place(groups, [part(10), part(110, 8), part(210, 16)]), [[0, 1], [8, 9], [16, 17]]);
});

Deno.test("placeCues: no end → the end of the segment", () => {
  assert.deepEqual(place([group([[11, Infinity]], { window: { start: 0, end: 4 } })], [part(10)]), [[1, 4]]);
});

Deno.test("placeCues: no part, no cue → no failure", () => {
  assert.deepEqual(place([group([[1, 2]])], []), [[1, 2]]);
  assert.deepEqual(place([group([])], [part(10)]), []);
  assert.deepEqual(place([], [part(10)]), []);
});
