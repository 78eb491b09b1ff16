import assert from "node:assert/strict";
import { createCapacity } from "./capacity.ts";

function makeCapacity(more: { closed?: boolean; kept?: boolean } = {}) {
  const state = { jobs: 2, running: 0, now: 0, removed: 0 };
  const capacity = createCapacity({
    targets: [{ name: "hub:alice" }],
    breaker: { openReason: () => more.closed ? new Error("closed") as never : null },
    disk: {
      capacity: () => Promise.resolve(state.jobs),
      problem: () => Promise.resolve(state.jobs > 0 ? null : "the work directory is full or read-only"),
    },
    running: () => state.running,
    removeKept: () => {
      state.removed++;
      if (more.kept) state.jobs = 3;
      return Promise.resolve();
    },
    now: () => state.now,
  });
  return { capacity, state };
}

Deno.test("capacity: by the disk; every circuit open → none, with the reason", async () => {
  assert.deepEqual(await makeCapacity().capacity(), { jobs: 2 });
  const { jobs, missing } = await makeCapacity({ closed: true }).capacity();
  assert.deepEqual([jobs, missing?.code], [0, "storage_5xx"]);
});

Deno.test("capacity: full for a minute, nothing running → kept files are deleted", async () => {
  const { capacity, state } = makeCapacity({ kept: true });
  state.jobs = 0;
  assert.equal((await capacity()).missing?.code, "disk_full");
  state.now = 59_999;
  assert.equal((await capacity()).jobs, 0);
  assert.equal(state.removed, 0);
  state.now = 60_000;
  assert.deepEqual([await capacity(), state.removed], [{ jobs: 3 }, 1]);
});

Deno.test("capacity: full, a job running → nothing is deleted", async () => {
  const { capacity, state } = makeCapacity({ kept: true });
  Object.assign(state, { jobs: 0, running: 1 });
  for (state.now = 0; state.now < 600_000; state.now += 10_000) assert.equal((await capacity()).jobs, 0);
  assert.equal(state.removed, 0);
});
