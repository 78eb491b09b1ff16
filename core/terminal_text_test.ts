import assert from "node:assert/strict";
import { terminalJson, terminalLines, terminalText } from "./terminal_text.ts";

// deno-lint-ignore no-control-regex
const COMMAND = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

const HOSTILE = [
  "\u001b[2J\u001b[H",
  "\u001b]0;title\u0007",
  "\u001b]8;;https://evil.test/\u001b\\click\u001b]8;;\u001b\\",
  "\u001b]52;c;cm0gLXJm\u001b\\",
  "\u009b31m",
  "\u009d0;title\u009c",
  "\u001bP+q\u001b\\",
  "\u202egpj.exe\u202c",
  "\u2066a\u2069",
  "a\rb",
  "a\bb\u007f",
  "\u0000\u0007\u000e\u000f",
  "one\ntwo\r\nthree\u0085four\u2028five\u2029six\tseven",
];

Deno.test("terminalText: escapes, controls and bidi overrides → removed", () => {
  for (const text of HOSTILE) assert.doesNotMatch(terminalText(`x${text}y`), COMMAND, JSON.stringify(text));
  assert.equal(terminalText("720p\u001b]0;owned\u0007\u202egpj"), "720p]0;ownedgpj");
  assert.equal(terminalText(HOSTILE.at(-1)!), "one two three four five six seven");
  const words = "Ünïcödé 日本語 العربية 👩‍👩‍👧 – “720p”";
  assert.equal(terminalText(words), words);
});

Deno.test("terminalLines: line breaks → kept, other controls → removed", () => {
  assert.equal(terminalLines("a\u001b[1m\nb\rc\n"), "a[1m\nb c\n");
});

Deno.test("terminalJson: control characters → escaped, same value", () => {
  for (const indent of [undefined, 2]) {
    const value = { labels: HOSTILE, "\u009bname": 1 };
    const json = terminalJson(value, indent);
    assert.deepEqual(JSON.parse(json), value);
    assert.doesNotMatch(json.replaceAll("\n", ""), COMMAND);
  }
  assert.equal(terminalJson({ a: [1, "\u009b"] }, 2), '{\n  "a": [\n    1,\n    "\\u009b"\n  ]\n}');
});
