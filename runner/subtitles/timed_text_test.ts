import assert from "node:assert/strict";
import { parseCueText, timedTextSample } from "./timed_text.ts";

for (
  const [cueText, text] of [
    ["One\ntwo", "One\ntwo"],
    ["<v Bob>Hi <c.yellow>you</c></v>", "Hi you"],
    ["<00:00:01.500>ka<00:00:01.700>ra", "kara"],
    ["a &amp; b &lt;i&gt; &#39;c&#x27; &nbsp;&lrm;&rlm;", "a & b <i> 'c' \u00a0\u200e\u200f"],
    ["&amp;lt; &unknown; &#0; &#xd800; AT&T", "&lt; &unknown; &#0; &#xd800; AT&T"],
    ["a < b, {c} \\N", "a < b, {c} \\N"],
    ["{\\an8}top {\\i1}x{\\i0}", "top x"],
  ] as const
) {
  Deno.test(`parseCueText: ${JSON.stringify(cueText).slice(0, 40)} → its text`, () => {
    assert.deepEqual(parseCueText(cueText), { text, styles: [] });
  });
}

Deno.test("parseCueText: b, i, u, nested, unclosed → styles by characters", () => {
  assert.deepEqual(parseCueText("🎌 <b>bold <i.c>both</i></b> <u>line"), {
    text: "🎌 bold both line",
    styles: [{ start: 2, end: 7, face: 1 }, { start: 7, end: 11, face: 3 }, { start: 12, end: 16, face: 4 }],
  });
});

Deno.test("timedTextSample: a text, then its styles", () => {
  assert.deepEqual(timedTextSample("é"), Uint8Array.of(0, 2, 0xc3, 0xa9));
  const sample = timedTextSample("<i>a</i>");
  assert.deepEqual(sample.subarray(0, 3), Uint8Array.of(0, 1, 97));
  const styl = Uint8Array.of(0, 0, 0, 22, 0x73, 0x74, 0x79, 0x6c, 0, 1, 0, 0, 0, 1, 0, 1, 2, 16, 255, 255, 255, 255);
  assert.deepEqual(sample.subarray(3), styl);
});

Deno.test("parseCueText: hostile markup → bounded", () => {
  assert.ok(parseCueText("<b>x</b>".repeat(1000)).styles.length <= 500);
  for (const text of ["<".repeat(8000), "&".repeat(8000), "{\\".repeat(4000), "<b".repeat(4000)]) {
    assert.equal(parseCueText(text).text.length, text.length);
  }
});
