/** claim_pending_videos. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";

export const CLAIM: readonly Scenario[] = [
  {
    name: "claim: a due job → downloading, new token, attempt and epoch + 1",
    async run(queue) {
      const job = await queue.downloading();
      const row = await queue.row(job.id);
      assert.equal(job.status, "downloading");
      assert.equal(row["status"], "downloading");
      assert.equal(row["attempts"], 1);
      assert.equal(job.attempts, 1);
      assert.equal(row["lease_epoch"], 1);
      assert.equal(row["lease_owner"], "runner-a");
      assert.equal(row["lease_token"], job.lease_token);
      assert.ok(row["started_at"]);
      const [{ seconds } = {}] = await queue.sql`
        select extract(epoch from lease_expires_at - updated_at)::float8 as seconds from public.video_queue`;
      assert.ok(Math.abs(Number(seconds) - 120) < 1, `leased for ${seconds} s`);
      assert.deepEqual(job.candidates.map((candidate) => candidate.video_url), ["https://a.test/v.mp4"]);
      assert.deepEqual(await queue.events(job.id), ["enqueued", "claimed"]);
      assert.equal((await queue.claim()).length, 0, "leased by runner-a");
      await queue.update(job, "pending");
      const second = await queue.claimOne();
      assert.equal(second.lease_epoch, 2);
      assert.notEqual(second.lease_token, job.lease_token);
      assert.deepEqual((await queue.row(job.id))["started_at"], row["started_at"]);
    },
  },
  {
    name: "claim: lease_seconds null, 1, 100000 → 120, 10, 3600",
    async run(queue) {
      for (const [requested, given] of [[null, 120], [1, 10], [100_000, 3600], [60, 60]]) {
        await queue.enqueue();
        const [job] = await queue.rpc("claim_pending_videos", { limit: 1, worker: "", lease_seconds: requested });
        const [row] = await queue.sql`
          select extract(epoch from lease_expires_at - updated_at)::float8 as seconds, lease_owner from public.video_queue where id = ${job![
          "id"
        ] as string}`;
        assert.ok(Math.abs(Number(row!["seconds"]) - given!) < 1, `${requested} → ${row!["seconds"]}`);
        assert.equal(row!["lease_owner"], "runner");
      }
    },
  },
  {
    name: "claim: several due → by priority, run_at, id; at most the limit",
    async run(queue) {
      const jobs = [];
      for (const priority of [3, 1, 0, 2, 1]) jobs.push(await queue.enqueue({ priority }));
      const [last, second, first, third, tie] = jobs.map((job) => job["id"]);
      await queue.sql`update public.video_queue set run_at = run_at - interval '1 hour' where id = ${tie as string}`;
      const two = await queue.claim(2);
      assert.deepEqual(two.map((job) => job.id), [first, tie]);
      const rest = await queue.claim(50);
      assert.deepEqual(rest.map((job) => job.id), [second, third, last]);
    },
  },
  {
    name: "claim: equal run_at → by id",
    async run(queue) {
      for (let n = 0; n < 6; n++) await queue.enqueue();
      await queue.sql`update public.video_queue set run_at = '2020-01-01' where true`;
      const order = await queue.sql`select id from public.video_queue order by id`;
      const claimed = [...await queue.claim(3), ...await queue.claim(3)];
      assert.deepEqual(claimed.map((job) => job.id), order.map((row) => row["id"]));
    },
  },
  {
    name: "claim: a job in backoff → skipped, the next is claimed",
    async run(queue) {
      const waiting = await queue.downloading({ priority: 0 });
      await queue.update(waiting, "failed", { error_class: "network" });
      const due = await queue.enqueue({ priority: 3 });
      assert.deepEqual((await queue.claim(50)).map((job) => job.id), [due["id"]]);
      await queue.travel(31);
      const again = await queue.claimOne();
      assert.equal(again.id, waiting.id);
      assert.equal(again.attempts, 2);
    },
  },
];
