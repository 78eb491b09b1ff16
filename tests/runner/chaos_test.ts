/**
 * The short form is a normal test; `deno task chaos` sets KEEPSTREAM_CHAOS_PASSES and strikes every point again and again.
 */
import assert from "node:assert/strict";
import { POINTS, runChaos } from "./chaos.ts";

const passes = Number(Deno.env.get("KEEPSTREAM_CHAOS_PASSES") ?? 0);
const seed = Number(Deno.env.get("KEEPSTREAM_CHAOS_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const SHORT = [
  "killed in mid-download",
  "killed with the commit landed, unrecorded",
  "store recorded, reply lost",
  "SIGSTOP for longer than the lease",
  "killed in a sweep, connections cut",
];

Deno.test(`chaos: three runners, killed, stopped and cut off → every job ends, every archive hashes right (seed ${seed})`, async () => {
  const log = passes > 0 ? console.log : () => {};
  const report = await runChaos({ seed, passes: passes || 1, jobs: 3, points: passes > 0 ? POINTS : SHORT, log });
  log(JSON.stringify(report, null, 2));
  assert.deepEqual(report.problems, [], `seed ${seed}: ${JSON.stringify(report)}`);
  assert.ok(report.copies >= report.jobs - report.exhausted);
  assert.ok(report.exhausted <= (passes > 0 ? 2 : 0), JSON.stringify(report));
});
