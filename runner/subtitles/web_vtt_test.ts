import assert from "node:assert/strict";
import { parseWebVtt } from "./web_vtt.ts";

const cues = (text: string) => parseWebVtt(text)!.cues.map(({ start, end, text }) => [start, end, text]);
const ONE = [[1, 2.5, "One"]];

for (
  const [what, text] of Object.entries({
    "LF": "WEBVTT\n\n00:01.000 --> 00:02.500\nOne\n",
    "CRLF": "WEBVTT\r\n\r\n00:01.000 --> 00:02.500\r\nOne\r\n",
    "CR": "WEBVTT\r\r00:01.000 --> 00:02.500\rOne\r",
    "BOM, header text": "\uFEFFWEBVTT - made by hand\nKind: captions\n\n00:01.000 --> 00:02.500\nOne",
    "hours": "WEBVTT\n\n000:00:01.000 --> 00:00:02.500\nOne",
    "decimal comma": "WEBVTT\n\n00:00:01,000 --> 00:00:02,500\nOne",
    "no blanks around the arrow": "WEBVTT\n\n00:01.000-->00:02.500\nOne",
    "identifier and settings": "WEBVTT\n\nintro\n00:01.000 --> 00:02.500 line:10%,end align:start region:r\nOne\n",
    "no blank line after the header": "WEBVTT\n00:01.000 --> 00:02.500\nOne",
    "NOTE with an arrow": "WEBVTT\n\nNOTE\nturns a --> b\n\n00:01.000 --> 00:02.500\nOne",
    "bad cues around": "WEBVTT\n\nx --> y\nbad\n\n00:01.000 --> 00:02.500\nOne\n\n00:09.000 --> 00:08.000\nbackwards",
    "NUL, blanks at the end": "WEBVTT\n\n00:01.000 --> 00:02.500  \nOne  \n",
  })
) {
  Deno.test(`parseWebVtt: ${what} → the cue`, () => assert.deepEqual(cues(text), ONE));
}

Deno.test("parseWebVtt: lines, no blank line between cues → all cues", () => {
  const text = "WEBVTT\n\n00:01.000 --> 00:02.000\nOne\n<i>two</i>\n00:03.000 --> 01:00:04.000\nThree";
  assert.deepEqual(cues(text), [[1, 2, "One\n<i>two</i>"], [3, 3604, "Three"]]);
});

for (
  const [tag, map] of [
    ["MPEGTS:900000,LOCAL:00:00:00.000", { source: 10, local: 0 }],
    ["LOCAL:01:00:02.500,MPEGTS:900000", { source: 10, local: 3602.5 }],
    ["LOCAL:00:02.500, MPEGTS:8589934591", { source: 8589934591 / 90_000, local: 2.5 }],
    ["MPEGTS:900000,LOCAL:0", { source: 10, local: 0 }],
    ["MPEGTS:900000", { source: 10, local: 0 }],
  ] as const
) {
  Deno.test(`parseWebVtt: X-TIMESTAMP-MAP=${tag} → both clocks`, () => {
    assert.deepEqual(parseWebVtt(`WEBVTT\nX-TIMESTAMP-MAP=${tag}\n\n00:01.000 --> 00:02.000\nOne`)!.map, map);
    assert.deepEqual(parseWebVtt(`WEBVTT\nX-TIMESTAMP-MAP=${tag}\n00:01.000 --> 00:02.000\nOne`)!.map, map);
  });
}

Deno.test("parseWebVtt: STYLE, REGION, invalid cues → counted", () => {
  const style = "STYLE\n::cue { color: red }\n\nREGION\nid:a\n\n";
  const { styles, invalid, map } = parseWebVtt(`WEBVTT\n\n${style}00:02.000 --> 00:01.000\nOne\n\na --> b\n`)!;
  assert.deepEqual([styles, invalid, map], [2, 2, null]);
});

Deno.test("parseWebVtt: no signature, another text → null", () => {
  for (const text of ["", "WEBVTTX\n", "1\n00:01.000 --> 00:02.000\nOne", "<html>"]) {
    assert.equal(parseWebVtt(text), null);
  }
});
