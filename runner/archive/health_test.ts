// The circuit breaker of a target, with a clock that the test moves.

import assert from "node:assert/strict";
import { createHealthBook } from "./health.ts";
import { byPreference } from "./primary.ts";
import { type Problem, StorageError } from "../transfer/storage_error.ts";

function createBook() {
  let nowMs = 1_000_000;
  const health = createHealthBook({ now: () => nowMs });
  const fail = (problem: Problem, retryAfterSeconds?: number) =>
    health.failed("hub:a", problem, new StorageError(problem, "why", { code: "storage_5xx", retryAfterSeconds }));
  return { health, fail, pass: (seconds: number) => nowMs += seconds * 1000 };
}

for (const problem of ["auth", "quota", "abuse"] as const) {
  Deno.test(`a target that fails by ${problem} is left alone at once, and tried again after ten minutes`, () => {
    const { health, fail, pass } = createBook();
    fail(problem);
    assert.equal(health.closedFor("hub:a")?.retryAfterSeconds, 600);
    assert.equal(health.all()[0]?.state, problem);
    pass(600);
    assert.equal(health.closedFor("hub:a"), null);
  });
}

Deno.test("a slow target is left alone after three failures in a row, longer each time, half an hour at most", () => {
  const { health, fail, pass } = createBook();
  fail("slow");
  fail("slow");
  assert.equal(health.closedFor("hub:a"), null);
  fail("slow");
  assert.equal(health.closedFor("hub:a")?.retryAfterSeconds, 60);
  pass(60);
  assert.equal(health.closedFor("hub:a"), null, "one attempt is let through");
  fail("slow");
  assert.equal(health.closedFor("hub:a")?.retryAfterSeconds, 120);
  for (let i = 0; i < 9; i++) fail("slow");
  assert.equal(health.closedFor("hub:a")?.retryAfterSeconds, 1800);
  health.succeeded("hub:a");
  assert.equal(health.closedFor("hub:a"), null);
  assert.equal(health.all()[0]?.failuresInRow, 0);
});

Deno.test("a target that asks for a pause is left alone for just that long", () => {
  const { health, fail, pass } = createBook();
  fail("slow", 280);
  assert.equal(health.closedFor("hub:a")?.retryAfterSeconds, 280);
  pass(280);
  assert.equal(health.closedFor("hub:a"), null);
});

Deno.test("what is wrong with a file says nothing about its target", () => {
  const { health, fail } = createBook();
  for (const problem of ["refused", "changed", "conflict"] as const) fail(problem);
  assert.equal(health.closedFor("hub:a"), null);
});

Deno.test("byPreference puts the emptiest target first, and falls back to mal_id modulo N", () => {
  const targets = [1, 2, 3].map((account) => ({ name: `t${account}`, account }));
  const names = (malId: number, used: Record<string, number | null>) =>
    byPreference(targets, { malId, usedBytes: (name) => used[name] ?? null }).map((target) => target.name).join(" ");
  assert.equal(names(1, { t1: 30, t2: 10, t3: 20 }), "t2 t3 t1");
  assert.equal(names(4, { t1: 30, t2: 10, t3: null }), "t2 t3 t1");
  assert.equal(names(6, {}), "t1 t2 t3");
  assert.equal(byPreference([], { malId: 1, usedBytes: () => null }).length, 0);
});
