/** What queue_counts and the view operator report. */
import assert from "node:assert/strict";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import type { Row } from "../fixture/rpc.ts";

const counts = async (queue: QueueFixture) => (await queue.rpc<{ queue_counts: Row }>("queue_counts"))[0]!.queue_counts;

export const COUNTS: readonly Scenario[] = [
  {
    name: "queue_counts, view operator: each job → counted once",
    async run(queue) {
      await queue.archived();
      await queue.downloading();
      await queue.uploading();
      const late = await queue.downloading();
      await queue
        .sql`update public.video_queue set lease_expires_at = now() - interval '1 second' where id = ${late.id}`;
      const dead = await queue.downloading();
      await queue.update(dead, "failed", { error_class: "drm" });
      const delayed = await queue.downloading();
      await queue.update(delayed, "failed", { error_class: "network" });
      for (let n = 0; n < 3; n++) await queue.enqueue();
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const { oldest_due_at, notification, ...rest } = await counts(queue);
      assert.deepEqual(rest, {
        due: 3,
        delayed: 1,
        pending: 3,
        downloading: 2,
        uploading: 1,
        ready: 1,
        failed: 2,
        archived: 1,
        expired: 1,
        dead: 1,
        repairs: 1,
        sweep_age_seconds: null,
        clearing_error: null,
      });
      assert.match((notification as Row)["error"] as string, /Vault/);
      const [view] = await queue.database
        .serviceRole`select *, extract(epoch from oldest_due_at) as seconds from public.operator`;
      assert.equal(view!["due"], "3");
      assert.ok(oldest_due_at);
    },
  },
  {
    name: "queue_counts: the age of the last sweep",
    async run(queue) {
      await queue.rpc("sweep");
      await queue.sql`update keepstream.event_retention set swept_at = swept_at - interval '5 minutes' where true`;
      const age = (await counts(queue))["sweep_age_seconds"];
      assert.ok(typeof age === "number" && age >= 300 && age < 330, `${age}`);
      await queue.rpc("sweep");
      assert.ok((await counts(queue))["sweep_age_seconds"] as number < 30);
    },
  },
  {
    name: "ready and archived: any change → exact counts",
    async run(queue) {
      const exact = async () => {
        const [real] = await queue.sql`
          select (select count(*)::int from public.video_queue where status = 'ready') as ready,
            (select count(*)::int from public.video_store) as archived`;
        const { ready, archived } = await counts(queue);
        assert.deepEqual({ ready, archived }, { ...real });
        return real!["ready"];
      };
      const { job } = await queue.archived({ mal_id: 1, episode: 1 });
      for (let n = 0; n < 3; n++) await queue.archived();
      assert.equal(await exact(), 4);
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      assert.equal(await exact(), 3);
      await queue.rpc("takedown", { mal_id: 55825, episode: 2 });
      await exact();
      await queue.sql`delete from public.video_queue where true`;
      assert.equal(await exact(), 0);
      await queue.archived();
      await queue.sql`truncate public.video_queue cascade`;
      assert.equal(await exact(), 0);
      await queue.archived();
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`delete from public.video_store where true`;
      assert.equal(await exact(), 1, "uncommitted jobs are not counted");
      await slow`rollback`;
      assert.equal(await exact(), 1);
    },
  },
  {
    name: "sweep: count deltas → merged, the counts stay",
    async run(queue) {
      await queue.archived();
      await queue.sql`
        insert into keepstream.count_deltas (counted, delta)
        select c, 1 from generate_series(1, 120) n, (values ('ready'), ('archived')) k (c)`;
      await queue.rpc("sweep");
      assert.equal((await queue.sql`select from keepstream.count_deltas`).length, 2);
      const { ready, archived } = await counts(queue);
      assert.deepEqual([ready, archived], [121, 121]);
    },
  },
  {
    name: "counts: index scans → the queue table is not read",
    async run(queue) {
      const sql = queue.connect("postgres");
      await sql`set enable_seqscan = off`;
      const plan = await sql`explain (format json) select * from public.operator`;
      const text = JSON.stringify(plan);
      assert.ok(!text.includes('"Seq Scan"'), text);
    },
  },
];
