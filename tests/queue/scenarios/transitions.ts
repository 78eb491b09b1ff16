/** The moves of a job: which are allowed, to whom, and what each leaves behind. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome } from "../fixture/rpc.ts";

export const TRANSITIONS: readonly Scenario[] = [
  {
    name: "enqueue_video of a new video → pending, due at once, one candidate, one event",
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
    name: "enqueue_video without a resolution → its own key, once",
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
    name: "enqueue_video with a known address → writes nothing, in every status",
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
      assert.equal(await queue.digest(), before, "the embed page names the source, not its address of the hour");
    },
  },
  {
    name: "claim_pending_videos → downloading under a fresh token, attempt counted, epoch + 1",
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
      assert.equal((await queue.claim()).length, 0, "held by runner-a");
      await queue.update(job, "pending");
      const second = await queue.claimOne();
      assert.equal(second.lease_epoch, 2);
      assert.notEqual(second.lease_token, job.lease_token);
      assert.deepEqual((await queue.row(job.id))["started_at"], row["started_at"]);
    },
  },
  {
    name: "claim_pending_videos with lease_seconds null, 1, 100000 → 120, 10, 3600 seconds",
    async run(queue) {
      for (const [asked, given] of [[null, 120], [1, 10], [100_000, 3600], [60, 60]]) {
        await queue.enqueue();
        const [job] = await queue.rpc("claim_pending_videos", { limit: 1, worker: "", lease_seconds: asked });
        const [row] = await queue.sql`
          select extract(epoch from lease_expires_at - updated_at)::float8 as seconds, lease_owner from public.video_queue where id = ${job![
          "id"
        ] as string}`;
        assert.ok(Math.abs(Number(row!["seconds"]) - given!) < 1, `${asked} → ${row!["seconds"]}`);
        assert.equal(row!["lease_owner"], "runner");
      }
    },
  },
  {
    name: "claim_pending_videos hands out by priority, then run_at, then id, and never more than asked",
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
    name: "claim_pending_videos: equal run_at → by id",
    async run(queue) {
      for (let n = 0; n < 6; n++) await queue.enqueue();
      await queue.sql`update public.video_queue set run_at = '2020-01-01' where true`;
      const order = await queue.sql`select id from public.video_queue order by id`;
      const claimed = [...await queue.claim(3), ...await queue.claim(3)];
      assert.deepEqual(claimed.map((job) => job.id), order.map((row) => row["id"]));
    },
  },
  {
    name: "claim_pending_videos: a job in its back-off is not due, a due one behind it is",
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
  {
    name: "update_video_queue_status: unknown id → 404; stale, missing or expired token → 409; each changes nothing",
    async run(queue) {
      const job = await queue.downloading();
      const call = (args: object) =>
        queue.refusal("update_video_queue_status", { id: job.id, status: "uploading", ...args });
      assert.equal(await call({ id: crypto.randomUUID(), lease_token: job.lease_token }), "PT404");
      assert.equal(await call({ lease_token: null }), "PT409");
      assert.equal(await call({}), "PT409");
      assert.equal(await call({ lease_token: crypto.randomUUID() }), "PT409");
      await queue.travel(119);
      assert.equal(await call({ lease_token: job.lease_token }), "accepted");
      await queue.travel(2);
      assert.equal(await call({ lease_token: job.lease_token, status: "failed" }), "PT409");
      const idle = await queue.enqueue();
      assert.equal(await queue.refusal("update_video_queue_status", { id: idle["id"], status: "failed" }), "PT409");
    },
  },
  {
    name: "update_video_queue_status: forbidden moves → 422, ready included",
    async run(queue) {
      const job = await queue.downloading();
      for (const status of ["ready", "done", "", null]) {
        assert.equal(
          await queue.refusal("update_video_queue_status", { id: job.id, status, lease_token: job.lease_token }),
          "PT422",
          String(status),
        );
      }
      await queue.update(job, "uploading");
      for (const status of ["ready", "downloading"]) {
        assert.equal(
          await queue.refusal("update_video_queue_status", { id: job.id, status, lease_token: job.lease_token }),
          "PT422",
        );
      }
    },
  },
  {
    name: "update_video_queue_status with the job's own status → progress alone",
    async run(queue) {
      const job = await queue.downloading();
      const before = await queue.row(job.id);
      const row = await queue.update(job, "downloading", { progress: { phase: "download", bytes_done: 5 } });
      assert.deepEqual(row["progress"], { phase: "download", bytes_done: 5 });
      assert.deepEqual({ ...row, progress: null, updated_at: null }, { ...before, progress: null, updated_at: null });
      assert.deepEqual((await queue.update(job, "downloading"))["progress"], { phase: "download", bytes_done: 5 });
      const up = await queue.update(job, "uploading", { progress: { phase: "upload" } });
      assert.deepEqual(up["progress"], { phase: "upload" });
      assert.deepEqual((await queue.update(job, "uploading"))["progress"], { phase: "upload" });
      assert.deepEqual(await queue.events(job.id), ["enqueued", "claimed", "uploading"]);
      assert.equal(
        await queue.refusal("update_video_queue_status", {
          id: job.id,
          status: "uploading",
          lease_token: job.lease_token,
          progress: { x: "y".repeat(9000) },
        }),
        "PT400",
      );
      await queue.update(job, "pending");
      assert.equal((await queue.row(job.id))["progress"], null);
    },
  },
  {
    name: "pending by its holder → given back: attempt refunded, due at once, no failure counted",
    async run(queue) {
      for (const step of ["downloading", "uploading"] as const) {
        const job = await queue[step]();
        const row = await queue.update(job, "pending");
        assert.equal(row["status"], "pending");
        assert.equal(row["attempts"], 0);
        assert.equal(row["retry_count"], 0);
        for (const column of ["lease_token", "lease_owner", "lease_expires_at", "finished_at"]) {
          assert.equal(row[column], null, column);
        }
        assert.equal((await queue.events(job.id)).at(-1), "released");
        assert.equal(
          await queue.refusal("update_video_queue_status", {
            id: job.id,
            status: "pending",
            lease_token: job.lease_token,
          }),
          "PT409",
        );
        const again = await queue.claimOne();
        assert.equal(again.id, job.id);
        assert.equal(again.attempts, 1);
      }
    },
  },
  {
    name: "pending with retry_after_seconds → given back, not due before",
    async run(queue) {
      const job = await queue.downloading();
      const row = await queue.update(job, "pending", { retry_after_seconds: 60, error_class: "never_heard_of" });
      assert.equal(row["error_class"], null);
      assert.equal((await queue.claim()).length, 0);
      await queue.travel(59);
      assert.equal((await queue.claim()).length, 0);
      await queue.travel(8);
      assert.equal((await queue.claim()).length, 1);
    },
  },
  {
    name: "failed → lease gone, failure counted, class and redacted text kept",
    async run(queue) {
      const job = await queue.downloading();
      const row = await queue.update(job, "failed", {
        error_class: "network",
        error:
          "GET https://u:p@cdn.test/v.mp4?token=s3cret failed, Authorization: Bearer abcdefgh12345678, hf_AbCdEfGh1234",
      });
      assert.equal(row["status"], "failed");
      assert.equal(row["error_class"], "network");
      assert.equal(row["error_message"], "GET https://cdn.test/v.mp4?… failed, Authorization: Bearer …, hf_…");
      assert.equal(row["retry_count"], 1);
      assert.equal(row["attempts"], 1);
      assert.equal(row["terminal_at"], null);
      assert.equal(row["finished_at"], null);
      assert.equal(row["lease_token"], null);
      const [event] = await queue
        .sql`select * from keepstream.events where queue_id = ${job.id} order by id desc limit 1`;
      assert.equal(event!["kind"], "failed");
      assert.equal(event!["to_status"], "failed");
      assert.equal(event!["error_class"], "network");
      assert.equal(event!["worker"], "runner-a");
      assert.equal(event!["lease_epoch"], 1);
      assert.deepEqual(event!["detail"], { error: row["error_message"], attempt: 1, terminal: false });
      const uploaded = await queue.uploading();
      const late = await queue.update(uploaded, "failed", { error_class: "storage_5xx" });
      assert.deepEqual([late["retry_count"], late["attempts"], late["lease_token"]], [1, 1, null]);
      const long = await queue.downloading();
      const cut = await queue.update(long, "failed", { error: "x".repeat(5000) });
      assert.equal((cut["error_message"] as string).length, 2000);
      const silent = await queue.downloading();
      assert.equal(
        (await queue.update(silent, "failed", { error_class: "timeout" }))["error_message"],
        "no response or no progress in time",
      );
    },
  },
  {
    name: "failed: the delay follows class and attempt, with jitter, up to six hours",
    async run(queue) {
      const bases: Record<string, number> = {
        network: 30,
        timeout: 60,
        upstream_5xx: 60,
        storage_5xx: 60,
        storage_denied: 600,
        storage_full: 600,
        storage_missing: 60,
        storage_unidentified: 600,
        unknown: 60,
        rate_limited: 300,
        storage_conflict: 5,
        disk_full: 300,
      };
      const delay = async (id: string) => {
        const [row] = await queue
          .sql`select extract(epoch from run_at - updated_at)::float8 as seconds from public.video_queue where id = ${id}`;
        return Number(row!["seconds"]);
      };
      for (const [error_class, base] of Object.entries(bases)) {
        const job = await queue.downloading();
        await queue.update(job, "failed", { error_class });
        const first = await delay(job.id);
        assert.ok(first >= base * 0.5 - 1 && first <= base + 1, `${error_class}: ${first}`);
        await queue.sql`update public.video_queue set run_at = now() where id = ${job.id}`;
        const again = await queue.claimOne();
        await queue.update(again, "failed", { error_class });
        const second = await delay(job.id);
        assert.ok(second >= base - 1 && second <= 2 * base + 1, `${error_class} again: ${second}`);
        await queue.sql`update public.video_queue set attempts = 0 where id = ${job.id}`;
      }
      const strange = await queue.downloading();
      assert.equal(
        (await queue.update(strange, "failed", { error_class: "never_heard_of" }))["error_class"],
        "unknown",
      );
      const nameless = await queue.downloading();
      assert.equal((await queue.update(nameless, "failed"))["error_class"], "unknown");
      for (const error_class of ["lease_expired", "cancelled"]) {
        const job = await queue.downloading();
        const row = await queue.update(job, "failed", { error_class });
        assert.equal(row["error_class"], "unknown", `${error_class} is not the holder's to say`);
        assert.equal(row["terminal_at"], null);
      }
      const [limits] = await queue.sql`
        select bool_and(keepstream.retry_delay(60, 30) between interval '3 hours' and interval '6 hours') as capped,
          count(distinct keepstream.retry_delay(60, 1)) > 1 as jittered,
          bool_and(keepstream.retry_delay(60, 0) <= interval '60 seconds') as zeroth,
          bool_and(keepstream.retry_delay(30, 3) between interval '60 seconds' and interval '120 seconds') as doubled
        from generate_series(1, 50)`;
      assert.deepEqual({ ...limits }, { capped: true, jittered: true, zeroth: true, doubled: true });
    },
  },
  {
    name: "failed with retry_after_seconds → never earlier, at most six hours",
    async run(queue) {
      for (const [asked, least, most] of [[900, 900, 990], [1_000_000, 21_600, 23_760]] as const) {
        const job = await queue.downloading();
        await queue.update(job, "failed", { error_class: "rate_limited", retry_after_seconds: asked });
        const [row] = await queue
          .sql`select extract(epoch from run_at - updated_at)::float8 as seconds from public.video_queue where id = ${job.id}`;
        assert.ok(Number(row!["seconds"]) >= least - 0.5 && Number(row!["seconds"]) <= most + 1, `${row!["seconds"]}`);
      }
      const zero = await queue.downloading();
      await queue.update(zero, "failed", { error_class: "rate_limited", retry_after_seconds: 0 });
      const [row] = await queue
        .sql`select run_at > now() + interval '100 seconds' as later from public.video_queue where id = ${zero.id}`;
      assert.equal(row!["later"], true);
    },
  },
  {
    name: "the last attempt failed → dead letter, claimed no more",
    async run(queue) {
      const { id } = await queue.enqueue();
      for (let attempt = 1; attempt <= 8; attempt++) {
        const job = await queue.claimOne();
        assert.equal(job.attempts, attempt);
        const row = await queue.update(job, "failed", { error_class: "network" });
        assert.equal(row["terminal_at"] !== null, attempt === 8, `attempt ${attempt}`);
        assert.equal(row["finished_at"] !== null, attempt === 8);
        await queue.travel(100_000);
      }
      assert.equal((await queue.claim()).length, 0);
      const row = await queue.row(id);
      assert.equal(row["retry_count"], 8);
      assert.equal(row["attempts"], 8);
    },
  },
  {
    name: "failed with a terminal class → dead at once; the same address does not revive it, a new one does",
    async run(queue) {
      for (const error_class of ["unsupported", "drm", "policy_denied", "too_large", "invalid_input"]) {
        const job = await queue.downloading({ episode: 7 });
        const row = await queue.update(job, "failed", { error_class });
        assert.ok(row["terminal_at"], error_class);
        assert.deepEqual(row["finished_at"], row["terminal_at"]);
        await queue.travel(100_000);
        assert.equal((await queue.claim()).length, 0);
        await queue.enqueue({ episode: 7 });
        assert.equal((await queue.claim()).length, 0, "same address");
        const revived = await queue.enqueue({
          episode: 7,
          video_url: "https://b.test/other.mp4",
          embed_url: "https://b.test/page",
        });
        assert.equal(revived["status"], "pending");
        assert.equal(revived["attempts"], 0);
        assert.equal(revived["retry_count"], 0);
        assert.equal(revived["terminal_at"], null);
        assert.equal(revived["error_class"], null);
        assert.equal(revived["error_message"], null);
        assert.equal(revived["finished_at"], null);
        assert.equal(revived["video_url"], "https://b.test/other.mp4");
        assert.equal(revived["embed_url"], "https://b.test/page");
        const again = await queue.claimOne();
        assert.deepEqual(again.candidates.map((candidate) => candidate.video_url), ["https://b.test/other.mp4"]);
        assert.deepEqual((await queue.events(job.id)).slice(-3), ["source_added", "revived", "claimed"]);
        await queue.reset();
      }
    },
  },
  {
    name: "a dead letter is revived by a new address once a day, by an operator at any time",
    async run(queue) {
      const address = (n: number) => ({ episode: 7, video_url: `https://a.test/nonce-${n}` });
      const die = async () => void await queue.update(await queue.claimOne(), "failed", { error_class: "drm" });
      await queue.enqueue(address(0));
      await die();
      assert.equal((await queue.enqueue(address(1)))["status"], "pending");
      await die();
      assert.ok((await queue.enqueue(address(2)))["terminal_at"]);
      await queue.travel(86_000);
      assert.ok((await queue.enqueue(address(3)))["terminal_at"]);
      await queue.travel(1_000);
      assert.equal((await queue.enqueue(address(4)))["status"], "pending");
      await die();
      await queue.rpc("retry_videos");
      assert.equal((await queue.claim()).length, 1);
    },
  },
  {
    name: "a class that the operator made terminal → dead at once, whatever other addresses there are",
    async run(queue) {
      await queue.sql`update keepstream.error_classes set effect = 'dead_letter' where name = 'disk_full'`;
      try {
        const job = await queue.downloading({ episode: 7 });
        await queue.enqueue({ episode: 7, video_url: "https://b.test/v.mp4" });
        const row = await queue.update(job, "failed", { error_class: "disk_full" });
        assert.ok(row["terminal_at"]);
      } finally {
        await queue.sql`update keepstream.error_classes set effect = 'backoff' where name = 'disk_full'`;
      }
    },
  },
  {
    name: "shutdown → given back without consuming the attempt",
    async run(queue) {
      const job = await queue.downloading();
      const row = await queue.update(job, "failed", { error_class: "shutdown", error: "stopping" });
      assert.equal(row["status"], "pending");
      assert.equal(row["attempts"], 0);
      assert.equal(row["retry_count"], 0);
      assert.equal((await queue.claimOne()).id, job.id);
    },
  },
  {
    name: "a new address for a failed job → pending and due now, attempts kept unless it was dead",
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
    name: "a new address for a pending job that waits → one more candidate, due now",
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
    name: "a new address for a held or ready job → one more candidate, the job untouched",
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
    name: "enqueue_videos → every server of an answer, all or none",
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
  {
    name: "extend_video_lease → extends, never shortens, says what was lost and what is cancelled",
    async run(queue) {
      const a = await queue.downloading();
      const b = await queue.uploading();
      const gone = await queue.downloading();
      await queue.update(gone, "pending");
      await queue.rpc("cancel_video", { id: b.id });
      const before = await queue.row(a.id);
      const beat = (lease_seconds: number | null, progress: unknown = null) =>
        queue.rpc("extend_video_lease", {
          ids: [a.id, gone.id, b.id, a.id],
          lease_tokens: [a.lease_token, gone.lease_token, b.lease_token, crypto.randomUUID()],
          lease_seconds,
          progress,
        });
      const rows = await beat(600, { [a.id]: { bytes_done: 1 } });
      assert.deepEqual(rows.map((row) => [row["id"], row["cancel_requested"], row["lost"]]), [
        [a.id, false, false],
        [gone.id, false, true],
        [b.id, true, false],
        [a.id, false, false],
      ]);
      const after = await queue.row(a.id);
      assert.ok(
        (after["lease_expires_at"] as Date).getTime() > (before["lease_expires_at"] as Date).getTime() + 400_000,
      );
      assert.deepEqual(after["progress"], { bytes_done: 1 });
      assert.deepEqual(rows[0]!["lease_expires_at"], after["lease_expires_at"]);
      await beat(10);
      const kept = await queue.row(a.id);
      assert.deepEqual(kept["lease_expires_at"], after["lease_expires_at"]);
      assert.deepEqual(kept["progress"], { bytes_done: 1 });
      assert.equal((await queue.row(gone.id))["lease_expires_at"], null);
      await queue.travel(700);
      assert.deepEqual((await beat(120)).map((row) => row["lost"]), [true, true, true, true]);
      assert.equal(await queue.refusal("extend_video_lease", { ids: [a.id], lease_tokens: [] }), "PT400");
      const many = Array.from({ length: 201 }, () => a.id);
      assert.equal(await queue.refusal("extend_video_lease", { ids: many, lease_tokens: many }), "PT400");
      assert.equal((await queue.rpc("extend_video_lease", { ids: [], lease_tokens: [] })).length, 0);
    },
  },
  {
    name: "extend_video_lease with another job's or another claim's token → lost",
    async run(queue) {
      const a = await queue.downloading();
      const b = await queue.downloading();
      const before = await queue.digest();
      const rows = await queue.rpc("extend_video_lease", {
        ids: [a.id, b.id],
        lease_tokens: [b.lease_token, a.lease_token],
      });
      assert.deepEqual(rows.map((row) => [row["lost"], row["lease_expires_at"]]), [[true, null], [true, null]]);
      assert.equal(await queue.digest(), before);
    },
  },
  {
    name: "sweep rescues a lease that ran out, and no other: failed(lease_expired), due in 5 to 30 seconds",
    async run(queue) {
      const job = await queue.downloading();
      await queue.travel(60);
      const fresh = await queue.downloading();
      await queue.travel(61);
      const [{ sweep } = {}] = await queue.rpc<{ sweep: Record<string, unknown> }>("sweep");
      assert.equal(sweep!["rescued"], 1);
      const row = await queue.row(job.id);
      assert.equal(row["status"], "failed");
      assert.equal(row["error_class"], "lease_expired");
      assert.equal(row["error_message"], "no heartbeat from runner-a");
      assert.equal(row["retry_count"], 1);
      assert.equal(row["attempts"], 1);
      assert.equal(row["terminal_at"], null);
      const [{ seconds } = {}] = await queue
        .sql`select extract(epoch from run_at - updated_at)::float8 as seconds from public.video_queue where id = ${job.id}`;
      assert.ok(Number(seconds) >= 4.5 && Number(seconds) <= 30.5, `${seconds}`);
      assert.equal((await queue.events(job.id)).at(-1), "rescued");
      assert.equal((await queue.row(fresh.id))["status"], "downloading");
      assert.equal(
        await queue.refusal("update_video_queue_status", {
          id: job.id,
          status: "uploading",
          lease_token: job.lease_token,
        }),
        "PT409",
      );
      await queue.travel(31);
      const again = await queue.claimOne();
      assert.equal(again.id, job.id);
      assert.equal(again.lease_epoch, 2);
      const [{ sweep: nothing } = {}] = await queue.rpc<{ sweep: Record<string, unknown> }>("sweep");
      assert.equal(nothing!["rescued"], 0);
    },
  },
  {
    name: "a job whose runner dies every time ends as a dead letter and starves nobody",
    async run(queue) {
      const poison = await queue.enqueue({ priority: 0 });
      const other = await queue.enqueue({ priority: 3 });
      assert.equal((await queue.claimOne()).id, poison["id"]);
      assert.equal((await queue.claimOne()).id, other["id"]);
      for (let attempt = 2; attempt <= 8; attempt++) {
        await queue.travel(121);
        await queue.rpc("sweep");
        await queue.travel(31);
        const [job] = await queue.claim(1);
        assert.equal(job!.id, poison["id"]);
        assert.equal(job!.attempts, attempt);
      }
      await queue.travel(121);
      await queue.rpc("sweep");
      const row = await queue.row(poison["id"]);
      assert.ok(row["terminal_at"]);
      assert.equal(row["error_class"], "lease_expired");
    },
  },
  {
    name:
      "an operator's UPDATE … SET status = 'pending', retry_count = 0 WHERE status = 'failed' → claimed again from attempt 1",
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
    name: "retry_videos → failed and dead jobs start over, those named or all; others are left alone",
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
      assert.equal(await retry(), 2, "an operator's no is not lifted in bulk");
      assert.equal(await retry({ ids: [stopped["id"]] }), 1);
      assert.equal((await queue.claim(50)).length, 4);
      assert.equal((await queue.row(ready.id))["status"], "ready");
    },
  },
  {
    name: "an operator's UPDATE to pending without resetting retry_count → attempts kept, unless it was dead",
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
    name: "an operator's UPDATE that takes a held job back → released, its holder hears 409",
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
      assert.equal(
        await queue.refusal("update_video_queue_status", {
          id: job.id,
          status: "failed",
          lease_token: job.lease_token,
        }),
        "PT409",
      );
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job)), "PT409");
    },
  },
  {
    name: "an operator's UPDATE that fails a held job → failed(unknown), counted, its holder hears 409",
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
      assert.equal(
        await queue.refusal("update_video_queue_status", {
          id: job.id,
          status: "failed",
          lease_token: job.lease_token,
        }),
        "PT409",
      );
    },
  },
  {
    name: "no statement can make a forbidden move",
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
    name: "a cancel: waiting → dead at once; twice is once; an address does not revive it, an operator does",
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
    name: "a cancel of a failed or dead job → dead, said so in an event",
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
    name: "a cancel of a held job → honoured at its next move, whichever that is",
    async run(queue) {
      for (const status of ["uploading", "failed", "pending"]) {
        const job = await queue.downloading();
        const [asked] = await queue.rpc("cancel_video", { id: job.id });
        assert.equal(asked!["status"], "downloading");
        assert.ok(asked!["cancel_requested_at"]);
        const before = await queue.digest();
        await queue.rpc("cancel_video", { id: job.id });
        assert.equal(await queue.digest(), before);
        const still = await queue.update(job, "downloading", { progress: { a: 1 } });
        assert.equal(still["status"], "downloading", "progress is no move");
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
    name: "a cancel of a held job that an operator takes back or fails by hand → cancelled, dead",
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
    name: "a cancel of a held job whose runner dies → honoured by the sweep",
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
    name: "a cancel of a ready job → 422, of an unknown one → 404; an archive under a cancel → 409",
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
