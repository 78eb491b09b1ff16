import assert from "node:assert/strict";
import { asWebVtt } from "./web_vtt.ts";

Deno.test("WebVTT: SubRip → header, timings with dots, no overrides", () => {
  const srt =
    "\uFEFF1\r\n0:00:01,5 --> 00:00:02,000  X1:0\r\n{\\an8}<i>Hi</i> {x} --> you\r\n\r\n2\r\n100:00:03,000 --> 100:00:04,000\r\n日本\r\n";
  assert.equal(
    asWebVtt(srt),
    "WEBVTT\n\n1\n00:00:01.500 --> 00:00:02.000\n<i>Hi</i> {x} → you\n\n2\n100:00:03.000 --> 100:00:04.000\n日本\n",
  );
  assert.match(asWebVtt("00:00:01,000 --> 00:00:02,000\nwithout numbers")!, /^WEBVTT\n\n00:00:01\.000 --> /);
});

Deno.test("WebVTT: WebVTT → unchanged; other formats → null", () => {
  const vtt = "WEBVTT - title\n\nNOTE x\n\n00:01.000 --> 00:02.000 line:0\nHi\n";
  assert.equal(asWebVtt(vtt), vtt);
  for (
    const other of [
      "[Script Info]\nTitle: x\n",
      '<tt xmlns=""></tt>',
      "",
      "<html>",
      "WEBVTTX\n",
      "a\n".repeat(50) + "00:00:01,000 --> 00:00:02,000",
    ]
  ) {
    assert.equal(asWebVtt(other), null, other.slice(0, 20));
  }
});
