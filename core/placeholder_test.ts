import assert from "node:assert/strict";
import { placeholderIn, placeholderProblems } from "./placeholder.ts";

for (
  const value of [
    "https://<ref>.supabase.co",
    '{"default":"sb_secret_…"}',
    '{"default":"sb_secret_..."}',
    "whsec_<base64>",
    "k1:<base64url of 32 bytes>",
    "…",
    "hf_…",
    "hf_xxxxxxxx",
    "changeme",
    "CHANGE_ME",
    "replace-this",
    "your-token-here",
    "https://your-project.supabase.co",
    "https://worker.example.com",
    "https://media.example/video",
    "TODO",
    "secret",
    "********",
    "${RUNNER_WEBHOOK_SECRET}",
    "{{ secret }}",
    "env(RUNNER_WEBHOOK_SECRET)",
  ]
) {
  Deno.test(`placeholderIn: ${value} → a placeholder`, () => assert.notEqual(placeholderIn(value), null));
}

Deno.test("placeholderIn: values in use → none", () => {
  for (
    const value of [
      "https://abcdefghijklmnopqrst.supabase.co",
      '{"default":"sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"}',
      `k1:${"A".repeat(43)},k0:xxxxAAAA_BBBB-${"c".repeat(29)}`,
      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
      "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln",
      "https://my-worker.my-account.workers.dev",
      "/data",
      "on",
      "keystream/1.0 (+https://own.test)",
      "2",
    ]
  ) {
    assert.equal(placeholderIn(value), null, value);
  }
});

Deno.test("placeholderProblems: variable and placeholder, not the whole value", () => {
  assert.deepEqual(placeholderProblems({ A: "s3cret<here>", B: "fine", C: 1 }, ["A", "B", "C", "D"]), [
    "A: still contains the placeholder <here>",
  ]);
});
