/**
 * A job changes between a claim's read and its lock. Postgres cannot be paused there, so a row
 * security policy, evaluated on each read, waits for a lock that the test holds while it changes the
 * job.
 */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { type ClaimedJob, type Row, rpc } from "../fixture/rpc.ts";

const GATE = 4711;

/**
 * Claims while `meanwhile` changes the jobs. The policy applies to the function's owner, so the
 * function gets a new one.
 */
async function overtaken(queue: QueueFixture, meanwhile: (sql: Sql) => PromiseLike<unknown>): Promise<ClaimedJob[]> {
  const { admin, name } = queue.database;
  const owner = `owner_of_${name}`;
  // Both changes lock all four tables before their catalogue rows; a vacuum could otherwise hold
  // them up.
  const tables = "public.video_queue, keepstream.events, keepstream.video_leases, keepstream.notification_state";
  await admin.unsafe(`
    lock table ${tables} in access exclusive mode;
    create role ${owner};
    grant usage on schema public, keepstream to ${owner};
    grant all on ${tables} to ${owner};
    grant all on all sequences in schema keepstream to ${owner};
    grant execute on all functions in schema keepstream to ${owner};
    create function public.pass_gate() returns boolean language plpgsql volatile as
      $$ begin perform pg_advisory_lock_shared(${GATE}); perform pg_advisory_unlock_shared(${GATE}); return true; end $$;
    create policy gate on public.video_queue to ${owner} using (public.pass_gate());
    create policy open on keepstream.events to ${owner} using (true);
    create policy open on keepstream.video_leases to ${owner} using (true);
    create policy open on keepstream.notification_state to ${owner} using (true);
    alter function public.claim_pending_videos(int, text, int) owner to ${owner};
  `).simple();
  const gate = queue.connect("postgres");
  try {
    await gate`select pg_advisory_lock(${GATE})`;
    const claim = rpc<ClaimedJob>(queue.connect("service_role"), "claim_pending_videos", { limit: 2, worker: "late" });
    const claimed = claim.then((jobs) => jobs, (error) => error as Error);
    await queue.untilWaiting(1);
    await meanwhile(queue.sql);
    await gate`select pg_advisory_unlock(${GATE})`;
    const jobs = await claimed;
    if (jobs instanceof Error) throw jobs;
    return jobs;
  } finally {
    await gate`select pg_advisory_unlock_all()`;
    await admin.unsafe(`
      lock table ${tables} in access exclusive mode;
      alter function public.claim_pending_videos(int, text, int) owner to postgres;
      drop owned by ${owner};
      drop function public.pass_gate();
      drop role ${owner};
    `).simple();
  }
}

export const CLAIM_RACES: readonly Scenario[] = [
  {
    name: "claim: the job changes meanwhile → claimed as it is now",
    async run(queue) {
      const { id } = await queue.enqueue();
      const [job, ...others] = await overtaken(
        queue,
        (sql) =>
          sql`update public.video_queue set video_url = 'https://moved.test/', max_attempts = 5 where id = ${id as string}`,
      );
      assert.deepEqual([job?.id, others.length], [id, 0]);
      assert.deepEqual([job!["video_url"], job!["max_attempts"]], ["https://moved.test/", 5]);
      const row = await queue.row(id);
      assert.deepEqual([row["lease_token"], row["attempts"], row["max_attempts"]], [job!.lease_token, 1, 5]);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "claim: the job moves to another page → claimed as it is now",
    async run(queue) {
      const { id } = await queue.enqueue();
      const progress = "x".repeat(7000);
      const place = async () =>
        (await queue.sql`select ctid::text as place from public.video_queue where id = ${id as string}`)[0]!["place"];
      const before = await place();
      // Random text, which does not compress: two such rows do not fit on one page.
      const [job] = await overtaken(queue, async (sql) => {
        for (const turn of [1, 2, 3, 4]) {
          await sql`update public.video_queue set progress = (select jsonb_agg(md5(n::text || ${turn}::text)) from generate_series(1, 45) n),
            error_message = ${progress.slice(0, 1500)} where id = ${id as string}`;
        }
      });
      assert.equal(job?.id, id);
      assert.notEqual(String(await place()).split(",")[0], String(before).split(",")[0], "the row did not move");
      assert.equal((await queue.row(id))["lease_token"], job!.lease_token);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "claim: another claim takes the job → the next one instead",
    async run(queue) {
      const first = await queue.enqueue({ priority: 0 });
      const second = await queue.enqueue();
      let winner: Row | undefined;
      const jobs = await overtaken(queue, async (sql) => {
        // Writes what a claim writes, because the function would wait at the same gate.
        await sql`
          update public.video_queue set status = 'downloading', attempts = 1, lease_token = gen_random_uuid(), lease_owner = 'winner',
            lease_epoch = 1, lease_expires_at = now() + interval '2 minutes'
          where id = ${first["id"] as string}`;
        winner = await queue.row(first["id"]);
      });
      assert.deepEqual(jobs.map((job) => job.id), [second["id"]]);
      const row = await queue.row(first["id"]);
      assert.deepEqual([row["lease_token"], row["lease_owner"], row["attempts"]], [
        winner!["lease_token"],
        "winner",
        1,
      ]);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "claim: the job is postponed or deleted → not claimed",
    async run(queue) {
      const later = await queue.enqueue();
      const gone = await queue.enqueue();
      const jobs = await overtaken(queue, async (sql) => {
        await sql`update public.video_queue set run_at = now() + interval '1 hour' where id = ${later["id"] as string}`;
        await sql`delete from public.video_queue where id = ${gone["id"] as string}`;
      });
      assert.equal(jobs.length, 0);
      assert.equal((await queue.row(later["id"]))["status"], "pending");
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
];
