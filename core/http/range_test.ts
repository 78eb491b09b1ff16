import assert from "node:assert/strict";
import fc from "fast-check";
import { parseContentRange, parseRange, resolveRange, resourceSize } from "./range.ts";

Deno.test("parseRange: a-b, a-, -n, several → ranges", () => {
  assert.deepEqual(parseRange("bytes=0-4"), { kind: "ranges", ranges: [{ kind: "from", start: 0, end: 4 }] });
  assert.deepEqual(parseRange("bytes=5-"), { kind: "ranges", ranges: [{ kind: "from", start: 5, end: null }] });
  assert.deepEqual(parseRange("bytes=-5"), { kind: "ranges", ranges: [{ kind: "suffix", length: 5 }] });
  const several = parseRange("bytes=0-1, 4-5,-2");
  assert.equal(several.kind === "ranges" && several.ranges.length, 3);
});

Deno.test("parseRange: another unit → none; malformed or too many → unusable", () => {
  assert.equal(parseRange("seconds=1-2").kind, "none");
  assert.equal(parseRange(null).kind, "none");
  const many = `bytes=${Array.from({ length: 1000 }, (_, i) => `${i}-${i}`).join(",")}`;
  for (
    const bad of ["bytes=NaN-NaN", "bytes=5-1", "bytes=-", "bytes=", "bytes=18446744073709551616-", "bytes=1-2-3", many]
  ) {
    assert.equal(parseRange(bad).kind, "unusable", bad.slice(0, 30));
  }
});

Deno.test("resolveRange: any range → within the body", () => {
  fc.assert(fc.property(fc.nat(1000), fc.nat(1000), fc.nat(1000), (start, length, size) => {
    const range = resolveRange({ kind: "from", start, end: start + length }, size);
    assert.equal(range.ok, start < size);
    if (range.ok) assert.deepEqual(range.value, { start, end: Math.min(start + length, size - 1) });
    const suffix = resolveRange({ kind: "suffix", length }, size);
    assert.equal(suffix.ok, length > 0 && size > 0);
    if (suffix.ok) assert.equal(suffix.value.end - suffix.value.start + 1, Math.min(length, size));
  }));
});

Deno.test("parseContentRange: span and size, either unknown; invalid → null", () => {
  assert.deepEqual(parseContentRange("bytes 0-4/10"), { span: { start: 0, end: 4 }, size: 10 });
  assert.deepEqual(parseContentRange("bytes */10"), { span: null, size: 10 });
  assert.deepEqual(parseContentRange("bytes 0-4/*"), { span: { start: 0, end: 4 }, size: null });
  for (const bad of [null, "", "bytes 5-4/10", "0-4/10", "bytes a-b/c"]) assert.equal(parseContentRange(bad), null);
});

Deno.test("resourceSize: 206 → by Content-Range, 200 → by Content-Length", () => {
  const size = (status: number, headers: Record<string, string>) =>
    resourceSize({ status, headers: new Headers(headers) });
  assert.equal(size(206, { "content-range": "bytes 0-4/100", "content-length": "5" }), 100);
  assert.equal(size(206, { "content-range": "bytes 0-4/*", "content-length": "5" }), null);
  assert.equal(size(206, { "content-length": "5" }), null);
  assert.equal(size(200, { "content-length": "100" }), 100);
  assert.equal(size(200, {}), null);
});
