import assert from "node:assert/strict";
import { decodeText, isAss, readSubtitleFile } from "./subtitle_text.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const utf16 = (text: string, bigEndian: boolean) => {
  const view = new DataView(new ArrayBuffer(2 + 2 * text.length));
  [0xfeff, ...Array.from(text, (letter) => letter.charCodeAt(0))].forEach((unit, i) =>
    view.setUint16(2 * i, unit, !bigEndian)
  );
  return new Uint8Array(view.buffer);
};
const CUES = [{ start: 1, end: 2.5, text: "Où <i>est</i>-il?" }];
const SRT = "1\r\n00:00:01,000 --> 00:00:02,500\r\nOù <i>est</i>-il?\r\n\r\n";

for (
  const [what, bytes] of [
    ["WebVTT", utf8("WEBVTT\n\n00:01.000 --> 00:02.500\nOù <i>est</i>-il?\n")],
    ["SubRip", utf8(SRT)],
    ["SubRip with a byte order mark", utf8(`\ufeff${SRT}`)],
    ["SubRip without numbers", utf8(SRT.slice(3))],
    ["SubRip in UTF-16LE", utf16(SRT, false)],
    ["SubRip in UTF-16BE", utf16(SRT, true)],
    ["SubRip in Windows-1252", Uint8Array.from(SRT, (letter) => letter.charCodeAt(0))],
  ] as const
) {
  Deno.test(`readSubtitleFile: ${what} → its cues`, () => {
    assert.deepEqual(readSubtitleFile(bytes), { cues: CUES, problems: [] });
  });
}

Deno.test("readSubtitleFile: TTML → its cues", () => {
  const text = '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="2s">One</p></div></body></tt>';
  assert.deepEqual(readSubtitleFile(utf8(text)).cues, [{ start: 1, end: 2, text: "One" }]);
});

Deno.test("readSubtitleFile: empty, a web page, binary → no cue, a reason", () => {
  for (const bytes of [utf8(""), utf8("<!doctype html><p>Not found"), new Uint8Array(1000), utf8("00:00:01,000")]) {
    const { cues, problems } = readSubtitleFile(bytes);
    assert.deepEqual([cues.length, problems.length], [0, 1]);
  }
});

Deno.test("isAss: by its first section", () => {
  assert.ok(isAss(utf8("\ufeff[Script Info]\nTitle: x")));
  assert.ok(isAss(utf16("[script info]\r\n", false)));
  assert.ok(!isAss(utf8(SRT)));
  assert.equal(decodeText(utf16("é", true)), "é");
});
