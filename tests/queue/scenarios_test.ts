/** Runs every scenario on the real functions, one database per group. */
import { createTestDatabase } from "../../dev/testing/test_database.ts";
import { createQueueFixture } from "./fixture/queue_fixture.ts";
import { SCENARIOS } from "./scenarios.ts";

for (const [group, scenarios] of Object.entries(SCENARIOS)) {
  Deno.test(`queue: ${group}`, async (test) => {
    await using database = await createTestDatabase();
    const queue = createQueueFixture(database);
    for (const scenario of scenarios) {
      await test.step(scenario.name, async () => {
        await queue.reset();
        await scenario.run(queue);
      });
    }
  });
}
