/** The short form of `deno task chaos`: every point and every fault once, paired by the seed. */
import assert from "node:assert/strict";
import { runChaos } from "./chaos.ts";
import { type Cell, FAULTS, POINTS } from "./fault_plan.ts";
import { DRAIN_SECONDS } from "./report.ts";

const seed = Number(Deno.env.get("KEEPSTREAM_CHAOS_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);

Deno.test(`chaos: every fault, every point → every job ready, hashes right (seed ${seed})`, async () => {
  const cells = POINTS.map((point, i): Cell => [point, FAULTS[(i + seed) % FAULTS.length]!]);
  const report = await runChaos({ seed, cells, measured: false });
  const message = `KEEPSTREAM_CHAOS_SEED=${seed}: ${JSON.stringify(report)}`;
  assert.deepEqual(report.problems, [], message);
  assert.deepEqual(report.missed, [], message);
  assert.ok(report.drainSeconds <= DRAIN_SECONDS);
  assert.ok(report.copies >= report.jobs);
});
