import assert from "node:assert/strict";
import { timedTextSample } from "../subtitles/timed_text.ts";
import { textOfSample, writeWebVtt } from "./text_cues.ts";

Deno.test("textOfSample: styles, entities, blank lines → WebVTT and back", () => {
  const cases: readonly [cue: string, expected: string][] = [
    ["One <i>two</i> <b><u>three</u></b>", "One <i>two</i> <b><u>three</u></b>"],
    ["<i>first\nsecond</i> end", "<i>first</i>\n<i>second</i> end"],
    ["Tom &amp; Jerry &lt;3", "Tom & Jerry &lt;3"],
    ["&amp;amp; and &amp;#39;", "&amp;amp; and &amp;#39;"],
    ["a --&gt; b", "a --&gt; b"],
    ["日本語 😀 <i>x</i>", "日本語 😀 <i>x</i>"],
    ["one\n\ntwo", "one\ntwo"],
  ];
  for (const [cue, expected] of cases) assert.equal(textOfSample(timedTextSample(cue)), expected);
});

Deno.test("textOfSample: cut, empty, lengths and styles that lie → no text, no error", () => {
  const lies = timedTextSample("<i>x</i>");
  lies.set([0xff, 0xff], lies.length - 12); // a style beyond the text
  for (const sample of [[], [0], [0, 0], [0, 9, 65], [255, 255]]) {
    assert.equal(textOfSample(Uint8Array.from(sample)), "");
  }
  assert.match(textOfSample(lies), /x/);
});

Deno.test("textOfSample: UTF-16 with a byte order mark → the same text", () => {
  assert.equal(textOfSample(Uint8Array.of(0, 6, 0xfe, 0xff, 0, 65, 0, 66)), "AB");
});

Deno.test("writeWebVtt: cues → a file with times from 0", () => {
  assert.equal(
    writeWebVtt([{ start: 1, end: 2.5, text: "a" }, { start: 3661.0004, end: 3662, text: "b" }]),
    "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n" +
      "00:00:01.000 --> 00:00:02.500\na\n\n01:01:01.000 --> 01:01:02.000\nb\n",
  );
});
