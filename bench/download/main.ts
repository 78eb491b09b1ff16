/**
 * `deno task bench:download [rounds]`: the runner beside sequential ffmpeg and plain aria2c on the same line, and beside what the
 * connections allow at best. Writes bench/results/download.json and bench/results/download.svg.
 */
import os from "node:os";
import { limitSeconds, makeBenchMedia } from "./media.ts";
import { plot, type Summary } from "./plot.ts";

const C1 = { connectMs: 100, latencyMs: 50, bytesPerSecond: 4_000_000 };
const UNCAPPED = { connectMs: 0, latencyMs: 0, bytesPerSecond: 0 };
const rounds = Number(Deno.args[0] ?? 3);

type Round = {
  line: string;
  how: string;
  name: string;
  seconds: number;
  cpu_seconds: number;
  children_cpu_seconds: number;
  peak_mib: number;
};

await makeBenchMedia();
const raw: Round[] = [];
for (let round = 0; round < rounds; round++) {
  for (const [line, settings] of Object.entries({ C1, uncapped: UNCAPPED })) {
    const host = await startHost(settings);
    const plan = [["runner", "ts"], ["runner", "aes"], ["runner", "fmp4"], ["runner", "mp4"], ["aria2c", "mp4"]];
    // The slow ones once: they take minutes and hardly vary.
    if (round === 0 || line === "uncapped") plan.push(["ffmpeg", "ts"], ["ffmpeg", "aes"]);
    if (round % 2 === 1) plan.reverse();
    for (const [how, name] of plan) {
      const result = await measure(how!, name!, host.url);
      raw.push({ line, how: how!, name: name!, ...result });
      console.error(`${round + 1} ${line} ${how} ${name} ${result.seconds.toFixed(2)} s`);
    }
    await host.stop();
  }
}
const results = {
  machine: {
    cpus: os.cpus().length,
    model: os.cpus()[0]?.model,
    memory_gib: Math.round(os.totalmem() / 2 ** 30),
    deno: Deno.version.deno,
    /** Other work on the machine meanwhile; above the number of cores, seconds say little and ratios more. */
    load_average: os.loadavg(),
  },
  scenario: { C1, uncapped: "loopback, no cap", media: "600 s, 150 segments", hls_connections: 16, mp4_connections: 8 },
  note:
    "seconds of the runner include verification of every track, the faststart rewrite and sha-256; peak_mib is the Deno process",
  summary: await summarise(raw),
  rounds: raw,
};
await Deno.mkdir(new URL("../results", import.meta.url), { recursive: true });
await Deno.writeTextFile(new URL("../results/download.json", import.meta.url), `${JSON.stringify(results, null, 2)}\n`);
await Deno.writeTextFile(new URL("../../bench/results/download.svg", import.meta.url), plot(results.summary));
console.table(results.summary);

async function summarise(rounds: readonly Round[]): Promise<Summary[]> {
  const keys = [...new Set(rounds.map((round) => `${round.line} ${round.how} ${round.name}`))];
  return await Promise.all(keys.map(async (key) => {
    const [line = "", how = "", name = ""] = key.split(" ");
    const own = rounds.filter((round) => `${round.line} ${round.how} ${round.name}` === key);
    const median = (pick: (round: Round) => number) => {
      const sorted = own.map(pick).sort((a, b) => a - b);
      const middle = sorted.slice(Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2) + 1);
      return middle.reduce((sum, value) => sum + value, 0) / middle.length;
    };
    const limit = line === "C1" ? await limitSeconds(name, C1, name === "mp4" ? 8 : 16) : null;
    const seconds = median((round) => round.seconds);
    return {
      line,
      how,
      name,
      median_seconds: Number(seconds.toFixed(2)),
      limit_seconds: limit === null ? null : Number(limit.toFixed(2)),
      ratio_to_limit: limit === null ? null : Number((seconds / limit).toFixed(2)),
      cpu_seconds: Number(median((round) => round.cpu_seconds + round.children_cpu_seconds).toFixed(2)),
      peak_mib: Math.round(median((round) => round.peak_mib)),
    };
  }));
}

async function measure(how: string, name: string, origin: string): Promise<Omit<Round, "line" | "how" | "name">> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", new URL("variant.ts", import.meta.url).pathname, how, name, origin],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(output.stdout);
  if (!output.success) throw new Error(`${how} ${name}: ${text}${new TextDecoder().decode(output.stderr)}`);
  return JSON.parse(text);
}

async function startHost(line: typeof C1): Promise<{ url: string; stop: () => Promise<void> }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", new URL("host.ts", import.meta.url).pathname, ...Object.values(line).map(String)],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  return {
    url: `http://127.0.0.1:${value!.trim()}`,
    stop: async () => {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
    },
  };
}
