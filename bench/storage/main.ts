/**
 * `deno task bench:storage [memory] [client] [client-8192] [steps] [source]`: one file to five accounts, against the Hub's client used
 * five times; bytes sent again after kill -9 at each step; calls for a finished job; abort; reads of the source. Without names it measures
 * everything; otherwise other parts keep their last results. The hub is a separate process that counts bytes and stores none.
 * Writes bench/results/storage.json and storage.svg.
 */
import { cpus, loadavg, release, totalmem } from "node:os";
import { commandLine } from "../../cli/command_line.ts";
import type { ReplicateOrder, Step } from "../../dev/testing/replicate_program.ts";
import type { HubCall } from "../../dev/emulators/hub/state.ts";
import { barCharts } from "../queue/plot.ts";
import type { SourceRound } from "./source.ts";
import type { VariantOrder, VariantResult } from "./variant.ts";

const MIB = 1024 * 1024;
const RESULTS = new URL("../results/", import.meta.url);
const ACCOUNTS = ["ana", "ben", "cem", "dia", "eva"];
const PART_BYTES = 16 * MIB;
type Plan = readonly { readonly kind: "ours" | "client"; readonly sizeMiB: number; readonly rounds: number }[];
/** What each name measures. Rounds alternate, so that other load on the machine affects all of them. */
const PLANS: Record<string, Plan> = {
  memory: [
    { kind: "ours", sizeMiB: 256, rounds: 3 },
    { kind: "ours", sizeMiB: 2048, rounds: 2 },
    { kind: "ours", sizeMiB: 8192, rounds: 2 },
  ],
  client: [{ kind: "client", sizeMiB: 256, rounds: 3 }, { kind: "client", sizeMiB: 2048, rounds: 1 }],
  "client-8192": [{ kind: "client", sizeMiB: 8192, rounds: 1 }],
};
const NAMES = [...Object.keys(PLANS), "steps", "source"];
const KILLS: readonly (readonly [Step, "before" | "after", number])[] = [
  ["probe", "after", 1],
  ["create_repo", "after", 1],
  ["batch", "after", 1],
  ["part", "before", 8],
  ["part", "after", 16],
  ["complete", "after", 1],
  ["verify", "after", 1],
  ["commit", "before", 1],
  ["commit", "after", 1],
];

interface Round extends VariantResult {
  readonly kind: string;
  readonly sizeMiB: number;
  readonly round: number;
  readonly at: string;
  /** The machine's load before the round. */
  readonly load: number;
  readonly uploadedBytes: number;
}

const { positionals } = commandLine({
  usage: `usage: deno task bench:storage ${NAMES.map((name) => `[${name}]`).join(" ")}`,
  options: {},
  positionals: NAMES,
});
const wanted = positionals.length > 0 ? positionals : NAMES;
const dir = await Deno.makeTempDir({ prefix: "keepstream-bench-storage-" });
const hub = await startHubProgram();
let malId = 1;
try {
  const measured = await lastResults();
  for (const name of wanted) {
    if (name === "steps") measured.steps = await measureSteps();
    else if (name === "source") measured.source = await measureSource();
    else measured.rounds = [...keptRounds(measured.rounds, PLANS[name]!), ...await measurePlan(PLANS[name]!)];
  }
  await write(measured);
} finally {
  await hub.stop();
  await Deno.remove(dir, { recursive: true });
}

async function measurePlan(plan: Plan): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let round = 1; plan.some((entry) => entry.rounds >= round); round++) {
    for (const { kind, sizeMiB } of plan.filter((entry) => entry.rounds >= round)) {
      const measured = await measure(kind, sizeMiB, round);
      rounds.push(measured);
      const { cpuSeconds, peakMiB, wallSeconds } = measured;
      const what = `${cpuSeconds.toFixed(2)} CPU s, ${peakMiB.toFixed(0)} MiB, ${wallSeconds.toFixed(1)} s`;
      console.error(`${kind} ${sizeMiB} MiB: ${what}`);
    }
  }
  return rounds;
}

function keptRounds(rounds: readonly Round[], plan: Plan): Round[] {
  return rounds.filter((round) => !plan.some((entry) => entry.kind === round.kind && entry.sizeMiB === round.sizeMiB));
}

async function measureSteps(): Promise<Steps> {
  const hashing = await variant({ kind: "hash", ...await file(256) });
  const kills = [];
  for (const [step, when, nth] of KILLS) kills.push(await kill(step, when, nth));
  const finished = await finishedJob();
  const { abortMs } = await variant({ kind: "abort", ...await file(256) });
  return { hashing, kills, finished, abortMs: abortMs! };
}

async function measureSource(): Promise<SourceRound[]> {
  const output = await run([new URL("./source.ts", import.meta.url).pathname]);
  if (output.code !== 0) throw new Error("the source's rounds failed");
  return new TextDecoder().decode(output.stdout).trim().split("\n").map((line) => JSON.parse(line));
}

async function lastResults(): Promise<Measured> {
  const text = await Deno.readTextFile(new URL("storage.json", RESULTS)).catch(() => "{}"); // missing in the first run
  const { rounds = [], steps = null, source = [] } = JSON.parse(text);
  return { rounds, steps, source };
}

async function measure(kind: "ours" | "client", sizeMiB: number, round: number): Promise<Round> {
  const seen = (await hub.calls()).length;
  const load = loadavg()[0]!;
  const result = await variant({ kind, ...await file(sizeMiB) });
  const uploadedBytes = bytesOf((await hub.calls()).slice(seen));
  if (uploadedBytes !== sizeMiB * MIB * ACCOUNTS.length) throw new Error(`${kind} sent ${uploadedBytes} bytes`);
  return { kind, sizeMiB, round, at: new Date().toISOString(), load, ...result, uploadedBytes };
}

/** A sparse file that starts like an MP4 and differs from all others, with a title of its own. */
async function file(sizeMiB: number): Promise<{ path: string; malId: number }> {
  const path = `${dir}/work/${sizeMiB}.mp4`;
  await Deno.mkdir(`${dir}/work`, { recursive: true });
  using sparse = await Deno.open(path, { create: true, write: true });
  await sparse.write(new Uint8Array([0, 0, 0, 24, ...new TextEncoder().encode(`ftypisom${malId}`)]));
  await sparse.truncate(sizeMiB * MIB);
  return { path, malId: malId++ };
}

async function variant(order: Omit<VariantOrder, "env">): Promise<VariantResult> {
  const program = new URL("./variant.ts", import.meta.url).pathname;
  const output = await run([program, JSON.stringify({ ...order, env: hub.env })]);
  if (output.code !== 0) throw new Error(`${order.kind} failed`);
  return JSON.parse(new TextDecoder().decode(output.stdout));
}

async function kill(step: Step, when: "before" | "after", nth: number) {
  const { path, malId } = await file(256);
  const archive = { malId, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
  const order: ReplicateOrder = { path, archive, env: { ...hub.env, HF_STORAGE_ACCOUNT_COUNT: "1" } };
  const program = new URL("../../dev/testing/replicate_program.ts", import.meta.url).pathname;
  const seen = (await hub.calls()).length;
  const first = await run([program, JSON.stringify({ ...order, dieAt: step, when, nth })]);
  if (first.signal !== "SIGKILL") throw new Error(`not killed at ${step}`);
  const second = await run([program, JSON.stringify(order)]);
  if (second.code !== 0) throw new Error(`not ended after ${step}`);
  const calls = (await hub.calls()).slice(seen);
  return {
    point: `${when} ${step} ${nth}`,
    resentBytes: bytesOf(calls) - 256 * MIB,
    commits: calls.filter((call) => call.at === "commit" && call.status === 200).length,
  };
}

async function finishedJob() {
  const target = await file(256);
  await variant({ kind: "ours", ...target });
  const seen = (await hub.calls()).length;
  await variant({ kind: "ours", ...target });
  const calls = (await hub.calls()).slice(seen).map((call) => call.at);
  return { calls: calls.length, perTarget: calls.length / ACCOUNTS.length, operations: [...new Set(calls)] };
}

function run(args: string[]): Promise<Deno.CommandOutput> {
  return new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--no-check", ...args], stderr: "inherit" }).output();
}

function bytesOf(calls: readonly HubCall[]): number {
  return calls.filter((call) => call.at.startsWith("upload_")).reduce((sum, call) => sum + call.bytes, 0);
}

async function startHubProgram() {
  const program = new URL("../../dev/emulators/hub/main.ts", import.meta.url).pathname;
  const HUB_USERS = ACCOUNTS.map((name) => `${name}=hf_${name}`).join(",");
  const args = [
    "run",
    "-A",
    "--no-check",
    program,
    "--dir",
    `${dir}/hub`,
    "--discard",
    "--chunk-bytes",
    `${PART_BYTES}`,
  ];
  const child = new Deno.Command(Deno.execPath(), { args, env: { HUB_USERS }, stdout: "piped" }).spawn();
  const output = child.stdout.getReader();
  const { url } = JSON.parse(new TextDecoder().decode((await output.read()).value));
  const env: Record<string, string> = {
    HF_ENDPOINT: url,
    HF_REPO_PREFIX: "archive",
    HF_STORAGE_ACCOUNT_COUNT: `${ACCOUNTS.length}`,
  };
  ACCOUNTS.forEach((name, index) => {
    env[`HF_STORAGE_USERNAME_${index + 1}`] = name;
    env[`HF_TOKEN_STORAGE_${index + 1}`] = `hf_${name}`;
  });
  return {
    env,
    calls: async (): Promise<HubCall[]> => await (await fetch(`${url}/.control/calls`)).json(),
    async stop() {
      child.kill("SIGTERM");
      await output.cancel();
      await child.status;
    },
  };
}

interface Steps {
  readonly hashing: VariantResult;
  readonly kills: readonly { point: string; resentBytes: number; commits: number }[];
  readonly finished: { calls: number; perTarget: number; operations: string[] };
  readonly abortMs: number;
}

interface Measured {
  rounds: Round[];
  steps: Steps | null;
  source: SourceRound[];
}

async function write({ rounds, steps, source }: Measured): Promise<void> {
  const of = (kind: string, sizeMiB: number) =>
    rounds.filter((round) => round.kind === kind && round.sizeMiB === sizeMiB);
  const cpu = (kind: string, size: number) => median(of(kind, size).map((round) => round.cpuSeconds));
  const peak = (kind: string, size: number) => median(of(kind, size).map((round) => round.peakMiB));
  const sizes = [...new Set(rounds.map((round) => round.sizeMiB))].sort((a, b) => a - b);
  const largest = sizes.at(-1)!;
  const largestOurs = of("ours", largest)[0]!;
  const fileReads = (largestOurs.readBytes / (largest * MIB)) - ACCOUNTS.length;
  const goal = (value: number, limit: number) => ({ value: Number(value.toFixed(3)), limit, met: value <= limit });
  const cpuGoals = sizes.filter((size) => of("client", size).length > 0).map((size) => [
    `CPU, five replicas ÷ five client uploads, ${label(size)}`,
    goal(cpu("ours", size) / cpu("client", size), 0.35),
  ]);
  const goals = {
    "peak memory, largest ÷ 256 MiB": goal(peak("ours", largest) / peak("ours", 256), 1.2),
    "peak memory, MiB": goal(Math.max(...sizes.map((size) => peak("ours", size))), 200),
    "hash passes per file for five targets": goal(Math.round(fileReads), 1),
    ...Object.fromEntries(cpuGoals),
    ...stepGoals(steps, goal),
    ...Object.fromEntries(source.map((round) => [
      `source bytes ÷ size, five copies, ${round.source}`,
      goal(round.fetchedBytes / round.sourceBytes, 1.02),
    ])),
  };
  const machine = {
    os: `${Deno.build.os} ${release()}`,
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9),
    load: loadavg(),
    deno: Deno.version.deno,
  };
  const medianOf = (kind: string, size: number) =>
    of(kind, size).length > 0 ? { cpuSeconds: cpu(kind, size), peakMiB: peak(kind, size) } : null;
  const medians = Object.fromEntries(
    sizes.map((size) => [`${size} MiB`, { ours: medianOf("ours", size), client: medianOf("client", size) }]),
  );
  const results = { at: new Date().toISOString(), machine, goals, medians, source, steps, rounds };
  await Deno.mkdir(RESULTS, { recursive: true });
  await Deno.writeTextFile(new URL("storage.json", RESULTS), `${JSON.stringify(results, null, 2)}\n`);
  const compared = sizes.filter((size) => of("client", size).length > 0);
  await Deno.writeTextFile(
    new URL("storage.svg", RESULTS),
    barCharts([
      {
        title: "CPU for five accounts",
        unit: "seconds per GiB of file",
        groups: compared.map(label),
        series: [["keepstream", "ours"], ["client, five times", "client"]].map(([name, kind]) => ({
          name: name!,
          values: compared.map((size) => Number((cpu(kind!, size) / (size / 1024)).toFixed(1))),
        })),
      },
      {
        title: "Peak memory",
        unit: "MiB",
        groups: sizes.map((size) => compared.includes(size) ? label(size) : `${label(size)} (client not run)`),
        series: [["keepstream", "ours"], ["client, five times", "client"]].map(([name, kind]) => ({
          name: name!,
          values: sizes.map((size) => of(kind!, size).length > 0 ? Math.round(peak(kind!, size)) : 0),
        })),
      },
    ]),
  );
  console.log(JSON.stringify(goals, null, 2));
}

function stepGoals(steps: Steps | null, goal: (value: number, limit: number) => unknown) {
  if (steps === null) return {};
  const { kills, finished, abortMs } = steps;
  const inFlight = 3 * PART_BYTES;
  return {
    "bytes resent after kill -9 ÷ parts in flight": goal(
      Math.max(...kills.map((kill) => kill.resentBytes)) / inFlight,
      1,
    ),
    "commits per killed job": goal(Math.max(...kills.map((kill) => kill.commits)), 1),
    "calls per target for a finished job": goal(finished.perTarget, 2),
    "abort to quiet, ms": goal(abortMs, 500),
  };
}

function label(sizeMiB: number): string {
  return sizeMiB >= 1024 ? `${sizeMiB / 1024} GiB` : `${sizeMiB} MiB`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
