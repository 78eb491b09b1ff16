/** `deno task chaos [seed]`: every fault at every point; writes bench/results/chaos.json and ends with 1 when a gate is missed. */
import { DRAIN_SECONDS, LEASE_SECONDS, MAX_RUNS, MEASURED_SWEEP_MS, runChaos } from "./chaos.ts";
import { coverageTable, everyCell } from "./fault_plan.ts";

const RESULT = new URL("../../bench/results/chaos.json", import.meta.url);

const machine = { cores: navigator.hardwareConcurrency, load: Deno.loadavg()[0], deno: Deno.version.deno };
const seed = Number(Deno.args[0] ?? crypto.getRandomValues(new Uint32Array(1))[0]);
console.log(`seed ${seed}`);
const report = await runChaos({ seed, cells: everyCell(), measured: true, log: console.log });
const problems = [...report.problems];
if (report.missed.length > 0) {
  problems.push(`did not strike: ${report.missed.map((cell) => cell.join(" × ")).join("; ")}`);
}
if ((report.slotsInUse ?? 0) < 0.95) problems.push(`slots in use while work waits: ${report.slotsInUse}`);
if (!report.handedOnSeconds.every((seconds) => seconds <= LEASE_SECONDS + MEASURED_SWEEP_MS / 1000 + 0.5)) {
  problems.push(`a killed runner's jobs were handed on after ${report.handedOnSeconds.join(", ")} s`);
}
console.log(`\n${coverageTable(report.coverage)}\n`);
console.log({ ...report, coverage: "above", gates: { DRAIN_SECONDS, MAX_RUNS } });
for (const problem of problems) console.error(`seed ${seed}: ${problem}`);
if (problems.length === 0) await Deno.writeTextFile(RESULT, JSON.stringify({ machine, ...report }, null, 2) + "\n");
Deno.exit(problems.length === 0 ? 0 : 1);
