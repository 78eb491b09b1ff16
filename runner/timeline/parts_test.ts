import assert from "node:assert/strict";
import { type Part, splitIntoParts, type TimedSegment } from "./parts.ts";
import { placeParts } from "./placement.ts";
import type { TrackClock } from "./segment_clock.ts";
import { TS_WRAP_SECONDS } from "./ts_clock.ts";

function track(kind: TrackClock["kind"], start: number, seconds: number, step = 0.04): TrackClock {
  const lastStart = start + seconds - step;
  return { kind, start, lastStart, firstDecode: start, lastDecode: lastStart, step, longestStep: step, config: "" };
}

interface Shape {
  readonly at: number;
  readonly discontinuity?: number;
  readonly init?: string;
  readonly config?: string;
  readonly kinds?: readonly TrackClock["kind"][];
  readonly seconds?: number;
  readonly announced?: number;
}

function segment(shape: Shape): TimedSegment {
  const { at, discontinuity = 0, init = null, config = "", kinds = ["video", "audio"], seconds = 4 } = shape;
  const tracks = kinds.map((kind) => track(kind, at, seconds));
  return {
    clock: { tracks, wrapSeconds: TS_WRAP_SECONDS },
    discontinuity,
    init,
    config,
    seconds: shape.announced ?? 4,
  };
}

function partsOf(...shapes: readonly Shape[]): Part[] {
  const parts = splitIntoParts(shapes.map(segment));
  assert.ok(Array.isArray(parts), JSON.stringify(parts));
  return parts;
}

function problemOf(...shapes: readonly Shape[]): string {
  const problem = splitIntoParts(shapes.map(segment));
  assert.ok(!Array.isArray(problem));
  return `${problem.segment}: ${problem.reason}`;
}

const ranges = (parts: readonly Part[]) => parts.map(({ from, to }) => [from, to]);

Deno.test("parts: one clock → one part; a discontinuity without a jump → too", () => {
  assert.deepEqual(ranges(partsOf({ at: 10 }, { at: 14 }, { at: 18 })), [[0, 3]]);
  assert.deepEqual(ranges(partsOf({ at: 10 }, { at: 14, discontinuity: 1 })), [[0, 2]]);
});

Deno.test("parts: clock, init section, configuration or tracks change → split", () => {
  assert.deepEqual(ranges(partsOf({ at: 10 }, { at: 99, discontinuity: 1 })), [[0, 1], [1, 2]]);
  assert.deepEqual(ranges(partsOf({ at: 10, init: "a" }, { at: 14, init: "b" })), [[0, 1], [1, 2]]);
  assert.deepEqual(ranges(partsOf({ at: 10, config: "aac 1" }, { at: 14, config: "aac 2" })), [[0, 1], [1, 2]]);
  assert.deepEqual(ranges(partsOf({ at: 10, kinds: ["video"] }, { at: 14 })), [[0, 1], [1, 2]]);
});

Deno.test("parts: a segment without audio between two with → refused", () => {
  const silent = { kinds: ["video"] } as const;
  assert.match(problemOf({ at: 10 }, { at: 14, ...silent }, { at: 18 }), /2: has audio again after 4.0 s without/);
  assert.match(
    problemOf({ at: 10, config: "h264 aac" }, { at: 14, config: "h264", ...silent }, { at: 18, config: "h264 aac" }),
    /audio is missing/,
  );
  const late = TS_WRAP_SECONDS - 6;
  assert.match(problemOf({ at: late }, { at: late + 4, ...silent }, { at: 2 }), /after 4.0 s without/);
  // A break without audio, and a short segment whose audio is stored before it.
  partsOf({ at: 10 }, { at: 14, discontinuity: 1, ...silent }, { at: 18, discontinuity: 2 });
  partsOf({ at: 10 }, { at: 14, seconds: 0.3, announced: 0.3, ...silent }, { at: 14.3 });
});

Deno.test("parts: audio ends early → one part that keeps the audio's end", () => {
  const [part] = partsOf({ at: 0 }, { at: 4, kinds: ["video"] }, { at: 8, kinds: ["video"] });
  assert.deepEqual(part!.tracks.map(({ lastStart }) => Math.round(lastStart * 100)), [1196, 396]);
});

Deno.test("parts: the clock wraps → goes on", () => {
  const start = TS_WRAP_SECONDS - 6;
  const [part] = partsOf({ at: start }, { at: start + 4 }, { at: 2 });
  assert.equal(Math.round(part!.tracks[0]!.lastStart - part!.start), 12);
});

Deno.test("parts: missing, repeated, misplaced, from another clock → named", () => {
  assert.match(problemOf({ at: 0 }, { at: 8 }), /^1: starts 4\.0 s after segment 1 ends.*missing/);
  assert.match(problemOf({ at: 0, seconds: 2 }, { at: 4 }), /^1: starts 2\.0 s after/);
  assert.match(problemOf({ at: 0 }, { at: 0 }), /^1: starts 4\.0 s before segment 1 ends/);
  assert.match(problemOf({ at: 0 }, { at: 8, discontinuity: 1 }, { at: 4, discontinuity: 1 }), /^2: starts/);
});

Deno.test("parts: a gap where the init section or configuration changes → named", () => {
  assert.match(problemOf({ at: 0, init: "a" }, { at: 8, init: "b" }), /^1: starts 4\.0 s after segment 1 ends/);
  assert.match(problemOf({ at: 0, config: "aac 1" }, { at: 8, config: "aac 2" }), /^1: starts 4\.0 s after/);
  assert.deepEqual(ranges(partsOf({ at: 0, init: "a" }, { at: 8, init: "b", discontinuity: 1 })), [[0, 1], [1, 2]]);
});

Deno.test("parts: thousands of discontinuities → refused", () => {
  const shapes = (count: number) => Array.from({ length: count }, (_, i) => ({ at: 0, discontinuity: i }));
  assert.equal(partsOf(...shapes(2_000)).length, 2_000);
  assert.match(problemOf(...shapes(2_001)), /^2000: starts part 2001, 2000 are allowed/);
});

Deno.test("parts: a gap in video alone, as announced → doubtful, decoded", () => {
  const alone = { kinds: ["video"] as const };
  const [part] = partsOf({ at: 0, seconds: 1.1, ...alone }, { at: 4, ...alone });
  assert.deepEqual(part!.doubtful, [1]);
  assert.match(problemOf({ at: 0, seconds: 1.1, announced: 1.1, ...alone }, { at: 4, ...alone }), /missing/);
  assert.match(problemOf({ at: 0, seconds: 1.1, kinds: ["audio"] }, { at: 4, kinds: ["audio"] }), /missing/);
});

Deno.test("parts: a configuration changes inside a segment → mixed", () => {
  const [part] = partsOf({ at: 0, config: "aac 1" }, { at: 4, config: "aac 1" }, { at: 8, config: "" });
  assert.equal(part!.mixed, false);
  assert.deepEqual(partsOf({ at: 0, config: "aac 1,aac 2" }).map(({ mixed }) => mixed), [true]);
});

Deno.test("placement: clocks jump and restart → one after the other", () => {
  const parts = partsOf({ at: 10 }, { at: 14 }, { at: 1.4, discontinuity: 1 }, { at: 900, discontinuity: 2 });
  assert.deepEqual(placeParts([parts])[0]!.map(({ at }) => Math.round(at * 100) / 100), [0, 8, 12]);
});

Deno.test("placement: separate audio → keeps its distance to the video", () => {
  const video = partsOf({ at: 10, kinds: ["video"] }, { at: 5, discontinuity: 1, kinds: ["video"] });
  const audio = partsOf({ at: 10.1, kinds: ["audio"] }, { at: 5.2, discontinuity: 1, kinds: ["audio"] });
  const [, placed] = placeParts([video, audio]);
  assert.deepEqual(placed!.map(({ at }) => Math.round(at * 100) / 100), [0.1, 4.2]);
});

Deno.test("placement: audio on another clock → starts with the video's part", () => {
  const video = partsOf({ at: 5000, kinds: ["video"] }, { at: 7000, discontinuity: 1, kinds: ["video"] });
  const restarts = partsOf({ at: 0, kinds: ["audio"] }, { at: 100, discontinuity: 1, kinds: ["audio"] });
  assert.deepEqual(placeParts([video, restarts])[1]!.map(({ at }) => at), [0, 4]);
  const runsOn = partsOf({ at: 0, kinds: ["audio"] }, { at: 4, kinds: ["audio"] });
  assert.deepEqual(placeParts([video, runsOn])[1]!.map(({ at }) => at), [0]);
});

Deno.test("placement: audio starts before the video → nothing before 0", () => {
  const clock = { tracks: [track("video", 10.5, 4), track("audio", 10, 4)], wrapSeconds: null };
  const parts = splitIntoParts([{ clock, discontinuity: 0, init: null, config: "", seconds: 4 }]) as Part[];
  assert.deepEqual(placeParts([parts])[0]!.map(({ at }) => at), [0]);
});
