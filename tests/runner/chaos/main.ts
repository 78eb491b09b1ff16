/**
 * `deno task chaos [seed]`: every fault at every point. Writes bench/results/chaos.json; if a gate is missed, writes the runners' logs to
 * .keepstream/chaos-<seed> and exits with 1.
 */
import { commandLine, wholeNumber } from "../../../cli/command_line.ts";
import { runChaos } from "./chaos.ts";
import { coverageTable, everyCell } from "./fault_plan.ts";
import { DRAIN_SECONDS, missedGates } from "./report.ts";
import { MAX_ATTEMPTS } from "./interruptions.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

const machine = { cores: navigator.hardwareConcurrency, load: Deno.loadavg()[0], deno: Deno.version.deno };
const seed = commandLine(
  { usage: "usage: deno task chaos [SEED]", positionals: 1 },
  ({ positionals: [text = `${crypto.getRandomValues(new Uint32Array(1))[0]}`] }) =>
    wholeNumber(text, "SEED", { min: 0, max: 2 ** 32 - 1 }),
);
const logs = new Map<string, readonly string[]>();
console.log(`seed ${seed}`);
const report = await runChaos({
  seed,
  cells: everyCell(),
  measured: true,
  log: (line) => console.log(`${new Date().toISOString()} ${line}`),
  onLog: (name, lines) => void logs.set(name, lines),
});
console.log(`\n${coverageTable(report.coverage)}\n`);
console.log({ ...report, coverage: "above", gates: { DRAIN_SECONDS, MAX_ATTEMPTS } });
const missed = missedGates(report);
if (missed.length === 0) {
  await Deno.writeTextFile(`${ROOT}bench/results/chaos.json`, JSON.stringify({ machine, ...report }, null, 2) + "\n");
  Deno.exit(0);
}
for (const problem of missed) console.error(`seed ${seed}: ${problem}`);
const dir = `${ROOT}.keepstream/chaos-${seed}`;
await Deno.mkdir(dir, { recursive: true });
for (const [name, lines] of logs) await Deno.writeTextFile(`${dir}/${name}.log`, lines.join("\n") + "\n");
console.error(`the runners' logs: ${dir}`);
Deno.exit(1);
