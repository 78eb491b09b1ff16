/** The short form of `deno task chaos`: every point once, every fault once, the pairs chosen by the seed. */
import assert from "node:assert/strict";
import { runChaos } from "./chaos.ts";
import { type Cell, FAULTS, POINTS } from "./fault_plan.ts";
import { DRAIN_SECONDS } from "./report.ts";

const seed = Number(Deno.env.get("KEEPSTREAM_CHAOS_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);

Deno.test(`chaos: three runners, every fault, every point → every job ends, every archive hashes right (seed ${seed})`, async () => {
  const cells = POINTS.map((point, i): Cell => [point, FAULTS[(i + seed) % FAULTS.length]!]);
  const report = await runChaos({ seed, cells, measured: false });
  const told = `KEEPSTREAM_CHAOS_SEED=${seed}: ${JSON.stringify(report)}`;
  assert.deepEqual(report.problems, [], told);
  assert.deepEqual(report.missed, [], told);
  assert.ok(report.drainSeconds <= DRAIN_SECONDS);
  assert.ok(report.copies >= report.jobs);
});
