/**
 * `deno task bench:queue [throughput|large|wake]…`: the queue against graphile-worker, pg-boss, an unfenced queue and two bare updates, in
 * one run on one real Postgres that writes to disk; then its own costs with a million finished videos. Writes bench/results/queue.json and
 * queue.svg. `throughput:8` measures one number of clients and keeps the rounds of the others.
 */
import { cpus, totalmem } from "node:os";
import process from "node:process";
import { commandLine } from "../../cli/command_line.ts";
import { startGuard } from "../../dev/process/guard.ts";
import { startPostgres } from "../../dev/postgres/postgres.ts";
import { CLUSTER_VARIABLE } from "../../dev/testing/test_cluster.ts";
import { createTestDatabase } from "../../dev/testing/test_database.ts";
import { measureLargeTable } from "./large_table.ts";
import { barCharts } from "./plot.ts";
import { measureWake } from "./wake.ts";

const RESULTS = new URL("../results/", import.meta.url);
const VARIANTS = ["keepstream", "keepstream-release", "unfenced", "bare", "pg-boss", "graphile-worker"] as const;
const LABELS: Readonly<Record<string, string>> = {
  keepstream: "keepstream, archive",
  "keepstream-release": "keepstream, status",
  unfenced: "unfenced, functions",
  bare: "two bare updates",
  "pg-boss": "pg-boss 12.35",
  "graphile-worker": "graphile-worker 0.18",
};
const CLIENTS = [1, 4, 8];
const ROUNDS = 3;
const JOBS = 600;

interface Round {
  readonly variant: string;
  readonly clients: number;
  readonly round: number;
  readonly enqueue: number;
  readonly finish: number;
}

const PARTS = ["throughput", "large", "wake"];
const { positionals } = commandLine({
  usage: "usage: deno task bench:queue [throughput[:CLIENTS]] [large] [wake]",
  options: {},
  positionals: [...PARTS, ...CLIENTS.map((clients) => `throughput:${clients}`)],
});
const parts = positionals.length > 0 ? positionals : PARTS;
const guard = startGuard();
const dataDir = await Deno.makeTempDir({ prefix: "keepstream-bench-" });
await Deno.chmod(dataDir, 0o755);
try {
  const postgres = await startPostgres({ dataDir, port: 0, guard });
  try {
    process.env[CLUSTER_VARIABLE] = postgres.adminUrl;
    await measure();
  } finally {
    await postgres.stop();
  }
} finally {
  await Deno.remove(dataDir, { recursive: true });
  await guard.close();
}

async function measure(): Promise<void> {
  const file = new URL("queue.json", RESULTS);
  const kept = await Deno.readTextFile(file).then(JSON.parse, () => ({}));
  const results: Record<string, unknown> = { ...kept, machine: machine() };
  const selected = CLIENTS.filter((clients) => parts.includes("throughput") || parts.includes(`throughput:${clients}`));
  if (selected.length > 0) {
    const before = (results["throughput"] as { rounds?: Round[] } | undefined)?.rounds ?? [];
    const rounds = [...before.filter((round) => !selected.includes(round.clients)), ...await throughput(selected)];
    const medians = Object.fromEntries(VARIANTS.map((variant) => [variant, {
      enqueue: CLIENTS.map((clients) => median(pick(rounds, variant, clients).map((round) => round.enqueue))),
      finish: CLIENTS.map((clients) => median(pick(rounds, variant, clients).map((round) => round.finish))),
    }]));
    const most = CLIENTS.length - 1;
    const fenced = medians["keepstream-release"]!.finish[most]!;
    const against = (variant: string) => Number((fenced / medians[variant]!.finish[most]!).toFixed(2));
    const fencedAgainst = {
      clients: CLIENTS[most],
      unfenced: against("unfenced"),
      bare: against("bare"),
      pgBoss: against("pg-boss"),
    };
    results["throughput"] = { unit: "jobs per second", jobs: JOBS, clients: CLIENTS, medians, fencedAgainst, rounds };
    await Deno.writeTextFile(new URL("queue.svg", RESULTS), plot(medians));
  }
  if (parts.includes("large")) {
    await using database = await createTestDatabase();
    const large = await measureLargeTable(database, console.log);
    results["large"] = {
      summary: {
        claims: large.claims.map((claim) => ({
          due: claim.due,
          lookupBuffers: median(claim.lookupBuffers),
          callBuffers: median(claim.callBuffers),
          callBuffersWith8Held: median(claim.callBuffersWith8Held),
          callMsMedian: median(claim.callMs),
          callMs99th: quantile(claim.callMs, 0.99),
        })),
        heartbeatHotRatio: large.heartbeats.ratio,
        heartbeatOf50MsMedian: median(large.heartbeats.batchOf50Ms),
        sweepMsMedian: median(large.sweepMs),
        sweepReaping50MsMedian: median(large.sweepReaping50Ms),
        operatorViewMsMedian: median(large.operatorViewMs),
      },
      ...large,
    };
  }
  if (parts.includes("wake")) {
    await using database = await createTestDatabase();
    const wake = await measureWake(database);
    const summary = (values: readonly number[]) => ({
      median: median(values),
      p95: quantile(values, 0.95),
      max: Math.max(...values),
    });
    results["wake"] = {
      unit: "ms from commit to claim",
      idle: summary(wake.idleMs),
      load: summary(wake.loadMs),
      ...wake,
    };
  }
  await Deno.mkdir(RESULTS, { recursive: true });
  await Deno.writeTextFile(
    file,
    `${
      JSON.stringify(results, null, 1).replaceAll(
        /\[\s+([-\d.,\s]+?)\s+\]/g,
        (_, list: string) => `[${list.replaceAll(/\s+/g, " ")}]`,
      )
    }\n`,
  );
  console.log(
    JSON.stringify(
      {
        throughput: { ...results["throughput"] as object, rounds: undefined },
        large: (results["large"] as { summary?: unknown })?.summary,
        wake: results["wake"] && { ...results["wake"] as object, idleMs: undefined, loadMs: undefined },
      },
      null,
      1,
    ),
  );
}

/** Every variant in a separate process on its own database; the order alternates. */
async function throughput(numbersOfClients: readonly number[]): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? VARIANTS : VARIANTS.toReversed();
    for (const clients of numbersOfClients) {
      for (const variant of order) {
        await using database = await createTestDatabase();
        const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
          args: [
            "run",
            "-A",
            new URL("variant.ts", import.meta.url).pathname,
            variant,
            String(clients),
            String(JOBS),
            database.url,
          ],
          stdin: "null",
        }).output();
        if (code !== 0) throw new Error(`${variant}: ${new TextDecoder().decode(stderr)}`);
        const last = new TextDecoder().decode(stdout).trim().split("\n").at(-1)!;
        rounds.push({ variant, clients, round, ...JSON.parse(last) });
      }
    }
    console.log(`round ${round + 1} of ${ROUNDS}`);
  }
  return rounds;
}

function plot(medians: Record<string, { enqueue: number[]; finish: number[] }>): string {
  const groups = CLIENTS.map((clients) => `${clients} client${clients > 1 ? "s" : ""}`);
  const series = (what: "enqueue" | "finish", names: readonly string[]) =>
    names.map((name) => ({ name: LABELS[name]!, values: medians[name]![what] }));
  return barCharts([
    { title: "Claim and finish", unit: "jobs per second", groups, series: series("finish", VARIANTS) },
    { title: "Enqueue", unit: "jobs per second", groups, series: series("enqueue", VARIANTS) },
  ]);
}

function pick(rounds: readonly Round[], variant: string, clients: number): Round[] {
  return rounds.filter((round) => round.variant === variant && round.clients === clients);
}

function machine(): string {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model ?? "?"}, ${
    Math.round(totalmem() / 2 ** 30)
  } GiB, shared; Deno ${Deno.version.deno}, Postgres 17, fsync on`;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
