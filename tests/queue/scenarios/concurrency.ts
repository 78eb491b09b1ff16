/** Many connections at once: no job is claimed twice, no key is duplicated, nothing deadlocks. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { brokenInvariants } from "../model/invariants.ts";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, type ClaimedJob, codeOf, outcome, type Row, rpc } from "../fixture/rpc.ts";

const CLIENTS = 8;

const video = (episode: number, more = {}) => ({
  mal_id: 9,
  episode,
  provider: "animasu",
  video_url: "https://a.test/v.mp4",
  resolution: null,
  ...more,
});

export const CONCURRENCY: readonly Scenario[] = [
  {
    name: "8 connections: claim and finish 200 jobs → each job once",
    async run(queue) {
      const database = queue.database;
      await rpc(database.sql, "enqueue_videos", { videos: Array.from({ length: 200 }, (_, n) => video(n + 1)) });
      const claimed: string[] = [];
      await Promise.all(Array.from({ length: CLIENTS }, async (_, client) => {
        const sql = queue.connect("service_role");
        for (;;) {
          const jobs = await rpc<ClaimedJob>(sql, "claim_pending_videos", {
            limit: 1 + client % 3,
            worker: `runner-${client}`,
          });
          if (jobs.length === 0) return;
          for (const job of jobs) {
            claimed.push(job.id);
            await rpc(sql, "update_video_queue_status", {
              id: job.id,
              status: "uploading",
              lease_token: job.lease_token,
            });
            await rpc(sql, "upsert_video_store", archiveOf(job));
          }
        }
      }));
      assert.equal(claimed.length, 200);
      assert.equal(new Set(claimed).size, 200);
      const [counts] = await database.sql`select count(*)::int as ready from public.video_queue where status = 'ready'`;
      assert.equal(counts!["ready"], 200);
      assert.deepEqual(await brokenInvariants(database.sql), []);
    },
  },
  {
    name: "8 connections: the same 40 videos, shuffled → 40 jobs, no deadlock",
    async run(queue) {
      const database = queue.database;
      await Promise.all(Array.from({ length: CLIENTS }, async (_, client) => {
        const sql = queue.connect("service_role");
        const videos = Array.from(
          { length: 40 },
          (_, n) => video((n * 7 + client * 11) % 40 + 1, { video_url: `https://host-${client % 3}.test/v.mp4` }),
        );
        await rpc(sql, "enqueue_videos", { videos });
        for (const one of videos.slice(0, 10)) await rpc(sql, "enqueue_video", one);
      }));
      const [counts] = await database.sql`
    select (select count(*)::int from public.video_queue) as jobs, (select count(*)::int from public.video_candidates) as candidates,
      (select count(*)::int from keepstream.events where kind = 'enqueued') as enqueued`;
      assert.deepEqual({ ...counts }, { jobs: 40, candidates: 120, enqueued: 40 });
      assert.deepEqual(await brokenInvariants(database.sql), []);
    },
  },
  {
    name: "claim: rows locked by others → skipped without waiting",
    async run(queue) {
      const first = await queue.enqueue();
      const second = await queue.enqueue();
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from public.video_queue where id = ${first["id"] as string} for update`;
      assert.deepEqual((await queue.claim(2)).map((job) => job.id), [second["id"]]);
      await other`rollback`;
      assert.deepEqual((await queue.claim(2)).map((job) => job.id), [first["id"]]);
    },
  },
  {
    name: "completion: by an old and a new worker at once → one wins",
    async run(queue) {
      const database = queue.database;
      for (let round = 0; round < 5; round++) {
        const zombie = await queue.uploading();
        await queue.travel(121);
        await queue.rpc("sweep");
        await queue.travel(31);
        const successor = await queue.claimOne();
        await queue.update(successor, "uploading");
        const outcomes = await Promise.all([
          outcome(rpc(queue.connect("service_role"), "upsert_video_store", archiveOf(zombie))),
          outcome(rpc(queue.connect("service_role"), "upsert_video_store", archiveOf(successor))),
        ]);
        assert.deepEqual(outcomes, ["PT409", "accepted"]);
      }
      assert.deepEqual(await brokenInvariants(database.sql), []);
    },
  },
  {
    name: "heartbeats, sweeps, cancels, reports at once → no deadlock",
    async run(queue) {
      const database = queue.database;
      await rpc(database.sql, "enqueue_videos", { videos: Array.from({ length: 30 }, (_, n) => video(n + 1)) });
      const jobs = await queue.claim(30);
      const ids = jobs.map((job) => job.id);
      const tokens = jobs.map((job) => job.lease_token);
      const client = () => queue.connect("service_role");
      await Promise.all([
        ...[client(), client()].map(async (sql, turn) => {
          for (let n = 0; n < 10; n++) {
            await rpc(sql, "extend_video_lease", {
              ids: turn ? ids.toReversed() : ids,
              lease_tokens: turn ? tokens.toReversed() : tokens,
            });
          }
        }),
        (async (sql) => {
          for (let n = 0; n < 10; n++) await rpc(sql, "sweep");
        })(client()),
        (async (sql) => {
          for (const id of ids.slice(0, 10)) await rpc(sql, "cancel_video", { id });
        })(client()),
        (async (sql) => {
          for (const job of jobs) {
            await rpc(sql, "update_video_queue_status", { id: job.id, status: "failed", lease_token: job.lease_token });
          }
        })(client()),
      ]);
      assert.deepEqual(await brokenInvariants(database.sql), []);
      const [left] = await database
        .sql`select count(*)::int as held from public.video_queue where lease_token is not null`;
      assert.equal(left!["held"], 0);
    },
  },
  {
    name: "report, archive, heartbeat: their lease expires → 409, 409, lost",
    async run(queue) {
      const takeBack = (id: string) => (sql: Sql) =>
        sql`update public.video_queue set status = 'pending' where id = ${id}`;
      const reported = await queue.downloading();
      const report = await queue.collide(takeBack(reported.id), () => queue.update(reported, "failed"));
      assert.equal(codeOf(report), "PT409");
      await queue.claimOne();
      const uploaded = await queue.uploading();
      const archive = await queue.collide(
        takeBack(uploaded.id),
        () => queue.rpc("upsert_video_store", archiveOf(uploaded)),
      );
      assert.equal(codeOf(archive), "PT409");
      await queue.claimOne();
      const beating = await queue.downloading();
      const beat = await queue.collide(
        takeBack(beating.id),
        () => queue.rpc("extend_video_lease", { ids: [beating.id], lease_tokens: [beating.lease_token] }),
      );
      assert.equal((beat as Row[])[0]!["lost"], true);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "cancel or new url during a claim → the new lease sees it",
    async run(queue) {
      const claim = (sql: Sql) => sql`select * from public.claim_pending_videos(1, 'other')`;
      const job = await queue.enqueue({ episode: 1 });
      const [cancelled] = await queue.collide(claim, () => queue.rpc("cancel_video", { id: job["id"] })) as Row[];
      assert.equal(cancelled!["status"], "downloading");
      assert.ok(cancelled!["cancel_requested_at"]);
      const other = await queue.enqueue({ episode: 2 });
      const enqueued = await queue.collide(
        claim,
        () => queue.enqueue({ episode: 2, video_url: "https://b.test/v.mp4" }),
      ) as Row;
      assert.deepEqual([enqueued["id"], enqueued["status"]], [other["id"], "downloading"]);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "new url during a cancel → the cancel holds, nothing is added",
    async run(queue) {
      const { id } = await queue.enqueue({ episode: 1 });
      const enqueued = await queue.collide(
        (sql) => sql`select public.cancel_video(${id as string})`,
        () => queue.enqueue({ episode: 1, video_url: "https://b.test/v.mp4" }),
      ) as Row;
      assert.deepEqual([enqueued["status"], enqueued["error_class"]], ["failed", "cancelled"]);
      assert.equal((await queue.row(id))["error_class"], "cancelled");
      assert.equal((await queue.sql`select from public.video_candidates`).length, 1);
    },
  },
  {
    name: "enqueue twice at once → one job; during its deletion → 409 or new",
    async run(queue) {
      const again = await queue.collide(
        (sql) => sql`select public.enqueue_video(55825, 70, 'animasu', 'https://a.test/v.mp4', '720p')`,
        () => queue.enqueue({ episode: 70, video_url: "https://b.test/v.mp4" }),
      ) as Row;
      const jobs = await queue.sql`select id from public.video_queue`;
      assert.deepEqual(jobs.map((row) => row["id"]), [again["id"]]);
      assert.equal((await queue.claimOne()).candidates.length, 2);
      const gone = await queue.collide(
        (sql) => sql`delete from public.video_queue where true`,
        () => queue.enqueue({ episode: 70, video_url: "https://c.test/v.mp4" }),
      );
      assert.ok(gone instanceof Error && codeOf(gone) === "PT409");
    },
  },
  {
    name: "repair during a sweep → 409; locked rows are skipped",
    async run(queue) {
      await queue.archived();
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const [repair] = await queue.rpc("claim_replica_repairs", { limit: 1 });
      const done = {
        id: repair!["id"],
        lease_token: repair!["lease_token"],
        sha256: repair!["sha256"],
        size_bytes: 4,
        repo: "u/m",
        path: "x",
      };
      const late = await queue.collide(
        (sql) =>
          sql`update public.video_replicas set state = 'failed', lease_token = null, lease_owner = null, lease_expires_at = null where target = 'hf-2'`,
        () => queue.rpc("complete_replica", done),
      );
      assert.equal(codeOf(late), "PT409");
      const job = await queue.downloading();
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from public.video_replicas for update`;
      await other`select from public.video_queue where id = ${job.id} for update`;
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 1 })).length, 0);
      await queue.sql`select 1`;
      await other`rollback`;
      await queue.rpc("claim_replica_repairs", { limit: 1 });
      await queue.travel(3700);
      await other`begin`;
      await other`select from public.video_replicas for update`;
      await other`select from public.video_queue for update`;
      const [{ sweep } = {}] = await queue.rpc<{ sweep: Row }>("sweep");
      assert.deepEqual([sweep!["rescued"], sweep!["replicas_rescued"]], [0, 0]);
      await other`rollback`;
      const [{ sweep: free } = {}] = await queue.rpc<{ sweep: Row }>("sweep");
      assert.deepEqual([free!["rescued"], free!["replicas_rescued"]], [1, 1]);
    },
  },
  {
    name: "promotion: its copy is lost meanwhile → 422",
    async run(queue) {
      const job = await queue.uploading();
      const [copy] = archiveOf(job)["replicas"] as Row[];
      await queue.rpc(
        "upsert_video_store",
        archiveOf(job, { replicas: [copy, { ...copy, target: "hf-2", repo: "user-2/media" }] }),
      );
      const [second] = await queue.sql<{ id: string }[]>`select id from public.video_replicas where target = 'hf-2'`;
      const promotion = await queue.collide(
        (sql) => sql`select public.report_replica_missing(${second!.id})`,
        () => queue.rpc("promote_replica", { replica_id: second!.id }),
      );
      assert.equal(codeOf(promotion), "PT422");
    },
  },
  {
    name: "heartbeat: other jobs are locked → no wait",
    async run(queue) {
      const mine = await queue.downloading();
      const lost = await queue.downloading();
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from public.video_queue where id = ${lost.id} for update`;
      const rows = await queue.rpc("extend_video_lease", {
        ids: [mine.id, lost.id],
        lease_tokens: [mine.lease_token, crypto.randomUUID()],
      });
      assert.deepEqual(rows.map((row) => row["lost"]), [false, true]);
      await other`rollback`;
    },
  },
  {
    name: "heartbeat: the lease expires while it waits → lost",
    async run(queue) {
      const job = await queue.downloading();
      const other = queue.connect("postgres");
      await other`begin`;
      await other`
        update public.video_queue set lease_expires_at = clock_timestamp() + interval '200 ms' where id = ${job.id}`;
      const beat = queue.rpc("extend_video_lease", { ids: [job.id], lease_tokens: [job.lease_token] });
      await Promise.race([beat, queue.untilWaiting(1)]);
      await other`select pg_sleep(0.25)`;
      await other`commit`;
      assert.equal((await beat)[0]!["lost"], true);
      assert.ok((await queue.row(job.id))["lease_expires_at"]! < new Date());
    },
  },
  {
    name: "two copies reported, then confirmed at once → queued once",
    async run(queue) {
      const database = queue.database;
      const job = await queue.uploading();
      const [copy] = archiveOf(job)["replicas"] as Record<string, unknown>[];
      await queue.rpc(
        "upsert_video_store",
        archiveOf(job, { replicas: [copy, { ...copy, target: "hf-2", repo: "user-2/media" }] }),
      );
      const copies = await database.sql<{ id: string }[]>`select id from public.video_replicas`;
      const both = (name: string) =>
        Promise.all(
          copies.map(({ id }) => outcome(rpc(queue.connect("service_role"), name, { replica_id: id }))),
        );
      assert.deepEqual(await both("report_replica_missing"), ["accepted", "accepted"]);
      assert.equal((await queue.row(job.id))["status"], "ready");
      assert.deepEqual(await both("confirm_replica_missing"), ["accepted", "accepted"]);
      assert.equal((await queue.row(job.id))["status"], "pending");
      assert.deepEqual(await brokenInvariants(database.sql), []);
    },
  },
  {
    name: "10 connections: 3 slots of a resource → 3 leases, distinct epochs",
    async run(queue) {
      const leases = await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          rpc(queue.connect("service_role"), "acquire_resource_lease", {
            resource: "repo",
            holder: `h${n}`,
            slots: 3,
          })),
      );
      const held = leases.flat();
      assert.deepEqual(held.map((lease) => lease["slot"]).sort(), [1, 2, 3]);
      assert.equal(new Set(held.map((lease) => lease["epoch"])).size, 3);
    },
  },
];
