import assert from "node:assert/strict";
import { parseSchedule } from "./cron_schedule.ts";
import { startCronWorker } from "./cron_worker.ts";
import { createTestDatabase } from "../../testing/test_database.ts";

Deno.test("parseSchedule: pg_cron's grammar → the next run", async (t) => {
  const cases: [string, string, boolean][] = [
    ["* * * * *", "2026-11-22T09:00:00Z", true],
    ["*/15 * * * *", "2026-11-22T09:45:00Z", true],
    ["*/15 * * * *", "2026-11-22T09:46:00Z", false],
    ["5-10/5 9 * * *", "2026-11-22T09:10:00Z", true],
    ["0 3 $ * *", "2028-02-29T03:00:00Z", true],
    ["0 3 $ * *", "2028-02-28T03:00:00Z", false],
    ["0 0 * nov sun", "2026-11-22T00:00:00Z", true],
    ["0 0 * * 7", "2026-11-22T00:00:00Z", true],
    ["0 0 1 * sun", "2026-11-22T00:00:00Z", true],
    ["0 0 1 * mon", "2026-11-22T00:00:00Z", false],
    ["@hourly", "2026-11-22T04:00:00Z", true],
    ["@weekly", "2026-11-23T00:00:00Z", false],
  ];
  for (const [text, at, expected] of cases) {
    await t.step(`${text} at ${at} → ${expected}`, () => {
      const schedule = parseSchedule(text);
      assert.ok(schedule.kind === "calendar");
      assert.equal(schedule.matches(new Date(at)), expected);
    });
  }
  assert.deepEqual(parseSchedule("30 seconds"), { kind: "interval", seconds: 30 });
  assert.throws(() => parseSchedule("often"));
});

Deno.test("cron worker: a job → run as its owner, outcome recorded", async () => {
  await using database = await createTestDatabase();
  const { sql } = database;
  await sql.unsafe(`
    create extension if not exists pg_cron;
    delete from cron.job_run_details;
    create table public.ran (who text, at timestamptz default now());`);
  await database.admin`delete from cron.job`;
  const worker = await startCronWorker({ databaseUrl: database.adminUrl });
  try {
    await sql`select cron.schedule('good', '1 second', 'insert into public.ran select current_user')`;
    await sql`select cron.schedule('bad', '1 second', 'select 1 / 0')`;
    const outcomes = new Map<string, Record<string, unknown>>();
    while (outcomes.size < 2) {
      const rows = await database.admin`
        select jobname, status, return_message, d.username from cron.job_run_details d join cron.job using (jobid)
        where status in ('succeeded', 'failed')`;
      for (const row of rows) outcomes.set(row.jobname, { ...row });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(outcomes.get("good"), {
      jobname: "good",
      status: "succeeded",
      return_message: "INSERT 1",
      username: "postgres",
    });
    assert.equal(outcomes.get("bad")?.status, "failed");
    assert.equal(outcomes.get("bad")?.return_message, "ERROR:  division by zero");
    const [row] = await sql`select who from public.ran limit 1`;
    assert.equal(row?.who, "postgres");
  } finally {
    await worker.stop();
  }
});
