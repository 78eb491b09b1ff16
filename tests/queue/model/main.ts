/**
 * `deno task queue:model [seeds] [operations] [first seed]`: the model test with many seeds, for
 * example before a release. Exits with 1 and prints the seed at the first difference.
 */
import { commandLine, wholeNumber } from "../../../cli/command_line.ts";
import { createTestDatabase } from "../../../dev/testing/test_database.ts";
import { withOwnPostgres } from "../fixture/own_postgres.ts";
import { createQueueFixture } from "../fixture/queue_fixture.ts";
import { runModel } from "./run_model.ts";

const [seeds = 20, operations = 500, first = Math.floor(Math.random() * 1e9)] = commandLine(
  { usage: "usage: deno task queue:model [SEEDS] [OPERATIONS] [FIRST_SEED]", positionals: 3 },
  ({ positionals }) => positionals.map((text) => wholeNumber(text, "each argument", { min: 0, max: 1e9 })),
);

await withOwnPostgres(async () => {
  const totals: Record<string, number> = {};
  const started = performance.now();
  for (let seed = first; seed < first + seeds; seed++) {
    await using database = await createTestDatabase();
    const queue = createQueueFixture(database);
    await queue.reset();
    const summary = await runModel(queue, { seed, operations });
    for (const [name, count] of Object.entries(summary)) totals[name] = (totals[name] ?? 0) + count;
    console.log(`seed ${seed}: ${operations} operations, no difference`);
  }
  const minutes = (performance.now() - started) / 60_000;
  console.log(totals);
  console.log(`${seeds * operations} operations in ${minutes.toFixed(1)} min`);
});
