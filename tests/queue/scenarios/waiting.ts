/** Waits until so many sessions of the database wait for a lock. */
import assert from "node:assert/strict";
import type { QueueFixture } from "../queue_fixture.ts";

export async function untilWaiting(queue: QueueFixture, count: number): Promise<void> {
  for (let looks = 0; looks < 500; looks++) {
    const [row] = await queue.database.admin`
      select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    if (row!["waiting"] >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`${count} were to wait`);
}
