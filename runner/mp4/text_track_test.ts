import assert from "node:assert/strict";
import { buildTextTrack } from "./text_track.ts";

const sample = (start: number, end: number, text: string) => ({ start, end, bytes: new TextEncoder().encode(text) });
const times = (samples: readonly ReturnType<typeof sample>[]) => {
  const { track, bytes } = buildTextTrack(samples, "/t");
  const { decode, sizes, offsets, lastDuration } = track.samples;
  const texts = [...offsets].map((offset, i) => new TextDecoder().decode(bytes.subarray(offset, offset + sizes[i]!)));
  return { decode: [...decode], texts, lastDuration };
};

Deno.test("buildTextTrack: gaps → empty samples between the texts", () => {
  assert.deepEqual(times([sample(1, 2, "a"), sample(2, 3.5, "b"), sample(5, 6, "c")]), {
    decode: [0, 1000, 2000, 3500, 5000],
    texts: ["\0\0", "a", "b", "\0\0", "c"],
    lastDuration: 1000,
  });
});

Deno.test("buildTextTrack: from 0, overlapping or without duration → in order", () => {
  assert.deepEqual(times([sample(0, 2, "a"), sample(1, 3, "b"), sample(3, 3.0001, "c"), sample(2, 2.5, "d")]), {
    decode: [0, 2000],
    texts: ["a", "b"],
    lastDuration: 1000,
  });
});
