/** Leases: heartbeats, rescues, and the list that sweep, counts and leased_videos read. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import type { Row } from "../fixture/rpc.ts";

const leased = async (queue: QueueFixture) => new Set((await queue.rpc("leased_videos")).map((row) => row["id"]));
const sweep = async (queue: QueueFixture) => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep;

/**
 * Shared buffers of a statement, functions included: the minimum of three runs, since the first may
 * also read the catalogue.
 */
async function buffers(queue: QueueFixture, query: string): Promise<number> {
  const counts: number[] = [];
  for (let round = 0; round < 3; round++) {
    const [row] = await queue.database.serviceRole.unsafe(`explain (analyze, buffers, format json) ${query}`);
    const plan = row!["QUERY PLAN"][0]["Plan"];
    counts.push(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]);
  }
  return Math.min(...counts);
}

export const LEASES: readonly Scenario[] = [
  {
    name: "leases: a claim commits after sweeps → found and rescued",
    async run(queue) {
      const job = await queue.enqueue();
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select * from public.claim_pending_videos(1, 'slow')`;
      for (let round = 0; round < 4; round++) {
        await sweep(queue);
        assert.deepEqual(await leased(queue), new Set());
      }
      await slow`commit`;
      assert.deepEqual(await leased(queue), new Set([job["id"]]));
      await queue.travel(121);
      assert.equal((await sweep(queue))["rescued"], 1);
    },
  },
  {
    name: "leases: the claim's event is deleted → found and rescued",
    async run(queue) {
      const job = await queue.downloading();
      await queue.sql`delete from keepstream.events where true`;
      assert.deepEqual(await leased(queue), new Set([job.id]));
      await queue.travel(121);
      assert.equal((await sweep(queue))["rescued"], 1);
    },
  },
  {
    name: "leased_videos: each end of a lease → removed from the list",
    async run(queue) {
      const list = async () => (await queue.sql`select from keepstream.video_leases`).length;
      const job = await queue.downloading();
      const [lease] = await queue.rpc("leased_videos");
      assert.deepEqual(
        [lease!["id"], lease!["status"], lease!["lease_owner"], lease!["lease_token"]],
        [job.id, "downloading", "runner-a", job.lease_token],
      );
      await queue.update(job, "pending");
      assert.equal(await list(), 0);
      await queue.claimOne();
      await queue.sql`update public.video_queue set status = 'pending' where lease_token is not null`;
      assert.equal(await list(), 0);
      await queue.claimOne();
      await queue.travel(121);
      await sweep(queue);
      assert.equal(await list(), 0);
      await queue.archived();
      assert.equal(await list(), 0);
      await queue.downloading({ mal_id: 2, episode: 1 });
      assert.deepEqual(await brokenInvariants(queue.sql), []);
      await queue.rpc("takedown", { mal_id: 2 });
      assert.equal(await list(), 0);
    },
  },
  {
    name: "sweep, counts, leased_videos: many finished jobs → not read",
    async run(queue) {
      await queue.database.admin.begin(async (transaction) => {
        await transaction.unsafe(`
          set local session_replication_role = replica;
          insert into public.video_queue (mal_id, episode, provider, video_url, status, applied_status, attempts, lease_epoch, finished_at)
          select 7, n, 'animasu', 'https://a.test/' || n, 'ready', 'ready', 1, 1, now() from generate_series(1, 20000) n;
          insert into keepstream.events (queue_id, kind, to_status, lease_epoch)
          select q.id, k.kind, k.to_status, 1 from public.video_queue q,
            (values ('claimed', 'downloading'), ('uploading', 'uploading'), ('completed', 'ready')) k (kind, to_status)`)
          .simple();
      });
      await queue.database.admin`vacuum`; // rows of earlier scenarios would be measured, too
      for (const held of [0, 50, 200]) {
        const missing = held - (await leased(queue)).size;
        if (missing > 0) {
          await queue.sql`
            insert into public.video_queue (mal_id, episode, provider, video_url)
            select 8, ${held} + n, 'animasu', 'https://a.test/' from generate_series(1, ${missing}) n`;
        }
        for (let left = missing; left > 0; left -= 50) await queue.claim(50);
        assert.equal((await leased(queue)).size, held);
        await sweep(queue); // the first one scans the history, a thousand events at a time
        // The queue has about 500 pages, its history 700; a lease costs one index lookup.
        for (const query of ["public.leased_videos()", "public.queue_counts()", "public.sweep()"]) {
          const read = await buffers(queue, `select * from ${query}`);
          assert.ok(read < 150 + 8 * held, `${query} with ${held} leases: ${read} buffers`);
        }
      }
    },
  },
  {
    name: "claim: a waiting job without attempts left → the next one",
    async run(queue) {
      const spent = await queue.enqueue({ priority: 0 });
      await queue.sql`update public.video_queue set attempts = max_attempts where id = ${spent["id"] as string}`;
      assert.equal((await queue.claim()).length, 0);
      const next = await queue.enqueue();
      assert.equal((await queue.claimOne()).id, next["id"]);
      assert.equal((await sweep(queue))["notified"], false, "nothing is claimable");
    },
  },
  {
    name: "sweep: class lease_expired is missing → rescued all the same",
    async run(queue) {
      const job = await queue.downloading();
      await queue.travel(121);
      const [policy] = await queue.sql`delete from keepstream.error_classes where name = 'lease_expired' returning *`;
      try {
        assert.equal((await sweep(queue))["rescued"], 1);
      } finally {
        await queue.sql`insert into keepstream.error_classes ${queue.sql(policy!)}`;
      }
      assert.equal((await queue.row(job.id))["status"], "failed");
    },
  },
  {
    name: "rescue: the job and its event → dead letter or not, no lease",
    async run(queue) {
      const job = await queue.downloading();
      const last = await queue.downloading();
      for (const { id, lease_token } of [job, last]) {
        await queue.update({ id, lease_token }, "downloading", { progress: { phase: "downloading" } });
      }
      await queue.sql`update public.video_queue set attempts = max_attempts where id = ${last.id}`;
      const before = await queue.row(job.id);
      await queue.travel(121);
      assert.equal((await sweep(queue))["rescued"], 2);
      for (const [{ id }, terminal] of [[job, false], [last, true]] as const) {
        const row = await queue.row(id);
        assert.deepEqual(
          [row["status"], row["progress"], row["lease_owner"], row["terminal_at"] !== null, row["error_message"]],
          ["failed", null, null, terminal, "no heartbeat from runner-a"],
        );
        assert.ok(row["updated_at"]! > before["updated_at"]!);
        const [event] = await queue.sql`
          select worker, error_class, detail from keepstream.events where queue_id = ${id} and kind = 'rescued'`;
        assert.deepEqual({ ...event }, {
          worker: "runner-a",
          error_class: "lease_expired",
          detail: { error: "no heartbeat from runner-a", attempt: row["attempts"], terminal },
        });
      }
    },
  },
  {
    name: "rescue: due in 5 to 30 s, also without the class",
    async run(queue) {
      const sql = queue.connect("postgres");
      const waits = async () => {
        const job = await queue.downloading();
        await queue.travel(121);
        await sql`select setseed(0.25)`;
        await sql`select public.sweep()`;
        const [row] = await queue.sql`
          select extract(epoch from run_at - updated_at)::float as seconds from public.video_queue where id = ${job.id}`;
        await queue.rpc("cancel_video", { id: job.id });
        return row!["seconds"] as number;
      };
      await sql`select setseed(0.25)`;
      const [chance] = await sql`select random() as chance`;
      const expected = (1 + 5 * (chance!["chance"] as number)) / 6 * 30;
      assert.ok(Math.abs(await waits() - expected) < 0.001);
      await queue.sql`delete from keepstream.error_classes where name = 'lease_expired'`;
      try {
        assert.ok(Math.abs(await waits() - expected) < 0.001);
      } finally {
        await queue.sql`
          insert into keepstream.error_classes (name, base_seconds, effect, counts_against_source, about)
          values ('lease_expired', 30, 'retry_fixed', false, 'the runner stopped sending heartbeats')`;
      }
    },
  },
  {
    name: "extend_video_lease: extends, never shortens, reports lost, cancel",
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
    name: "extend_video_lease: a token of another job or claim → lost",
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
    name: "sweep: an expired lease → rescued, failed(lease_expired)",
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
    name: "rescue: every attempt → dead letter, others are not starved",
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
];
