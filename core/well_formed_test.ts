import assert from "node:assert/strict";
import { wellFormed } from "./well_formed.ts";

Deno.test("wellFormed: strings and keys at any depth → well-formed", () => {
  const value = { a: ["x\0y", { "k\ud800": "😀\udc00" }], n: 1, none: null, yes: true, missing: undefined };
  assert.deepEqual(wellFormed(value), {
    a: ["xy", { "k\ufffd": "😀\ufffd" }],
    n: 1,
    none: null,
    yes: true,
    missing: undefined,
  });
});
