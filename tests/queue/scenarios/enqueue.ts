/** enqueue_video and enqueue_videos. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";

export const ENQUEUE: readonly Scenario[] = [
  {
    name: "enqueue_video: a new video → pending, due, one candidate, one event",
    async run(queue) {
      const job = await queue.enqueue({
        embed_url: "https://e.test/1",
        kind: "mp4",
        headers: { referer: "x" },
        priority: 2,
      });
      assert.equal(job["status"], "pending");
      assert.equal(job["attempts"], 0);
      assert.equal(job["max_attempts"], 8);
      assert.equal(job["priority"], 2);
      assert.equal(job["embed_url"], "https://e.test/1");
      const [candidate, ...rest] = await queue
        .sql`select * from public.video_candidates where queue_id = ${job["id"] as string}`;
      assert.equal(rest.length, 0);
      assert.equal(candidate!["rank"], 0);
      assert.equal(candidate!["embed_url"], "https://e.test/1");
      assert.equal(candidate!["video_url"], "https://a.test/v.mp4");
      assert.equal(candidate!["kind"], "mp4");
      assert.deepEqual(candidate!["headers"], { referer: "x" });
      assert.deepEqual(await queue.events(job["id"]), ["enqueued"]);
      assert.equal((await queue.claim()).length, 1);
    },
  },
  {
    name: "enqueue_video: no resolution → its own key, once",
    async run(queue) {
      const none = await queue.enqueue({ episode: 1, resolution: null });
      const again = await queue.enqueue({ episode: 1, resolution: "" });
      const named = await queue.enqueue({ episode: 1, resolution: "720p" });
      assert.equal(again["id"], none["id"]);
      assert.notEqual(named["id"], none["id"]);
      const other = await queue.enqueue({ episode: 1, resolution: "720p", provider: "samehadaku" });
      const next = await queue.enqueue({ episode: 2, resolution: "720p" });
      const title = await queue.enqueue({ episode: 1, resolution: "720p", mal_id: 1 });
      assert.equal(new Set([none, named, other, next, title].map((job) => job["id"])).size, 5);
    },
  },
  {
    name: "enqueue_video: a known url → writes nothing, in every status",
    async run(queue) {
      const pending = await queue.enqueue({ episode: 1 });
      const same = async (episode: number) => {
        const before = await queue.digest();
        const [{ tuple: was } = {}] = await queue
          .sql`select string_agg(ctid::text || xmin::text || xmax::text, ',') as tuple from public.video_queue`;
        await queue.enqueue({ episode });
        const [{ tuple: is } = {}] = await queue
          .sql`select string_agg(ctid::text || xmin::text || xmax::text, ',') as tuple from public.video_queue`;
        assert.equal(await queue.digest(), before);
        assert.equal(is, was);
      };
      await same(1);
      const job = await queue.claimOne();
      assert.equal(job.id, pending["id"]);
      await same(1);
      await queue.update(job, "failed", { error_class: "network" });
      await same(1);
      await queue.travel(3600);
      const again = await queue.claimOne();
      await queue.update(again, "failed", { error_class: "drm" });
      assert.ok((await queue.row(job.id))["terminal_at"]);
      await same(1);
      await queue.archived({ episode: 2 });
      await same(2);
      await queue.enqueue({ episode: 3, embed_url: "https://e.test/3", video_url: "https://cdn.test/token=1" });
      const before = await queue.digest();
      await queue.enqueue({ episode: 3, embed_url: "https://e.test/3", video_url: "https://cdn.test/token=2" });
      assert.equal(await queue.digest(), before, "the embed page identifies the source, not its current url");
    },
  },
  {
    name: "new url for a failed job → due now; attempts reset if dead",
    async run(queue) {
      const job = await queue.downloading({ episode: 4 });
      await queue.update(job, "failed", { error_class: "network" });
      const row = await queue.enqueue({ episode: 4, video_url: "https://b.test/v.mp4" });
      assert.equal(row["status"], "pending");
      assert.equal(row["attempts"], 1);
      assert.equal(row["retry_count"], 1);
      assert.equal((await queue.claimOne()).attempts, 2);
    },
  },
  {
    name: "new url for a waiting job → one more candidate, due now",
    async run(queue) {
      const job = await queue.downloading({ episode: 4 });
      await queue.update(job, "pending", { retry_after_seconds: 600 });
      const row = await queue.enqueue({ episode: 4, video_url: "https://b.test/v.mp4" });
      assert.equal(row["status"], "pending");
      assert.equal(row["video_url"], "https://b.test/v.mp4");
      const again = await queue.claimOne();
      assert.equal(again.id, job.id);
      assert.deepEqual(again.candidates.map((candidate) => [candidate.rank, candidate.video_url]), [
        [0, "https://a.test/v.mp4"],
        [1, "https://b.test/v.mp4"],
      ]);
    },
  },
  {
    name: "new url for a leased or ready job → one more candidate only",
    async run(queue) {
      const held = await queue.downloading({ episode: 4 });
      const before = await queue.row(held.id);
      await queue.enqueue({ episode: 4, video_url: "https://b.test/v.mp4" });
      const { candidates, ...after } = await queue.row(held.id);
      assert.deepEqual({ ...after, candidates: before["candidates"] }, before);
      assert.equal((candidates as unknown[]).length, 2);
      await queue.update(held, "pending");
      assert.equal((await queue.claimOne()).candidates.length, 2);
      const { job } = await queue.archived({ episode: 5 });
      const ready = await queue.row(job.id);
      await queue.enqueue({ episode: 5, video_url: "https://b.test/v.mp4" });
      assert.deepEqual(await queue.row(job.id), ready);
      const [{ count } = {}] = await queue
        .sql`select count(*)::int as count from public.video_candidates where queue_id = ${job.id}`;
      assert.equal(count, 2);
    },
  },
  {
    name: "enqueue_videos: servers of a response → all or none",
    async run(queue) {
      const video = (episode: number, more = {}) => ({
        mal_id: 9,
        episode,
        provider: "animasu",
        video_url: `https://a.test/${episode}`,
        resolution: "720p",
        ...more,
      });
      const jobs = await queue.rpc("enqueue_videos", {
        videos: [
          video(2),
          video(1, { embed_url: "https://e.test/1", kind: "hls", priority: 0 }),
          video(2, { video_url: "https://b.test/2" }),
        ],
      });
      assert.deepEqual(jobs.map((job) => job["episode"]), [1, 2, 2]);
      assert.equal(jobs[0]!["priority"], 0);
      assert.equal(jobs[0]!["embed_url"], "https://e.test/1");
      assert.equal(new Set(jobs.map((job) => job["id"])).size, 2);
      assert.equal(await queue.refusal("enqueue_videos", { videos: [video(3), video(0)] }), "PT400");
      assert.equal(await queue.refusal("enqueue_videos", { videos: { a: 1 } }), "PT400");
      assert.equal(await queue.refusal("enqueue_videos", { videos: null }), "PT400");
      assert.equal(
        await queue.refusal("enqueue_videos", { videos: Array.from({ length: 501 }, (_, n) => video(n + 1)) }),
        "PT400",
      );
      assert.equal(
        (await queue.rpc("enqueue_videos", { videos: Array.from({ length: 500 }, (_, n) => video(n + 1)) })).length,
        500,
      );
      assert.equal((await queue.rpc("enqueue_videos", { videos: [] })).length, 0);
    },
  },
];
