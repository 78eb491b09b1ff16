import assert from "node:assert/strict";
import { unwrap } from "../result.ts";
import { parseXml } from "./xml.ts";

Deno.test("XML: prefixes, quotes, CDATA, comments and references → values", () => {
  const root = unwrap(parseXml(
    `\uFEFF<?xml version="1.0"?><!-- <MPD> --><m:MPD xmlns:m='urn:x' a = "x>y" b='"' href="1" xlink:href="2">` +
      `<m:BaseURL>\n <!-- no --><![CDATA[http://a.test/?a=1&b=2]]>&amp;c&#38;&#x26;&unknown; </m:BaseURL><S r="1"/><S r="2" /></m:MPD>\n`,
  ));
  assert.equal(root.name, "MPD");
  assert.deepEqual(
    ["a", "b", "href", "xlink:href", "none"].map((name) => root.get(name)),
    ["x>y", '"', "1", "2", null],
  );
  assert.equal(root.child("BaseURL")!.text, "http://a.test/?a=1&b=2&c&&&unknown;");
  assert.deepEqual(root.all("S").map((one) => one.get("r")), ["1", "2"]);
});

Deno.test("XML: positions → the source of each tag and value", () => {
  const text = `<MPD><A b='c'>d</A ><E/></MPD>`;
  const [a, e] = unwrap(parseXml(text)).children;
  assert.ok(a && e);
  assert.equal(text.slice(a.start, a.contentStart), "<A b='c'>");
  assert.equal(text.slice(a.contentStart, a.contentEnd), "d");
  assert.equal(text.slice(a.start, a.end), "<A b='c'>d</A >");
  const { start, end } = a.attributes.get("b")!;
  assert.equal(text.slice(start, end), "'c'");
  assert.deepEqual([a.isEmptyTag, e.isEmptyTag], [false, true]);
});

for (
  const [name, text, code] of [
    ["a DTD with entities", '<!DOCTYPE m [<!ENTITY a "aaaa">]><MPD>&a;</MPD>', "malformed"],
    ["tags that do not match", "<MPD><A></B></MPD>", "malformed"],
    ["an open tag at the end", "<MPD><A>", "malformed"],
    ["a comment without an end", "<MPD><!-- </MPD>", "malformed"],
    ["two roots", "<MPD/><MPD/>", "malformed"],
    ["no element", "text", "malformed"],
    ["an attribute without quotes", "<MPD a=<b/></MPD>", "malformed"],
    ["33 levels", "<a>".repeat(33) + "</a>".repeat(33), "too_large"],
    ["100,001 elements", `<MPD>${"<S/>".repeat(100_000)}</MPD>`, "too_large"],
  ] as const
) {
  Deno.test(`XML: ${name} → ${code}`, () => {
    const parsed = parseXml(text);
    assert.equal(parsed.ok ? "accepted" : parsed.error.code, code);
  });
}
