import assert from "node:assert/strict";
import { RpcError } from "./rpc_error.ts";

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
