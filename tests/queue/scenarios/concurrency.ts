/** Many real connections at once: no job is handed out twice, no key doubled, nobody deadlocks. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import type { Scenario } from "../queue_fixture.ts";
import { archiveOf, type ClaimedJob, outcome, rpc } from "../rpc.ts";

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
    name: "8 connections claim and finish 200 jobs → each job once, one lease at a time",
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
    name: "8 connections enqueue the same 40 videos in different orders → 40 jobs, no deadlock",
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
    name: "a claim skips jobs that another transaction holds, and waits for nobody",
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
    name: "a zombie's completion and its successor's at the same moment → one wins, the other hears 409",
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
    name: "heartbeats, sweeps, cancels and reports at once → no deadlock, invariants hold",
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
    name: "a heartbeat waits for no job that is not its own",
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
    name: "two copies of an archive reported missing at once → the video is in line again, once",
    async run(queue) {
      const database = queue.database;
      const job = await queue.uploading();
      const [copy] = archiveOf(job)["replicas"] as Record<string, unknown>[];
      await queue.rpc(
        "upsert_video_store",
        archiveOf(job, { replicas: [copy, { ...copy, target: "hf-2", repo: "user-2/media" }] }),
      );
      const copies = await database.sql<{ id: string }[]>`select id from public.video_replicas`;
      const outcomes = await Promise.all(
        copies.map(({ id }) =>
          outcome(rpc(queue.connect("service_role"), "report_replica_missing", { replica_id: id }))
        ),
      );
      assert.deepEqual(outcomes, ["accepted", "accepted"]);
      assert.equal((await queue.row(job.id))["status"], "pending");
      assert.deepEqual(await brokenInvariants(database.sql), []);
    },
  },

  {
    name: "10 connections ask for 3 slots of a resource → 3 hold it, with different epochs",
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
