import assert from "node:assert/strict";
import { dataOf, RpcError } from "./rpc_error.ts";

const of = (status: number, code?: string) => new RpcError("claim", { status, message: "no", code });

Deno.test("RpcError: no response, 5xx, 429 → unavailable; a refusal → not", () => {
  assert.deepEqual([0, 500, 503, 429].map((status) => of(status).isUnavailable), [true, true, true, true]);
  assert.deepEqual([400, 401, 403, 404, 409].map((status) => of(status).isUnavailable), Array(5).fill(false));
});

Deno.test("RpcError: 404 of our functions → missing row; of PostgREST → not", () => {
  assert.equal(of(404, "PT404").isMissingRow, true);
  assert.equal(of(404).isMissingRow, true);
  assert.equal(of(404, "PGRST202").isMissingRow, false);
  assert.equal(of(409, "PT409").isMissingRow, false);
});

Deno.test("RpcError: the message names the call and contains no signature", () => {
  const error = new RpcError("claim", { status: 500, message: "https://h.test/a?sig=secret failed", code: "" });
  assert.match(error.message, /^claim: /);
  assert.doesNotMatch(error.message, /secret/);
  assert.equal(error.code, undefined);
});

function errorOf(code: string | undefined, status: number): unknown {
  try {
    return dataOf("cancel_video", { data: null, error: { message: "no such job", ...(code && { code }) }, status });
  } catch (error) {
    return error;
  }
}

Deno.test("dataOf: no error → the data", () => {
  assert.deepEqual(dataOf("list", { data: [1], error: null, status: 200 }), [1]);
});

Deno.test("dataOf: an error → RpcError with call, code, status and detail", () => {
  const error = errorOf("PT404", 404);
  assert.ok(error instanceof RpcError);
  assert.equal(error.message, "cancel_video: no such job");
  assert.deepEqual([error.code, error.status, error.detail], ["PT404", 404, "no such job"]);
});

Deno.test("RpcError: data and constraint errors → invalid input; outages → not", () => {
  const isInvalidInput = (code: string, status: number) => (errorOf(code, status) as RpcError).isInvalidInput;
  for (const code of ["22P02", "23505", "PT422", "PGRST102"]) assert.equal(isInvalidInput(code, 400), true, code);
  for (const code of ["57014", "40001", "PGRST003", "", "08006"]) assert.equal(isInvalidInput(code, 503), false, code);
});
