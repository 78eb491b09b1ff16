/** Retry and cancel, by function and by UPDATE. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome } from "../fixture/rpc.ts";

export const OPERATORS: readonly Scenario[] = [
  {
    name: "retry by UPDATE: a failed job → claimed from attempt 1",
    async run(queue) {
      const dead = await queue.downloading();
      await queue.update(dead, "failed", { error_class: "drm" });
      const failed = await queue.downloading();
      await queue.update(failed, "failed", { error_class: "network" });
      await queue.database
        .serviceRole`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
      for (const { id } of [dead, failed]) {
        const row = await queue.row(id);
        assert.deepEqual([
          row["status"],
          row["attempts"],
          row["retry_count"],
          row["terminal_at"],
          row["error_class"],
          row["error_message"],
        ], ["pending", 0, 0, null, null, null]);
        assert.equal((await queue.events(id)).at(-1), "revived");
      }
      const claimed = await queue.claim(50);
      assert.deepEqual(claimed.map((job) => job.attempts), [1, 1]);
    },
  },
  {
    name: "retry_videos: named or all → failed jobs start over, no others",
    async run(queue) {
      const failed = [];
      for (const error_class of ["drm", "network", "drm"]) {
        const job = await queue.downloading();
        await queue.update(job, "failed", { error_class });
        failed.push(job.id);
      }
      const { job: ready } = await queue.archived();
      const retry = async (args = {}) => (await queue.rpc("retry_videos", args))[0]!["retry_videos"];
      assert.equal(await retry({ ids: [failed[0], ready.id] }), 1);
      const one = await queue.row(failed[0]);
      assert.deepEqual([one["status"], one["attempts"], one["retry_count"]], ["pending", 0, 0]);
      const stopped = await queue.enqueue();
      await queue.rpc("cancel_video", { id: stopped["id"] });
      assert.equal(await retry(), 2, "cancelled jobs are not retried in bulk");
      assert.equal(await retry({ ids: [stopped["id"]] }), 1);
      assert.equal((await queue.claim(50)).length, 4);
      assert.equal((await queue.row(ready.id))["status"], "ready");
    },
  },
  {
    name: "UPDATE to pending: retry_count kept → attempts kept unless dead",
    async run(queue) {
      const failed = await queue.downloading();
      await queue.update(failed, "failed", { error_class: "network" });
      const dead = await queue.downloading();
      await queue.update(dead, "failed", { error_class: "drm" });
      await queue.sql`update public.video_queue set status = 'pending' where status = 'failed'`;
      const rows = [await queue.row(failed.id), await queue.row(dead.id)];
      assert.deepEqual(rows.map((row) => [row["attempts"], row["retry_count"]]), [[1, 1], [0, 0]]);
    },
  },
  {
    name: "UPDATE to pending: a leased job → released, its worker gets 409",
    async run(queue) {
      const job = await queue.uploading();
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      const row = await queue.row(job.id);
      assert.deepEqual([row["attempts"], row["lease_token"], row["lease_owner"], row["lease_expires_at"]], [
        0,
        null,
        null,
        null,
      ]);
      assert.equal(await queue.refusedReport(job), "PT409");
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job)), "PT409");
    },
  },
  {
    name: "UPDATE to failed: a leased job → counted, its worker gets 409",
    async run(queue) {
      const job = await queue.downloading();
      await queue.sql`update public.video_queue set status = 'failed' where id = ${job.id}`;
      const row = await queue.row(job.id);
      assert.deepEqual([row["error_class"], row["retry_count"], row["attempts"], row["lease_token"]], [
        "unknown",
        1,
        1,
        null,
      ]);
      assert.equal(await queue.refusedReport(job), "PT409");
    },
  },
  {
    name: "UPDATE: a forbidden transition → refused",
    async run(queue) {
      const job = await queue.enqueue();
      const move = (status: string) =>
        outcome(queue.sql`update public.video_queue set status = ${status} where id = ${job["id"] as string}`);
      assert.equal(await move("ready"), "PT422");
      assert.equal(await move("uploading"), "PT422");
      assert.equal(await move("downloading"), "23514", "without a lease");
      const held = await queue.claimOne();
      assert.equal(await move("ready"), "PT422");
      await queue.update(held, "uploading");
      assert.equal(await move("ready"), "PT422", "without a store row");
      assert.equal(await move("downloading"), "PT422");
      assert.equal(
        await outcome(
          queue
            .sql`insert into public.video_queue (mal_id, episode, provider, video_url, status) values (1, 1, 'a', 'https://a.test/', 'ready')`,
        ),
        "PT422",
      );
      assert.equal(await outcome(queue.sql`update keepstream.events set kind = 'claimed' where true`), "PT422");
    },
  },
  {
    name: "cancel: waiting → dead at once; only an operator revives it",
    async run(queue) {
      const job = await queue.enqueue({ episode: 3 });
      const [row] = await queue.rpc("cancel_video", { id: job["id"] });
      assert.deepEqual([row!["status"], row!["error_class"], row!["error_message"]], [
        "failed",
        "cancelled",
        "cancelled",
      ]);
      assert.ok(row!["terminal_at"] && row!["finished_at"]);
      assert.equal(row!["retry_count"], 0);
      const before = await queue.digest();
      await queue.rpc("cancel_video", { id: job["id"] });
      assert.equal(await queue.digest(), before);
      await queue.enqueue({ episode: 3, video_url: "https://b.test/v.mp4" });
      assert.equal(await queue.digest(), before);
      assert.deepEqual(await queue.events(job["id"]), ["enqueued", "cancelled"]);
      await queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
      assert.equal((await queue.claim()).length, 1);
    },
  },
  {
    name: "cancel: a failed or dead job → dead, with an event",
    async run(queue) {
      for (const error_class of ["network", "drm"]) {
        const job = await queue.downloading();
        await queue.update(job, "failed", { error_class });
        const [row] = await queue.rpc("cancel_video", { id: job.id });
        assert.deepEqual([row!["status"], row!["error_class"]], ["failed", "cancelled"]);
        assert.ok(row!["terminal_at"]);
        assert.equal((await queue.events(job.id)).at(-1), "cancelled");
        await queue.travel(100_000);
        assert.equal((await queue.claim()).length, 0);
      }
    },
  },
  {
    name: "cancel: a leased job → applied at its next report",
    async run(queue) {
      for (const status of ["uploading", "failed", "pending"]) {
        const job = await queue.downloading();
        const [cancelled] = await queue.rpc("cancel_video", { id: job.id });
        assert.equal(cancelled!["status"], "downloading");
        assert.ok(cancelled!["cancel_requested_at"]);
        const before = await queue.digest();
        await queue.rpc("cancel_video", { id: job.id });
        assert.equal(await queue.digest(), before);
        const still = await queue.update(job, "downloading", { progress: { a: 1 } });
        assert.equal(still["status"], "downloading", "progress is not a transition");
        const row = await queue.update(job, status, { error_class: "network" });
        assert.deepEqual(
          [row["status"], row["error_class"], row["cancel_requested_at"]],
          ["failed", "cancelled", null],
          status,
        );
        assert.ok(row["terminal_at"]);
        assert.deepEqual((await queue.events(job.id)).slice(-2), ["cancel_requested", "failed"]);
      }
    },
  },
  {
    name: "cancel: a leased job given back or failed by hand → cancelled",
    async run(queue) {
      for (const status of ["pending", "failed"]) {
        const job = await queue.downloading();
        await queue.rpc("cancel_video", { id: job.id });
        await queue.sql`update public.video_queue set status = ${status} where id = ${job.id}`;
        const row = await queue.row(job.id);
        assert.deepEqual([row["status"], row["error_class"], row["error_message"], row["retry_count"]], [
          "failed",
          "cancelled",
          "cancelled",
          1,
        ]);
        assert.ok(row["terminal_at"]);
      }
      assert.equal((await queue.claim(50)).length, 0);
    },
  },
  {
    name: "cancel: a leased job whose runner dies → the sweep ends it",
    async run(queue) {
      const job = await queue.downloading();
      await queue.rpc("cancel_video", { id: job.id });
      await queue.travel(121);
      await queue.rpc("sweep");
      const row = await queue.row(job.id);
      assert.deepEqual([row["status"], row["error_class"], row["error_message"]], ["failed", "cancelled", "cancelled"]);
      assert.ok(row["terminal_at"]);
    },
  },
  {
    name: "cancel: ready → 422; unknown → 404; archive afterwards → 409",
    async run(queue) {
      const { job } = await queue.archived();
      assert.equal(await queue.refusal("cancel_video", { id: job.id }), "PT422");
      assert.equal(await queue.refusal("cancel_video", { id: crypto.randomUUID() }), "PT404");
      const held = await queue.uploading();
      await queue.rpc("cancel_video", { id: held.id });
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(held)), "PT409");
      assert.equal((await queue.update(held, "failed"))["error_class"], "cancelled");
    },
  },
];
