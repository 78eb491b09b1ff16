import assert from "node:assert/strict";
import { box, textInit, textSegment, utf8, wvttSample } from "../../dev/testing/text_mp4.ts";
import { readSegment } from "./read_segment.ts";

const read = (bytes: Uint8Array, init: Uint8Array | null = null) => {
  const { groups, problems } = readSegment(bytes, init);
  const cues = groups.flatMap((group) => group.cues).map(({ start, end, text }) => [start, end, text]);
  return { cues, offsets: groups.map(({ offsets }) => offsets), codes: problems.map(({ code }) => code) };
};
const ttml = (p: string) =>
  utf8(`<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body><div>${p}</div></body></tt>`);

Deno.test("readSegment: WebVTT with and without a map → its offsets", () => {
  const cue = "\n\n00:01.000 --> 00:02.000\nOne\n";
  assert.deepEqual(read(utf8(`WEBVTT${cue}`)).offsets, [[0, 0, null]]);
  const map = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:04.000,MPEGTS:900000";
  assert.deepEqual(read(utf8(map + cue)).offsets, [[6, 6, 6]]);
});

Deno.test("readSegment: wvtt → a group a sample, cues with its times", () => {
  const samples = [
    { duration: 1000, bytes: wvttSample() },
    { duration: 1500, bytes: wvttSample("One\r\n<b>two</b>") },
    { duration: 500, bytes: wvttSample("a", "b") },
  ];
  const found = read(textSegment({ start: 10_000, samples }), textInit("wvtt"));
  assert.deepEqual(found.cues, [[11, 12.5, "One\n<b>two</b>"], [12.5, 13, "a"], [12.5, 13, "b"]]);
  assert.deepEqual([found.offsets.length, found.codes], [3, []]);
});

Deno.test("readSegment: wvtt on a clock beyond 32 bits → its times", () => {
  const samples = [{ duration: 1000, bytes: wvttSample("One") }];
  const { cues } = read(textSegment({ start: 2 ** 40, samples }), textInit("wvtt"));
  assert.deepEqual(cues, [[2 ** 40 / 1000, 2 ** 40 / 1000 + 1, "One"]]);
});

Deno.test("readSegment: stpp, images after the document → cues of the document", () => {
  const images = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0xff, 0xfe);
  const bytes = new Uint8Array([...ttml('<p begin="11s" end="12s">One</p>'), ...images]);
  const found = read(textSegment({ start: 10_000, samples: [{ duration: 4000, bytes }] }), textInit("stpp"));
  assert.deepEqual(found, { cues: [[11, 12, "One"]], offsets: [[0, 10, null]], codes: [] });
});

Deno.test("readSegment: stpp with images only → reported", () => {
  const bytes = ttml('<div begin="1s" end="2s"><image src="a.png"/></div>');
  const found = read(textSegment({ start: 0, samples: [{ duration: 4000, bytes }] }), textInit("stpp"));
  assert.deepEqual([found.cues, found.codes], [[], ["images"]]);
});

Deno.test("readSegment: TTML and SubRip without MP4 → read", () => {
  assert.deepEqual(read(ttml('<p begin="1s" end="2s">One</p>')).cues, [[1, 2, "One"]]);
  assert.deepEqual(read(utf8("1\r\n00:00:01,000 --> 00:00:02,000\r\nOne\r\n")).cues, [[1, 2, "One"]]);
});

const ENTRY_OF_VIDEO = textInit("avc1");
for (
  const [what, bytes, init, code] of [
    ["no byte", new Uint8Array(), null, "empty"],
    ["blanks", utf8("\uFEFF \r\n"), null, "empty"],
    ["other text", utf8("not found"), null, "unreadable"],
    ["UTF-16", new Uint8Array([0xff, 0xfe, ...utf8("W\0E\0B\0V\0T\0T\0")]), null, "unreadable"],
    ["STYLE", utf8("WEBVTT\n\nSTYLE\n::cue {}\n"), null, "styles"],
    ["invalid times", utf8("WEBVTT\n\n00:02.000 --> 00:01.000\nOne\n"), null, "invalid"],
    ["XML of another kind", utf8("<rss></rss>"), null, "unreadable"],
    ["MP4 without init", textSegment({ start: 0, samples: [] }), null, "unreadable"],
    ["MP4, broken init", textSegment({ start: 0, samples: [] }), box("moov", utf8("xxxxxxxxxxxx")), "unreadable"],
    ["MP4, a video track", textSegment({ start: 0, samples: [] }), ENTRY_OF_VIDEO, "unreadable"],
    [
      "wvtt, cut sample",
      textSegment({ start: 0, samples: [{ duration: 1, bytes: utf8("\0\0\0\xffvttc") }] }),
      textInit("wvtt"),
      "unreadable",
    ],
    [
      "stpp, no document",
      textSegment({ start: 0, samples: [{ duration: 1, bytes: utf8("<x") }] }),
      textInit("stpp"),
      "unreadable",
    ],
  ] as const
) {
  Deno.test(`readSegment: ${what} → ${code}, no cue`, () => {
    const found = read(bytes, init);
    assert.deepEqual([found.cues, found.codes], [[], [code]]);
  });
}

Deno.test("readSegment: cut anywhere, or a byte changed → never throws", () => {
  const samples = [{ duration: 1000, bytes: wvttSample("One") }, { duration: 1000, bytes: wvttSample("two") }];
  for (const format of ["wvtt", "stpp"]) {
    const [segment, init] = [textSegment({ start: 0, samples }), textInit(format)];
    for (let at = 0; at < segment.length; at++) {
      readSegment(segment.subarray(0, at), init);
      for (const value of [0, 1, 0xff]) readSegment(segment.with(at, value), init);
    }
    for (let at = 0; at < init.length; at++) {
      readSegment(segment, init.subarray(0, at));
      for (const value of [0, 0xff]) readSegment(segment, init.with(at, value));
    }
  }
});
