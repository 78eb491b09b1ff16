/**
 * `deno task queue:mutants [--again] [part of a name…]`: changes every SQL function, constraint,
 * trigger and grant of the queue in small ways and runs the tests against each mutant. Writes
 * bench/results/queue-mutants.json; exits with 1 if fewer than 95 % of the mutants are detected,
 * equivalent ones aside. With names, or with --again (mutants that survived or were not judged
 * before), the other results are kept.
 */
import process from "node:process";
import { commandLine } from "../../../cli/command_line.ts";
import { createTestDatabase, type TestDatabase } from "../../../dev/testing/test_database.ts";
import { runModel } from "../model/run_model.ts";
import { openDoors } from "../fixture/privilege_probe.ts";
import { withOwnPostgres } from "../fixture/own_postgres.ts";
import { createQueueFixture, type QueueFixture, type Scenario } from "../fixture/queue_fixture.ts";
import { SCENARIOS } from "../scenarios.ts";
import { EQUIVALENT } from "./equivalent.ts";
import { mutantsOf } from "./mutations.ts";

// postgres.js may write to a connection that was just closed, in a callback whose error cannot be
// caught (https://github.com/porsager/postgres/issues/1208). Its query has been rejected by then.
process.on("uncaughtException", (error) => {
  if (!error.stack?.includes("nextWrite")) throw error;
});

const RESULTS = new URL("../../../bench/results/queue-mutants.json", import.meta.url);
const WORKERS = 2;
const GOAL = 0.95;

const { values: { again: AGAIN = false }, positionals: NAMES } = commandLine({
  usage: "usage: deno task queue:mutants [--again] [PART_OF_A_NAME…]",
  options: { again: { type: "boolean" } },
  positionals: Infinity,
});

/** Identifies a mutant across runs. */
function keyOf(mutant: Pick<Result, "name" | "line" | "column" | "change" | "source">): string {
  return JSON.stringify([mutant.name, mutant.line, mutant.column, mutant.change, mutant.source]);
}

interface Candidate {
  readonly name: string;
  readonly line: number;
  readonly column: number;
  readonly change: string;
  readonly source: string;
  readonly sql: string;
  /** Undoes the mutant; without it, a new database is used. */
  readonly undo?: string;
}

/**
 * One database for many mutants of functions, each undone afterwards; a new one after a mutant of the
 * schema.
 */
interface Workbench extends AsyncDisposable {
  fresh(): Promise<QueueFixture>;
  current(): Promise<QueueFixture>;
}

interface Result extends Omit<Candidate, "sql"> {
  readonly outcome: "killed" | "survived" | "equivalent" | "stillborn";
  /** The check that detected it, or why none can. */
  readonly by: string;
}

const JOBS = ["enqueue", "claim", "reports", "leases", "operators"];
const ARCHIVES = ["archive", "rearchive", "replicas", "missing replicas", "storage targets", "takedowns"];
const EPISODES = ["read episode", "save sources", "source reads", "configuration"];
const UPKEEP = ["sweep", "counts", "resource leases"];

/** Which groups of scenarios run for a mutant, by its name; without a match, all groups run. */
const ABOUT: readonly (readonly [RegExp, readonly string[]])[] = [
  [/notif|webhook/, ["notifications", "notification failures", "sweep", "counts", "concurrency"]],
  [/enqueue|candidate/, [
    ...["candidates", ...JOBS, "bad input", "notifications", "notification failures", ...EPISODES, ...ARCHIVES],
    ...["concurrency", "races", "deadlocks"],
  ]],
  [/upsert|replica|takedown|store|requeue|drop_/, [
    ...[...ARCHIVES, "bad input", ...UPKEEP, "concurrency", "rights", "races", "deadlocks"],
  ]],
  [
    /redact|delay|apply_status|record|invariants|claim_pending|update_video|extend|cancel|retry|history|leased|delete_lease/,
    [
      ...[...JOBS, "candidates", ...ARCHIVES, "notifications", "notification failures", "bad input", ...UPKEEP],
      ...["concurrency", "rights", "races", "claim races"],
    ],
  ],
  [/resource|sweep|prune|operator|counts/, [
    ...[...UPKEEP, ...JOBS, "notifications", "notification failures", ...ARCHIVES, "concurrency"],
    ...["source reads", "rights", "deadlocks"],
  ]],
  [
    /episode|sources|source_lists|source_reads|back_off|providers|catalogue|mapping|metadata|count_request|archiving_allowed|rights/,
    [...EPISODES, ...UPKEEP, ...ARCHIVES, "bad input", "rights", "races", "deadlocks"],
  ],
];

/** Functions that the random operations call. */
const MODELLED =
  /^keepstream\.(apply_status|record|enqueue|drop|requeue|assert_job|live_|describe|history|delete_lease)|^public\.(enqueue|claim|update|extend|upsert|cancel|report|complete|promote|sweep|leased)/;

interface Check {
  readonly name: string;
  readonly scenario: Scenario;
  /** Number of detected mutants per function. */
  readonly kills: Map<string, number>;
  ms: number;
}

const CHECKS: Readonly<Record<string, readonly Check[]>> = Object.fromEntries(
  Object.entries(SCENARIOS).map(([group, scenarios]) => [
    group,
    scenarios.map((scenario) => ({ name: `${group}: ${scenario.name}`, scenario, kills: new Map(), ms: 1000 })),
  ]),
);

/**
 * The check that detected it the last time comes first, then those that detected most mutants of this
 * function, then the fast ones: most mutants end with the first check.
 */
function checksOf(name: string, lastNoticedBy: string | undefined): Check[] {
  const groups = ABOUT.find(([pattern]) => pattern.test(name))?.[1].concat("limits", "derived") ??
    Object.keys(SCENARIOS);
  const worth = (check: Check) => check.name === lastNoticedBy ? Infinity : check.kills.get(name) ?? 0;
  return groups.flatMap((group) => CHECKS[group]!).sort((a, b) => worth(b) - worth(a) || a.ms - b.ms);
}

await withOwnPostgres(async () => {
  const all = await candidates();
  const before = await Deno.readTextFile(RESULTS).then((text) => JSON.parse(text).mutants as Result[], () => []);
  const judgedBefore = new Set(before.filter((result) => result.outcome !== "survived").map(keyOf));
  const lastNoticedBy = new Map(before.map((result) => [keyOf(result), result.by]));
  const wanted = all.filter((candidate) =>
    (NAMES.length === 0 || NAMES.some((part) => candidate.name.includes(part))) &&
    (!AGAIN || !judgedBefore.has(keyOf(candidate)))
  );
  const results: Result[] = [];
  const started = performance.now();
  // A random but fixed order: a run that is stopped early has judged a fair sample.
  const pending = wanted.toSorted((a, b) => chance(a) - chance(b));
  const judged = new Set(wanted.map(keyOf));
  const known = new Set(all.map(keyOf));
  const rest = before.filter((result) => known.has(keyOf(result)) && !judged.has(keyOf(result)));
  const save = () => write([...rest, ...results], all.length);
  await Promise.all(Array.from({ length: WORKERS }, async () => {
    await using bench = createWorkbench();
    const noticed = await noticedBy(await bench.fresh(), { name: "control" });
    if (noticed !== null) throw new Error(`the unchanged queue fails ${noticed}: nothing can be learnt from mutants`);
    for (let candidate = pending.shift(); candidate; candidate = pending.shift()) {
      const result = await judge(candidate, bench, lastNoticedBy.get(keyOf(candidate)));
      results.push(result);
      if (result.outcome === "survived") {
        console.log(`survived ${result.name}:${result.line} ${result.change}\n    ${result.source}`);
      }
      if (results.length % 50 === 0) {
        console.log(`${results.length} of ${wanted.length}`);
        await save();
      }
    }
  }));
  const minutes = (performance.now() - started) / 60_000;
  const { score, ...counts } = await save();
  console.log({ ...counts, score }, `${minutes.toFixed(1)} min`);
  if (score < GOAL) Deno.exitCode = 1;
});

function chance(mutant: Candidate): number {
  let hash = 2166136261;
  for (const character of keyOf(mutant)) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619);
  return hash >>> 0;
}

async function candidates(): Promise<Candidate[]> {
  await using database = await createTestDatabase();
  const { sql } = database;
  const found: Candidate[] = [];
  const functions = await sql<{ name: string; definition: string }[]>`
    select p.pronamespace::regnamespace || '.' || p.proname as name, pg_get_functiondef(p.oid) as definition
    from pg_proc p where p.pronamespace in ('public'::regnamespace, 'keepstream'::regnamespace) order by 1`;
  for (const { name, definition } of functions) {
    for (const mutant of mutantsOf(definition)) found.push({ ...mutant, name, undo: definition });
  }
  const whole = (name: string, change: string, statement: string) =>
    found.push({ name, line: 0, column: 0, change, source: statement, sql: statement });
  const constraints = await sql<{ relation: string; name: string }[]>`
    select c.conrelid::regclass::text as relation, c.conname as name from pg_constraint c
    where c.connamespace in ('public'::regnamespace, 'keepstream'::regnamespace) and c.contype in ('c', 'u')
      and c.conrelid::regclass::text ~ '^(video_|keepstream.events)' order by 1, 2`;
  for (const { relation, name } of constraints) {
    whole(name, "without the constraint", `alter table ${relation} drop constraint ${name} cascade`);
  }
  const triggers = await sql<{ relation: string; name: string }[]>`
    select t.tgrelid::regclass::text as relation, t.tgname as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where not t.tgisinternal and c.relnamespace in ('public'::regnamespace, 'keepstream'::regnamespace) order by 1, 2`;
  for (const { relation, name } of triggers) whole(name, "without the trigger", `drop trigger ${name} on ${relation}`);
  const calls = await sql<{ name: string }[]>`
    select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace = 'public'::regnamespace order by 1`;
  for (const { name } of calls) whole(name, "anon may call it", `grant execute on function ${name} to anon`);
  for (const table of ["video_queue", "video_store", "video_replicas", "video_candidates", "operator", "providers"]) {
    whole(table, "authenticated may read it", `grant select on public.${table} to authenticated`);
  }
  return found;
}

async function judge(
  { sql, undo, ...candidate }: Candidate,
  bench: Workbench,
  lastNoticedBy: string | undefined,
): Promise<Result> {
  const queue = undo === undefined ? await bench.fresh() : await bench.current();
  await queue.reset(); // the previous mutant may have left something behind
  try {
    await queue.sql.unsafe(sql);
  } catch {
    return { ...candidate, outcome: "stillborn", by: "not valid SQL" };
  }
  const by = await noticedBy(queue, { name: candidate.name, lastNoticedBy });
  await queue.reset();
  if (undo === undefined) await bench.fresh();
  else await queue.sql.unsafe(undo);
  if (by !== null) return { ...candidate, outcome: "killed", by };
  const reason = EQUIVALENT.find((entry) =>
    entry.name.test(candidate.name) && entry.change.test(candidate.change) && entry.source.test(candidate.source)
  );
  return reason
    ? { ...candidate, outcome: "equivalent", by: reason.because }
    : { ...candidate, outcome: "survived", by: "" };
}

function createWorkbench(): Workbench {
  let database: TestDatabase | undefined;
  let queue: QueueFixture | undefined;
  const bench: Workbench = {
    async fresh() {
      await queue?.reset();
      await database?.[Symbol.asyncDispose]();
      database = await createTestDatabase();
      // A mutant may wait without end, so its statements time out. Set before the first connection
      // that is used.
      const setUp = database.connect("supabase_admin", { max: 1 });
      for (const [name, value] of [["statement_timeout", "10s"], ["idle_in_transaction_session_timeout", "5min"]]) {
        await setUp.unsafe(`alter database ${database.name} set ${name} = '${value}'`);
      }
      await setUp.end();
      queue = createQueueFixture(database);
      return queue;
    },
    current: async () => queue ?? await bench.fresh(),
    async [Symbol.asyncDispose]() {
      await queue?.reset();
      await database?.[Symbol.asyncDispose]();
    },
  };
  return bench;
}

async function noticedBy(
  queue: QueueFixture,
  { name, lastNoticedBy }: { name: string; lastNoticedBy?: string | undefined },
): Promise<string | null> {
  const { database } = queue;
  const ofSchema = !name.includes("."); // a constraint, trigger or grant; all others are function bodies
  if (ofSchema && (await openDoors(database, "anon")).length > 0) return "grants: anon";
  if (ofSchema && (await openDoors(database, "authenticated")).length > 0) return "grants: authenticated";
  for (const check of checksOf(name, lastNoticedBy)) {
    const started = performance.now();
    try {
      await queue.reset();
      await check.scenario.run(queue);
      check.ms = performance.now() - started;
    } catch (error) {
      if (name === "control") console.error(error);
      check.kills.set(name, (check.kills.get(name) ?? 0) + 1);
      return check.name;
    }
  }
  try {
    await queue.reset();
    if (MODELLED.test(name)) await runModel(queue, { seed: 1, operations: 150 });
  } catch {
    return "model";
  }
  return null;
}

async function write(results: readonly Result[], all: number) {
  const count = (outcome: Result["outcome"]) => results.filter((result) => result.outcome === outcome).length;
  const [killed, survived, equivalent] = [count("killed"), count("survived"), count("equivalent")];
  const score = killed / (killed + survived);
  const summary = {
    mutants: killed + survived + equivalent,
    killed,
    survived,
    equivalent,
    score: Number(score.toFixed(4)),
    notValidSql: count("stillborn"),
    notJudged: all - results.length,
  };
  const order = (a: Result, b: Result) =>
    a.name.localeCompare(b.name) || a.line - b.line || a.column - b.column || a.change.localeCompare(b.change);
  const list = results.filter((result) => result.outcome !== "stillborn").sort(order);
  const lines = list.map((result) => `    ${JSON.stringify(result)}`).join(",\n");
  const text = `{\n  "summary": ${JSON.stringify(summary)},\n  "mutants": [\n${lines}\n  ]\n}\n`;
  await Deno.writeTextFile(RESULTS, text);
  return summary;
}
