/** Columns that a transition sets and that no other scenario checks. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf } from "../fixture/rpc.ts";

export const DERIVED: readonly Scenario[] = [
  {
    name: "finished jobs: archived, cancelled, by hand → no candidates, a time",
    async run(queue) {
      const job = await queue.uploading();
      await queue.update(job, "uploading", { progress: { bytes_done: 1 } });
      await queue.rpc("upsert_video_store", archiveOf(job));
      const ready = await queue.row(job.id);
      assert.deepEqual([ready["candidates"], ready["progress"], ready["updated_at"]], [
        null,
        null,
        ready["finished_at"],
      ]);
      const failed = await queue.downloading();
      await queue.update(failed, "failed", { error_class: "network" });
      await queue.rpc("cancel_video", { id: failed.id });
      assert.equal((await queue.row(failed.id))["candidates"], null);
      const byHand = await queue.downloading();
      await queue.update(byHand, "downloading", { progress: { bytes_done: 1 } });
      await queue.sql`update public.video_queue set status = 'failed', terminal_at = now() where id = ${byHand.id}`;
      const dead = await queue.row(byHand.id);
      assert.deepEqual([dead["candidates"], dead["progress"], dead["lease_token"]], [null, null, null]);
      assert.ok(dead["finished_at"]);
    },
  },
  {
    name: "status by hand: each transition → its event, with reset if revived",
    async run(queue) {
      const job = await queue.downloading();
      const move = (status: string) => queue.sql`update public.video_queue set status = ${status} where id = ${job.id}`;
      const last = async () => {
        const [event] = await queue.sql`
          select kind, to_status, detail from keepstream.events where queue_id = ${job.id} order by id desc limit 1`;
        return { ...event };
      };
      await move("uploading");
      assert.deepEqual(await last(), { kind: "uploading", to_status: "uploading", detail: null });
      await move("pending");
      assert.deepEqual(await last(), { kind: "released", to_status: "pending", detail: null });
      await queue.claimOne();
      await move("pending");
      assert.equal((await queue.row(job.id))["attempts"], 0);
      await queue.claimOne();
      await move("failed");
      assert.deepEqual([(await last()).kind, (await last()).detail.terminal], ["failed", false]);
      assert.equal((await queue.row(job.id))["retry_count"], 1);
      await move("pending");
      assert.deepEqual(await last(), { kind: "revived", to_status: "pending", detail: { reset: false } });
      await queue.claimOne();
      await move("uploading");
      await move("failed");
      assert.equal((await queue.row(job.id))["retry_count"], 2);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
      await queue.travel(3600);
      await queue.claimOne();
      await queue.travel(121);
      await move("failed");
      assert.equal((await last()).kind, "rescued", "its lease had expired");
    },
  },
  {
    name: "re-archive: the video had failed before → attempts start over",
    async run(queue) {
      const job = await queue.downloading();
      await queue.update(job, "failed", { error_class: "network" });
      await queue.travel(31);
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      await queue.rpc("upsert_video_store", archiveOf(again));
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      const row = await queue.row(job.id);
      assert.deepEqual([row["attempts"], row["retry_count"]], [0, 0]);
    },
  },
  {
    name: "archive: no copy of its own → 422; cancelled → 409, still uploading",
    async run(queue) {
      await queue.archived();
      const job = await queue.uploading();
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job, { replicas: [] })), "PT422");
      await queue.rpc("cancel_video", { id: job.id });
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job)), "PT409");
      assert.equal((await queue.row(job.id))["status"], "uploading");
    },
  },
  {
    name: "failure without a candidate → the others stay; Retry-After 0 is none",
    async run(queue) {
      const job = await queue.downloading({ embed_url: "https://e.test/1" });
      const row = await queue.update(job, "failed", { error_class: "disk_full" });
      assert.deepEqual([row["embed_url"], row["video_url"]], ["https://e.test/1", "https://a.test/v.mp4"]);
      const other = await queue.downloading();
      await queue.update(other, "pending", { retry_after_seconds: 0 });
      assert.equal((await queue.claimOne()).id, other.id);
      const third = await queue.downloading();
      await queue.update(third, "pending", { retry_after_seconds: 1 });
      const [later] = await queue.sql`
        select run_at - updated_at >= interval '1 second' as later from public.video_queue where id = ${third.id}`;
      assert.equal(later!["later"], true);
      const fourth = await queue.downloading();
      await queue.update(fourth, "failed", { error_class: "network", retry_after_seconds: 1 });
      const [soon] = await queue.sql`
        select run_at - updated_at < interval '10 seconds' as soon from public.video_queue where id = ${fourth.id}`;
      assert.equal(soon!["soon"], true);
    },
  },
  {
    name: "failure of a dead candidate → the live one is next",
    async run(queue) {
      await queue.enqueue({ episode: 1, video_url: "https://a.test/1" });
      await queue.enqueue({ episode: 1, video_url: "https://a.test/2" });
      const first = await queue.claimOne();
      await queue.update(first, "failed", { error_class: "drm" });
      const second = await queue.claimOne();
      const row = await queue.update(second, "failed", { error_class: "drm", candidate_id: first.candidates[0]!.id });
      assert.deepEqual([row["terminal_at"], row["video_url"]], [null, "https://a.test/2"]);
      const third = await queue.claimOne();
      await queue.rpc("cancel_video", { id: third.id });
      const ended = await queue.update(third, "failed", { error_class: "network", error: "reset" });
      assert.equal(ended["error_message"], "cancelled");
    },
  },
  {
    name: "new url for a waiting job → due now; headers 8193 bytes → 400",
    async run(queue) {
      const job = await queue.enqueue({ episode: 1 });
      await queue.sql`update public.video_queue set updated_at = now() - interval '1 day' where true`;
      const again = await queue.enqueue({ episode: 1, video_url: "https://b.test/v.mp4" });
      assert.equal(again["id"], job["id"]);
      assert.ok((again["updated_at"] as Date).getTime() > Date.now() - 3_600_000);
      const headers = (bytes: number) => ({ a: "x".repeat(bytes - '{"a": ""}'.length) });
      await queue.enqueue({ headers: headers(8192) });
      const more = { mal_id: 1, episode: 1, provider: "animasu", video_url: "https://a.test/", headers: headers(8193) };
      assert.equal(await queue.refusal("enqueue_video", more), "PT400");
    },
  },
  {
    name: "rights withdrawn → reason in the row; a catalogue title → kept",
    async run(queue) {
      const job = await queue.enqueue();
      await queue.rpc("apply_providers", { entries: [], dry_run: false });
      assert.match(String((await queue.row(job["id"]))["error_message"]), /no archiving rights/);
      const title = async (text: string) => {
        const entries = [{ mal_id: 1, episode: 1, title: text, sources: [], rights: "own work" }];
        await queue.rpc("import_catalogue", { entries, dry_run: false });
        return (await queue.sql`select title from public.catalogue`)[0]!["title"];
      };
      assert.deepEqual([await title("first"), await title("second")], ["first", "second"]);
    },
  },
  {
    name: "redact: a long text → 8192 characters are searched",
    async run(queue) {
      const text = `https://a.test/?${"x".repeat(8192 - "https://a.test/?".length)} tail`;
      const [row] = await queue.sql`select keepstream.redact(${text}) as message`;
      assert.equal(row!["message"], "https://a.test/?…");
    },
  },
  {
    name: "ended by hand without rights → the reason given by hand",
    async run(queue) {
      const job = await queue.downloading();
      await queue.sql`update public.providers set rights = null where true`;
      await queue.sql`
        update public.video_queue set status = 'failed', error_class = 'drm', terminal_at = now() where id = ${job.id}`;
      assert.equal((await queue.row(job.id))["error_class"], "drm");
    },
  },
  {
    name: "claim, uploading, status by hand → updated_at is now",
    async run(queue) {
      const { id } = await queue.enqueue();
      const isNew = async (move: () => Promise<unknown>) => {
        await queue.sql`update public.video_queue set updated_at = now() - interval '1 hour' where true`;
        await move();
        assert.ok(((await queue.row(id))["updated_at"] as Date).getTime() > Date.now() - 1_800_000);
      };
      await isNew(() => queue.claim());
      await isNew(async () => queue.update(await queue.row(id), "uploading"));
      await isNew(() => queue.sql`update public.video_queue set status = 'pending' where true`);
    },
  },
  {
    name: "new job: priority 1, ranks from 0, no progress",
    async run(queue) {
      const job = await queue.enqueue();
      assert.equal(job["priority"], 1);
      await queue.enqueue({ episode: job["episode"], video_url: "https://b.test/v.mp4" });
      const ranks = await queue.sql`select rank from public.video_candidates order by rank`;
      assert.deepEqual(ranks.map((row) => row["rank"]), [0, 1]);
      await queue.sql`update public.video_queue set progress = '{"phase": "upload"}' where true`;
      await queue.claimOne();
      assert.equal((await queue.row(job["id"]))["progress"], null);
    },
  },
  {
    name: "retry by hand of a leased job → given back, failures stay counted",
    async run(queue) {
      const { id } = await queue.downloading();
      await queue.update(await queue.row(id), "failed", { error_class: "network" });
      await queue.travel(3600);
      for (const status of ["downloading", "uploading"]) {
        await queue.claimOne();
        await queue.update(await queue.row(id), status);
        await queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where id = ${id}`;
        const row = await queue.row(id);
        assert.deepEqual([row["status"], row["attempts"], row["retry_count"]], ["pending", 1, 1]);
        assert.deepEqual(await brokenInvariants(queue.sql), []);
      }
    },
  },
  {
    name: "last candidate expires → its class is kept; a cancel has its class",
    async run(queue) {
      const job = await queue.downloading({ embed_url: "https://e.test/1" });
      await queue.sql`update public.video_queue set updated_at = now() - interval '1 hour' where true`;
      const row = await queue.update(job, "failed", { error_class: "source_expired" });
      assert.equal(row["embed_url"], "https://e.test/1");
      assert.ok((row["updated_at"] as Date).getTime() > Date.now() - 1_800_000);
      const [url] = await queue.sql`select last_error_class from public.video_candidates`;
      assert.equal(url!["last_error_class"], "source_expired");
      assert.deepEqual([row["attempts"], row["retry_count"]], [1, 1]);
      await queue.sql`update public.video_queue set status = 'pending' where true`;
      assert.deepEqual(await brokenInvariants(queue.sql), []);
      await queue.rpc("cancel_video", { id: job.id });
      const [event] = await queue.sql`select error_class from keepstream.events where kind = 'cancelled'`;
      assert.equal(event!["error_class"], "cancelled");
    },
  },
  {
    name: "retry_videos: a job in backoff → due now, attempts start over",
    async run(queue) {
      const job = await queue.downloading();
      await queue.update(job, "failed", { error_class: "network" });
      assert.equal((await queue.rpc("retry_videos", { ids: [job.id] }))[0]!["retry_videos"], 1);
      const row = await queue.row(job.id);
      assert.deepEqual([row["status"], row["attempts"], row["retry_count"]], ["pending", 0, 0]);
      assert.equal((await queue.claimOne()).id, job.id);
    },
  },
];
