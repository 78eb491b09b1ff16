/**
 * `deno task bench:download [c1] [large] [sequential] [uncapped] [pieces] [--rounds=3] [--wait=60]`: the runner against sequential ffmpeg,
 * aria2c and yt-dlp with 16 connections on the same link profile, and against the limit of the connections. Measuring a part again
 * replaces its rounds in bench/results/download.json; download.svg is drawn from all.
 */
import os from "node:os";
import { commandLine, wholeNumber } from "../../cli/command_line.ts";
import { C1, type Host, startHost, UNCAPPED } from "./link_profile.ts";
import { processorSeconds, residentBytes, untilIdle, watchBusy } from "./load.ts";
import { limitSeconds, makeBenchMedia } from "./media.ts";
import { plot } from "./plot.ts";
import { type PieceRound, ratios, type Round, summarise } from "./summary.ts";

type Measured = Omit<Round, "how" | "name" | "round" | "busy_elsewhere" | "peak_mib_with_children">;
type Results = { rounds: Record<string, Round[]>; pieces: PieceRound[] };

const HLS = ["ts", "aes", "fmp4"];
const PARTS = {
  c1: { profile: C1, plan: ways({ runner: [...HLS, "mp4"], "yt-dlp": HLS, aria2c: ["mp4"] }) },
  large: { profile: C1, plan: ways({ runner: ["large"], aria2c: ["large"] }) },
  /** One round only: it takes minutes and hardly varies. */
  sequential: { profile: C1, plan: ways({ ffmpeg: HLS }), rounds: 1 },
  uncapped: {
    profile: UNCAPPED,
    plan: ways({ runner: [...HLS, "mp4"], "yt-dlp": HLS, ffmpeg: HLS, aria2c: ["mp4"] }),
  },
};
const HLS_CONNECTIONS = 32;
const MEMORY_SAMPLE_MS = 40;
const resultsDir = new URL("../results/", import.meta.url);
const { selected, rounds, wait } = commandLine({
  usage: "usage: deno task bench:download [c1] [large] [sequential] [uncapped] [pieces] [--rounds N] [--wait SECONDS]",
  options: { rounds: { type: "string", default: "3" }, wait: { type: "string", default: "60" } },
  positionals: [...Object.keys(PARTS), "pieces"],
}, ({ values, positionals }) => ({
  selected: positionals,
  rounds: wholeNumber(values.rounds, "--rounds", { min: 1, max: 1000 }),
  /** How long to wait for an idle machine before each download, in seconds. */
  wait: wholeNumber(values.wait, "--wait", { min: 0, max: 86_400 }),
}));
const isSelected = (part: string) => selected.length === 0 || selected.includes(part);

await makeBenchMedia();
const kept: Results = JSON.parse(await Deno.readTextFile(new URL("download.json", resultsDir)).catch(() => "{}"));
const results: Results = { rounds: Array.isArray(kept.rounds) ? {} : kept.rounds ?? {}, pieces: kept.pieces ?? [] };
const limits = new Map<string, number>();
/** The number of connections that the runner grows to. */
const limitsOfAll = new Map<string, number>();
for (const name of HLS) limits.set(name, await limitSeconds(name, C1, 16));
for (const name of HLS) limitsOfAll.set(name, await limitSeconds(name, C1, HLS_CONNECTIONS));
for (const name of ["mp4", "large"]) limits.set(name, await limitSeconds(name, C1, 8));

for (const [part, { profile, plan, ...own }] of Object.entries(PARTS)) {
  if (!isSelected(part)) continue;
  const host = await startHost(profile);
  results.rounds[part] = [];
  for (let round = 0; round < ("rounds" in own ? own.rounds : rounds); round++) {
    for (const { how, name } of round % 2 === 0 ? plan : plan.toReversed()) {
      const result = await measure({ how, name, host });
      results.rounds[part].push({ how, name, round, ...result });
      console.error(`${part} ${round + 1} ${how} ${name} ${result.seconds.toFixed(2)} s`);
    }
  }
  await host.stop();
  await save();
}
if (isSelected("pieces")) {
  results.pieces = [];
  for (let round = 0; round < rounds; round++) {
    for (const piece of ["mega", "proxy", "verify"]) {
      await untilIdle(wait);
      results.pieces.push({ piece, round, ...await run<Omit<PieceRound, "piece" | "round">>("pieces.ts", [piece]) });
    }
  }
}
await save();
console.table(summary());
console.table(ratios(results, limits, limitsOfAll));

function summary() {
  return Object.entries(results.rounds).flatMap(([part, own]) => summarise(part, own, limits));
}

/** After every part, so that an interrupted run keeps its results. */
async function save(): Promise<void> {
  const content = {
    machine: machine(),
    scenario: scenario(),
    goals: ratios(results, limits, limitsOfAll),
    summary: summary(),
    ...results,
  };
  await Deno.mkdir(resultsDir, { recursive: true });
  await Deno.writeTextFile(new URL("download.json", resultsDir), `${JSON.stringify(content, null, 2)}\n`);
  await Deno.writeTextFile(new URL("download.svg", resultsDir), plot(summary(), limits, limitsOfAll));
}

function ways(plan: Readonly<Record<string, readonly string[]>>) {
  return Object.entries(plan).flatMap(([how, names]) => names.map((name) => ({ how, name })));
}

async function measure(
  { how, name, host }: { how: string; name: string; host: Host },
): Promise<Omit<Round, "how" | "name" | "round">> {
  await untilIdle(wait);
  let most = 0;
  const busy = watchBusy();
  const hostBefore = processorSeconds(host.pid);
  const result = await run<Measured>("variant.ts", [how, name, host.url], (pid) => {
    most = Math.max(most, residentBytes(pid, { itself: how === "runner" }));
  });
  const own = result.cpu_seconds + result.children_cpu_seconds + processorSeconds(host.pid) - hostBefore;
  return { ...result, busy_elsewhere: busy(own), peak_mib_with_children: Math.round(most / 2 ** 20) };
}

async function run<T>(program: string, args: readonly string[], sample?: (pid: number) => void): Promise<T> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", new URL(program, import.meta.url).pathname, ...args],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = sample && setInterval(() => sample(child.pid), MEMORY_SAMPLE_MS);
  const { success, stdout, stderr } = await child.output();
  clearInterval(timer);
  const text = new TextDecoder().decode(stdout);
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${text}${new TextDecoder().decode(stderr)}`);
  return JSON.parse(text);
}

function machine() {
  const memory_gib = Math.round(os.totalmem() / 2 ** 30);
  return { cpus: os.cpus().length, model: os.cpus()[0]?.model, memory_gib, deno: Deno.version.deno };
}

function scenario() {
  return {
    C1,
    media: "600 s in 150 segments, the same as one MP4; large: 2,240 s as one MP4 of 610 MB",
    hls_connections: "the runner: 16, growing to 32; yt-dlp: 16",
    limit_seconds: {
      "16 (HLS) or 8 connections": Object.fromEntries(limits),
      "32 connections": Object.fromEntries(limitsOfAll),
    },
    mp4_connections: 8,
    seconds: "of the runner: until the file is verified, starts fast and is hashed; of the others: until they exit",
    peak_mib:
      "the Deno process at its peak; with_children: all processes at one moment, sampled every 40 ms, shared pages in each",
    busy_elsewhere:
      "share of the processors that went to something else meanwhile; medians are of the rounds up to 0.2 where there are any",
  };
}
