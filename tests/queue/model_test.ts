/** Random operations against the real functions, compared with a model; seeds are fixed here, any in `deno task queue:model`. */
import { createTestDatabase } from "../../dev/testing/test_database.ts";
import { runModel } from "./model/run_model.ts";
import { createQueueFixture } from "./fixture/queue_fixture.ts";

const OPERATIONS = 250;

for (const seed of [1, 2, 3]) {
  Deno.test(`${OPERATIONS} random operations keep all invariants (seed ${seed})`, async () => {
    await using database = await createTestDatabase();
    const queue = createQueueFixture(database);
    await queue.reset();
    await runModel(queue, { seed, operations: OPERATIONS });
  });
}
