// The circuit breaker, with a simulated clock.

import assert from "node:assert/strict";
import { createCircuitBreaker } from "./circuit_breaker.ts";
import { byPreference } from "./primary.ts";
import { StorageError, type StorageProblem } from "../transfer/storage_error.ts";

function createBreaker() {
  let nowMs = 1_000_000;
  const breaker = createCircuitBreaker({ now: () => nowMs });
  const fail = (problem: StorageProblem, retryAfterSeconds?: number) =>
    breaker.failed("hub:a", problem, new StorageError(problem, "why", { code: "storage_5xx", retryAfterSeconds }));
  return { breaker, fail, pass: (seconds: number) => nowMs += seconds * 1000 };
}

for (
  const [problem, state] of [["auth", "auth"], ["quota", "quota"], ["account_flagged", "abuse"]] as const
) {
  Deno.test(`circuit: ${problem} → open, one attempt after ten minutes`, () => {
    const { breaker, fail, pass } = createBreaker();
    fail(problem);
    assert.equal(breaker.openReason("hub:a")?.retryAfterSeconds, 600);
    assert.equal(breaker.all()[0]?.state, state);
    pass(600);
    assert.equal(breaker.openReason("hub:a"), null);
  });
}

Deno.test("circuit: three transient failures in a row → open, longer each time", () => {
  const { breaker, fail, pass } = createBreaker();
  fail("transient");
  fail("transient");
  assert.equal(breaker.openReason("hub:a"), null);
  fail("transient");
  assert.equal(breaker.openReason("hub:a")?.retryAfterSeconds, 60);
  pass(60);
  assert.equal(breaker.openReason("hub:a"), null, "one attempt is let through");
  fail("transient");
  assert.equal(breaker.openReason("hub:a")?.retryAfterSeconds, 120);
  for (let i = 0; i < 9; i++) fail("transient");
  assert.equal(breaker.openReason("hub:a")?.retryAfterSeconds, 1800);
  breaker.succeeded("hub:a");
  assert.equal(breaker.openReason("hub:a"), null);
  assert.equal(breaker.all()[0]?.failuresInRow, 0);
});

Deno.test("circuit: Retry-After → open for that long", () => {
  const { breaker, fail, pass } = createBreaker();
  fail("transient", 280);
  assert.equal(breaker.openReason("hub:a")?.retryAfterSeconds, 280);
  pass(280);
  assert.equal(breaker.openReason("hub:a"), null);
});

Deno.test("circuit: a problem of the file → stays closed", () => {
  const { breaker, fail } = createBreaker();
  for (const problem of ["refused", "changed", "conflict"] as const) fail(problem);
  assert.equal(breaker.openReason("hub:a"), null);
});

Deno.test("byPreference: by used bytes; unknown → mal_id modulo N", () => {
  const targets = [1, 2, 3].map((account) => ({ name: `t${account}`, account }));
  const names = (malId: number, used: Record<string, number | null>) =>
    byPreference(targets, { malId, usedBytes: (name) => used[name] ?? null }).map((target) => target.name).join(" ");
  assert.equal(names(1, { t1: 30, t2: 10, t3: 20 }), "t2 t3 t1");
  assert.equal(names(4, { t1: 30, t2: 10, t3: null }), "t2 t3 t1");
  assert.equal(names(6, {}), "t1 t2 t3");
  assert.equal(byPreference([], { malId: 1, usedBytes: () => null }).length, 0);
});
