// Further heights of a job's source: enqueued by its holder, held for it, and claimed by it one after the other.
import assert from "node:assert/strict";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, type ClaimedJob, type Row } from "../fixture/rpc.ts";

const enqueueHeights = async (queue: QueueFixture, job: ClaimedJob, heights: readonly number[]) => {
  const [row] = await queue.rpc<{ enqueue_heights: number }>("enqueue_heights", {
    id: job.id,
    lease_token: job.lease_token,
    heights,
  });
  return row!.enqueue_heights;
};
const claimHeight = (queue: QueueFixture, job: Row) =>
  queue.rpc<ClaimedJob>("claim_height", { heights_of: job["id"], worker: "runner-a" });
const heightsOf = (queue: QueueFixture, job: Row) =>
  queue.sql<Row[]>`
    select *, run_at > clock_timestamp() as held from public.video_queue
    where height_of = ${job["id"] as string} order by resolution`;

export const HEIGHTS: readonly Scenario[] = [
  {
    name: "heights: enqueued by the holder → jobs with the same source, held",
    async run(queue) {
      const job = await queue.downloading({
        embed_url: "https://a.test/e/1",
        kind: "hls",
        headers: { referer: "https://a.test/" },
        listed_tracks: { subtitles: [{ url: "https://a.test/en.vtt" }] },
      });
      assert.equal(await enqueueHeights(queue, job, [480, 360, 480]), 2);
      const rows = await heightsOf(queue, job);
      assert.deepEqual(rows.map((row) => [row["resolution"], row["status"], row["priority"], row["held"]]), [
        ["360p", "pending", 2, true],
        ["480p", "pending", 2, true],
      ]);
      const [candidate] = rows[0]!["candidates"] as Row[];
      const { id: _, ...source } = candidate!;
      const { id: __, ...own } = job.candidates[0] as unknown as Row;
      assert.deepEqual(source, { ...own, exact: true });
      assert.deepEqual(await queue.events(rows[0]!["id"]), ["enqueued"]);
      assert.equal((await queue.claim(50, "runner-b")).length, 0, "another runner");
      assert.equal(await enqueueHeights(queue, job, [480, 360]), 2);
      assert.equal((await heightsOf(queue, job)).length, 2);
    },
  },
  {
    name: "heights: claimed by the holder → largest first, then none",
    async run(queue) {
      const job = await queue.downloading();
      await enqueueHeights(queue, job, [360, 1080, 480]);
      const labels: unknown[] = [];
      for (let [next] = await claimHeight(queue, job); next !== undefined; [next] = await claimHeight(queue, job)) {
        assert.equal(next["height_of"], job.id);
        labels.push(next["resolution"]);
        await queue.update(next, "uploading");
        await queue.rpc("upsert_video_store", archiveOf(next));
      }
      assert.deepEqual(labels, ["1080p", "480p", "360p"]);
    },
  },
  {
    name: "heights: the hold is repeated, given up, or expires → due",
    async run(queue) {
      const job = await queue.downloading();
      await enqueueHeights(queue, job, [360]);
      await queue.travel(100);
      await queue.rpc("hold_heights", { id: job.id, hold_seconds: 120 });
      await queue.travel(100);
      assert.equal((await queue.claim()).length, 0);
      await queue.travel(21);
      const [due] = await queue.claim(1, "runner-b");
      assert.equal(due?.["resolution"], "360p");
      await queue.update(due!, "pending");
      await queue.rpc("hold_heights", { id: job.id });
      assert.equal((await queue.claim()).length, 0);
      await queue.rpc("hold_heights", { id: job.id, hold_seconds: 0 });
      assert.equal((await queue.claim()).length, 1);
      const [{ hold_heights } = {}] = await queue.rpc("hold_heights", { id: job.id });
      assert.equal(hold_heights, 0, "a leased height is not held");
    },
  },
  {
    name: "heights: a label of another server, ready or waiting → not changed",
    async run(queue) {
      const { job: other } = await queue.archived({ mal_id: 9, episode: 1, resolution: "360p" });
      const waiting = await queue.enqueue({ mal_id: 9, episode: 1, resolution: "480p", video_url: "https://b.test/" });
      const before = [await queue.row(other.id), await queue.row(waiting["id"])];
      await queue.enqueue({ mal_id: 9, episode: 1, priority: 0 });
      const job = await queue.claimOne();
      assert.equal(job["resolution"], "720p");
      assert.equal(await enqueueHeights(queue, job, [360, 480, 1080]), 1);
      assert.deepEqual([await queue.row(other.id), await queue.row(waiting["id"])], before);
      assert.deepEqual((await heightsOf(queue, job)).map((row) => row["resolution"]), ["1080p"]);
    },
  },
  {
    name: "heights: a new URL of the source → a candidate of its heights, too",
    async run(queue) {
      const video = { mal_id: 9, episode: 1, provider: "animasu", resolution: "720p", video_url: "https://a.test/1" };
      const job = await queue.uploading(video);
      await enqueueHeights(queue, job, [360]);
      await queue.rpc("upsert_video_store", archiveOf(job));
      const [height] = await claimHeight(queue, job);
      await queue.update(height!, "failed", { error_class: "unsupported" });
      const renewed = { ...video, video_url: "https://a.test/2" };
      const jobs = await queue.rpc("enqueue_videos", { videos: [renewed] });
      assert.deepEqual(jobs.map((row) => row["resolution"]), ["720p"]);
      const row = await queue.row(height!.id);
      assert.equal(row["status"], "pending");
      assert.deepEqual(
        (row["candidates"] as Row[]).map((one) => [one["video_url"], one["exact"]]),
        [["https://a.test/2", true]],
      );
      const before = await queue.digest();
      await queue.rpc("enqueue_videos", { videos: [renewed] });
      assert.equal(await queue.digest(), before);
    },
  },
  {
    name: "heights: a server is listed with a height's label → not exact",
    async run(queue) {
      const job = await queue.downloading({ mal_id: 9, episode: 1 });
      await enqueueHeights(queue, job, [360]);
      const listed = await queue.enqueue({ mal_id: 9, episode: 1, resolution: "360p", video_url: "https://b.test/" });
      assert.equal(listed["height_of"], job.id);
      assert.deepEqual((listed["candidates"] as Row[]).map((one) => one["exact"] ?? false), [true, false]);
    },
  },
  {
    name: "heights: stale lease, wrong numbers, a height of a height → refused",
    async run(queue) {
      const job = await queue.downloading();
      const call = { id: job.id, lease_token: job.lease_token, heights: [360] };
      const refusal = (more: Row) => queue.refusal("enqueue_heights", { ...call, ...more });
      assert.equal(await refusal({ id: crypto.randomUUID() }), "PT404");
      assert.equal(await refusal({ lease_token: null }), "PT409");
      assert.equal(await refusal({ lease_token: crypto.randomUUID() }), "PT409");
      for (const heights of [null, [0], [-1], [10_000], [null], Array.from({ length: 17 }, (_, i) => i + 1)]) {
        assert.equal(await refusal({ heights }), "PT400", JSON.stringify(heights));
      }
      await enqueueHeights(queue, job, [360]);
      const [height] = await claimHeight(queue, job);
      assert.equal(await refusal({ id: height!.id, lease_token: height!.lease_token }), "PT422");
      await queue.travel(121);
      assert.equal(await refusal({ heights: [480] }), "PT409");
    },
  },
  {
    name: "heights: cancelled, without rights, taken down → none",
    async run(queue) {
      const job = await queue.downloading();
      await queue.rpc("cancel_video", { id: job.id });
      assert.equal(await enqueueHeights(queue, job, [360]), 0);
      const other = await queue.downloading({ provider: "samehadaku" });
      await queue.sql`update public.providers set rights = null where name = 'samehadaku'`;
      assert.equal(await enqueueHeights(queue, other, [360]), 0);
      const third = await queue.downloading({ mal_id: 9, episode: 1 });
      await enqueueHeights(queue, third, [360]);
      await queue.rpc("takedown", { mal_id: 9, episode: 1 });
      assert.equal((await heightsOf(queue, third)).length, 0);
      assert.equal(
        await queue.refusal("enqueue_heights", { id: third.id, lease_token: third.lease_token, heights: [360] }),
        "PT404",
      );
    },
  },
];
