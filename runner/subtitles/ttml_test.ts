import assert from "node:assert/strict";
import { parseTtml } from "./ttml.ts";

const NAMESPACES = 'xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ' +
  'xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:smpte="http://www.smpte-ra.org/schemas/2052-1/2010/smpte-tt"';
const documentOf = (body: string, attributes = "") =>
  `<?xml version="1.0" encoding="UTF-8"?><tt ${NAMESPACES} ${attributes}><head><layout/></head>${body}</tt>`;
const cues = (body: string, attributes?: string) =>
  parseTtml(documentOf(body, attributes))!.cues.map(({ start, end, text }) => [start, end, text]);

for (
  const [begin, end, attributes, times] of [
    ["00:00:01.5", "00:01:02.250", "", [1.5, 62.25]],
    ["1.5s", "62250ms", "", [1.5, 62.25]],
    ["0.5m", "0.25h", "", [30, 900]],
    ["00:00:01:12", "48f", 'ttp:frameRate="24"', [1.5, 2]],
    ["30f", "60f", 'ttp:frameRate="30" ttp:frameRateMultiplier="1000 1001"', [1.001, 2.002]],
    ["15000000t", "20000000t", 'ttp:tickRate="10000000"', [1.5, 2]],
  ] as const
) {
  Deno.test(`parseTtml: ${begin} to ${end} ${attributes.slice(0, 20)} → seconds`, () => {
    const [cue] = cues(`<body><div><p begin="${begin}" end="${end}">One</p></div></body>`, attributes);
    assert.deepEqual(cue!.slice(0, 2).map((time) => Number(Number(time).toFixed(6))), times);
  });
}

Deno.test("parseTtml: body, div, p, span with times → added up, inside the parent", () => {
  const body =
    '<body begin="10s"><div begin="1s" dur="5s"><p begin="2s" end="9s">One</p><p dur="1s">two</p></div></body>';
  assert.deepEqual(cues(body), [[13, 16, "One"], [11, 12, "two"]]);
  const spans =
    '<body><div><p begin="1s" end="9s">A<span begin="2s"> b</span><span begin="4s" end="6s"> c</span></p></div></body>';
  assert.deepEqual(cues(spans), [[1, 3, "A"], [3, 5, "A b"], [5, 7, "A b c"], [7, 9, "A b"]]);
  const seq = '<body><div timeContainer="seq"><p dur="2s">One</p><p begin="1s" dur="2s">two</p></div></body>';
  assert.deepEqual(cues(seq), [[0, 2, "One"], [3, 5, "two"]]);
});

Deno.test("parseTtml: br, white space, entities, spans → lines of escaped text", () => {
  const p = '<p begin="1s" end="2s">\n  One &amp; <span tts:color="red">two</span><br/>\n  3 &lt; 4  </p>';
  assert.deepEqual(cues(`<body><div>${p}</div></body>`), [[1, 2, "One &amp; two\n3 &lt; 4"]]);
});

Deno.test("parseTtml: prefixed elements → read", () => {
  const xml =
    '<tt:tt xmlns:tt="http://www.w3.org/ns/ttml"><tt:body><tt:div><tt:p begin="1s" end="2s">One</tt:p></tt:div></tt:body></tt:tt>';
  assert.deepEqual(parseTtml(xml)!.cues, [{ start: 1, end: 2, text: "One" }]);
});

Deno.test("parseTtml: no end → until the end of the segment", () => {
  assert.deepEqual(cues("<body><div><p>One</p></div></body>"), [[0, Infinity, "One"]]);
});

Deno.test("parseTtml: images → counted, no cue", () => {
  const body = '<body><div begin="1s" end="2s" smpte:backgroundImage="#a"/><div><image src="a.png"/></div></body>';
  const { cues, images } = parseTtml(documentOf(body))!;
  assert.deepEqual([cues, images], [[], 2]);
});

Deno.test("parseTtml: not TTML, a document type, too deep → null", () => {
  const entity =
    '<!DOCTYPE tt [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><tt><body><div><p end="1s">&b;</p></div></body></tt>';
  const deep = documentOf(`<body>${"<div>".repeat(200)}${"</div>".repeat(200)}</body>`);
  for (const text of ["", "text", "<html></html>", "<tt", entity, deep]) {
    assert.equal(parseTtml(text), null, text.slice(0, 40));
  }
});

Deno.test("parseTtml: hostile documents → bounded", () => {
  const spans = Array.from({ length: 2000 }, (_, i) => `<span begin="${i}s" end="${i + 1}s">x</span>`).join("");
  const { cues, invalid } = parseTtml(
    documentOf(`<body><div><p>${spans}</p><p end="1s">${"x".repeat(9000)}</p></div></body>`),
  )!;
  assert.deepEqual([cues, invalid], [[], 2]);
});
