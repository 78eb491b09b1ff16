import assert from "node:assert/strict";
import { ranged } from "../../dev/testing/fetch_fixture.ts";
import { fetchPiece } from "./segment_fetch.ts";

const BYTES = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

/** Fetches from `host`. */
function piece(host: (request: Request) => Response, byteRange: { offset: number; length: number } | null = null) {
  return fetchPiece({ url: "https://cdn.test/s.ts", byteRange }, {
    fetch: (url, init) => Promise.resolve(host(new Request(url, init))),
    policy: {},
    headers: {},
    signal: new AbortController().signal,
    dropSlow: false,
  });
}

Deno.test("fetchPiece: a byte range, even if the host ignores Range → those bytes", async () => {
  const span = { offset: 300, length: 200 };
  assert.deepEqual(await piece((request) => ranged(request, BYTES), span), BYTES.slice(300, 500));
  assert.deepEqual(await piece(() => new Response(BYTES.slice()), span), BYTES.slice(300, 500));
});

Deno.test("fetchPiece: another range of the same length (a cache) → refused", async () => {
  const other = (start: number, end: number) => () =>
    new Response(BYTES.slice(start, end + 1), {
      status: 206,
      headers: { "content-range": `bytes ${start}-${end}/1000` },
    });
  await assert.rejects(piece(other(0, 199), { offset: 300, length: 200 }), {
    code: "network",
    message: /byte 0 .* 300/,
  });
  await assert.rejects(piece(other(300, 499)), { code: "network" }, "the middle, where the whole was asked for");
});

Deno.test("fetchPiece: a part instead of the whole → refused", async () => {
  const part = () =>
    new Response(BYTES.slice(0, 500), { status: 206, headers: { "content-range": "bytes 0-499/1000" } });
  await assert.rejects(piece(part), { code: "network", message: /499 .* 1000/ });
  const whole = () => new Response(BYTES.slice(), { status: 206, headers: { "content-range": "bytes 0-999/1000" } });
  assert.deepEqual(await piece(whole), BYTES);
});
