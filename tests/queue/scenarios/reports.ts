/** What a runner reports on a claimed job, and what each report leaves behind. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";

export const REPORTS: readonly Scenario[] = [
  {
    name: "report: unknown → 404; stale, missing, expired token → 409",
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
    name: "report: forbidden transitions → 422, ready included",
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
    name: "report: the job's own status → progress only",
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
    name: "report pending: given back → attempt refunded, due at once",
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
    name: "report pending: retry_after_seconds → not due before",
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
    name: "report failed: lease ended, failure counted, text redacted",
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
    name: "report failed: delay by class and attempt, up to six hours",
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
        assert.equal(row["error_class"], "unknown", `${error_class} is set by the database only`);
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
    name: "report failed: retry_after_seconds → not earlier, at most 6 h",
    async run(queue) {
      for (const [requested, least, most] of [[900, 900, 990], [1_000_000, 21_600, 23_760]] as const) {
        const job = await queue.downloading();
        await queue.update(job, "failed", { error_class: "rate_limited", retry_after_seconds: requested });
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
    name: "report failed: the last attempt → dead letter",
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
    name: "report failed: discard_source → dead; only a new url revives",
    async run(queue) {
      for (const error_class of ["unsupported", "drm", "policy_denied", "too_large", "invalid_input"]) {
        const job = await queue.downloading({ episode: 7 });
        const row = await queue.update(job, "failed", { error_class });
        assert.ok(row["terminal_at"], error_class);
        assert.deepEqual(row["finished_at"], row["terminal_at"]);
        await queue.travel(100_000);
        assert.equal((await queue.claim()).length, 0);
        await queue.enqueue({ episode: 7 });
        assert.equal((await queue.claim()).length, 0, "same url");
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
    name: "dead letter: revived by a new url once a day, by operators always",
    async run(queue) {
      const url = (n: number) => ({ episode: 7, video_url: `https://a.test/nonce-${n}` });
      const die = async () => void await queue.update(await queue.claimOne(), "failed", { error_class: "drm" });
      await queue.enqueue(url(0));
      await die();
      assert.equal((await queue.enqueue(url(1)))["status"], "pending");
      await die();
      assert.ok((await queue.enqueue(url(2)))["terminal_at"]);
      await queue.travel(86_000);
      assert.ok((await queue.enqueue(url(3)))["terminal_at"]);
      await queue.travel(1_000);
      assert.equal((await queue.enqueue(url(4)))["status"], "pending");
      await die();
      await queue.rpc("retry_videos");
      assert.equal((await queue.claim()).length, 1);
    },
  },
  {
    name: "report failed: class set to dead_letter → dead at once",
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
    name: "report failed: shutdown → given back, no attempt counted",
    async run(queue) {
      const job = await queue.downloading();
      const row = await queue.update(job, "failed", { error_class: "shutdown", error: "stopping" });
      assert.equal(row["status"], "pending");
      assert.equal(row["attempts"], 0);
      assert.equal(row["retry_count"], 0);
      assert.equal((await queue.claimOne()).id, job.id);
    },
  },
];
