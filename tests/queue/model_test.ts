/**
 * Random operations on the real functions, compared with a model. The seeds are fixed here; `deno task
 * queue:model` takes any.
 */
import { createTestDatabase } from "../../dev/testing/test_database.ts";
import { runModel } from "./model/run_model.ts";
import { createQueueFixture } from "./fixture/queue_fixture.ts";

const OPERATIONS = 250;

for (const seed of [1, 2, 3]) {
  Deno.test(`model: ${OPERATIONS} random operations, seed ${seed} → invariants hold`, async () => {
    await using database = await createTestDatabase();
    const queue = createQueueFixture(database);
    await queue.reset();
    await runModel(queue, { seed, operations: OPERATIONS });
  });
}
