/**
 * `deno task queue:mutants [part of a name…]`: makes small wrong versions of every SQL function, constraint, trigger and
 * grant of the queue, and has the tests look for each. Writes bench/results/queue-mutants.json; ends with 1 when fewer
 * than 95 % of those not argued to be equivalent are noticed.
 */
import { createTestDatabase, type TestDatabase } from "../../../dev/test_database.ts";
import { runModel } from "../model/run_model.ts";
import { openDoors } from "../open_doors.ts";
import { withOwnPostgres } from "../own_postgres.ts";
import { createQueueFixture } from "../queue_fixture.ts";
import { SCENARIOS } from "../scenarios.ts";
import { EQUIVALENT } from "./equivalent.ts";
import { mutantsOf } from "./mutations.ts";

const RESULTS = new URL("../../../bench/results/queue-mutants.json", import.meta.url);
const WORKERS = 2;
const GOAL = 0.95;

interface Candidate {
  readonly name: string;
  readonly line: number;
  readonly change: string;
  readonly source: string;
  readonly sql: string;
}

interface Result extends Omit<Candidate, "sql"> {
  readonly outcome: "killed" | "survived" | "equivalent" | "stillborn";
  /** The check that noticed it, or why it cannot be noticed. */
  readonly by: string;
}

/** Where a function's mutants are noticed soonest. */
const FIRST_LOOK: readonly (readonly [RegExp, string])[] = [
  [/wake|webhook/, "wake"],
  [/redact|retry_delay|guard|record|claim_pending|update_video|extend_video|cancel/, "transitions"],
  [/enqueue/, "bad input"],
  [/switch_candidate/, "candidates"],
  [/store|replica|takedown/, "archive"],
  [/resource|sweep|prune|operator|counts/, "upkeep"],
  [/episode|sources|providers|catalogue|mapping|metadata|take_request/, "episode"],
];

await withOwnPostgres(async () => {
  const all = await candidates();
  const wanted = all.filter((candidate) =>
    Deno.args.length === 0 || Deno.args.some((part) => candidate.name.includes(part))
  );
  const results: Result[] = [];
  const started = performance.now();
  const pending = [...wanted];
  await Promise.all(Array.from({ length: WORKERS }, async () => {
    for (let candidate = pending.shift(); candidate; candidate = pending.shift()) {
      const result = await judge(candidate);
      results.push(result);
      if (result.outcome === "survived") {
        console.log(`survived ${result.name}:${result.line} ${result.change}\n    ${result.source}`);
      }
      if (results.length % 50 === 0) console.log(`${results.length} of ${wanted.length}`);
    }
  }));
  const minutes = (performance.now() - started) / 60_000;
  await report(results, minutes);
});

async function candidates(): Promise<Candidate[]> {
  await using database = await createTestDatabase();
  const { sql } = database;
  const found: Candidate[] = [];
  const functions = await sql<{ name: string; definition: string }[]>`
    select p.pronamespace::regnamespace || '.' || p.proname as name, pg_get_functiondef(p.oid) as definition
    from pg_proc p where p.pronamespace in ('public'::regnamespace, 'keepstream'::regnamespace) order by 1`;
  for (const { name, definition } of functions) {
    for (const mutant of mutantsOf(definition)) found.push({ ...mutant, name });
  }
  const whole = (name: string, change: string, statement: string) =>
    found.push({ name, line: 0, change, source: statement, sql: statement });
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

async function judge({ sql, ...candidate }: Candidate): Promise<Result> {
  await using database = await createTestDatabase();
  try {
    await database.sql.unsafe(sql);
    await database.admin.unsafe(`alter database ${database.name} set statement_timeout = '20s'`);
  } catch {
    return { ...candidate, outcome: "stillborn", by: "not valid SQL" };
  }
  const by = await noticedBy(database, candidate.name);
  if (by !== null) return { ...candidate, outcome: "killed", by };
  const reason = EQUIVALENT.find((entry) =>
    entry.name === candidate.name && entry.change === candidate.change && candidate.source.includes(entry.source)
  );
  return reason
    ? { ...candidate, outcome: "equivalent", by: reason.because }
    : { ...candidate, outcome: "survived", by: "" };
}

async function noticedBy(database: TestDatabase, name: string): Promise<string | null> {
  const first = FIRST_LOOK.find(([pattern]) => pattern.test(name))?.[1] ?? "transitions";
  const groups = [first, ...Object.keys(SCENARIOS).filter((group) => group !== first)];
  const queue = createQueueFixture(database);
  for (const group of groups) {
    for (const scenario of SCENARIOS[group]!) {
      try {
        await queue.reset();
        await scenario.run(queue);
      } catch {
        return `${group}: ${scenario.name}`;
      }
    }
  }
  try {
    for (const role of ["anon", "authenticated"] as const) {
      if ((await openDoors(database, role)).length > 0) return `grants: ${role}`;
    }
    await queue.reset();
    await runModel(queue, { seed: 1, operations: 150 });
  } catch {
    return "model";
  }
  return null;
}

async function report(results: readonly Result[], minutes: number): Promise<void> {
  const count = (outcome: Result["outcome"]) => results.filter((result) => result.outcome === outcome).length;
  const [killed, survived, equivalent] = [count("killed"), count("survived"), count("equivalent")];
  const score = killed / (killed + survived);
  const summary = {
    mutants: killed + survived + equivalent,
    killed,
    survived,
    equivalent,
    score: Number(score.toFixed(4)),
  };
  console.log(summary, `${minutes.toFixed(1)} min`);
  if (Deno.args.length === 0) {
    const order = (a: Result, b: Result) =>
      a.name.localeCompare(b.name) || a.line - b.line || a.change.localeCompare(b.change);
    const list = results.filter((result) => result.outcome !== "stillborn").sort(order);
    const lines = list.map((result) => `    ${JSON.stringify(result)}`).join(",\n");
    const text = `{\n  "summary": ${JSON.stringify(summary)},\n  "mutants": [\n${lines}\n  ]\n}\n`;
    await Deno.writeTextFile(RESULTS, text);
  }
  if (score < GOAL) Deno.exitCode = 1;
}
