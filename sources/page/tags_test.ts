import assert from "node:assert/strict";
import { tags } from "./tags.ts";

const read = (html: string) => [...tags(html)].map(({ name, attributes }) => [name, Object.fromEntries(attributes)]);

Deno.test("tags: mixed case and quotes → read as browsers do", () => {
  assert.deepEqual(read(`<p>a < b<IFRAME SRC='/e?a=1&amp;b=2' src=no data-x=">" allowfullscreen/></Video >`), [
    ["p", {}],
    ["", {}],
    ["iframe", { src: "/e?a=1&b=2", "data-x": ">", allowfullscreen: "" }],
    ["/video", {}],
  ]);
  assert.deepEqual(read(`<a title="&#65;&#x1F600;&copy;&#0;&amp" b = c d='&quot;'>`), [
    ["a", { title: "A😀&copy;\ufffd&amp", b: "c", d: '"' }],
  ]);
});

Deno.test("tags: comments, scripts, styles, unclosed tags → not read", () => {
  assert.deepEqual(read(`<!-- <a> --><script x=1>"<b>"</SCRIPT><style><c></style><d>`).map(([name]) => name), [
    "script",
    "/script",
    "style",
    "/style",
    "d",
  ]);
  for (const open of ["<a", "<a b", '<a b="', "<!-- <a>", "<", "</", "<3>", ""]) {
    assert.deepEqual(read(open).filter(([name]) => name !== ""), [], open);
  }
  assert.deepEqual(read("a < b <3> <i>").map(([name]) => name), ["", "", "i"], "a bracket that opens nothing");
});
