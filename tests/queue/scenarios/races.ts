/** Two calls at once: a takedown is complete, and functions that lock several jobs lock them in key order. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome, type Row } from "../fixture/rpc.ts";

const ENQUEUE = (sql: Sql) =>
  sql`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/v.mp4', '720p', embed_url => 'https://new.test/')`;
const takedown = async (queue: QueueFixture) =>
  (await queue.rpc<{ takedown: { jobs: number; copies: Row[] } }>("takedown", { mal_id: 1 }))[0]!.takedown;

/** While the first job in key order is locked, the call waits for it and holds no other job. */
async function assertInKeyOrder(
  queue: QueueFixture,
  [first, second]: readonly [unknown, unknown],
  call: () => Promise<unknown>,
): Promise<void> {
  const other = queue.connect("postgres");
  await other`begin`;
  await other`select from public.video_queue where id = ${first as string} for update`;
  const done = outcome(call());
  await queue.untilWaiting(1);
  const free = await outcome(other`select from public.video_queue where id = ${second as string} for update nowait`);
  await other`rollback`;
  assert.equal(free, "accepted", "the second job is locked before the first");
  assert.equal(await done, "accepted");
}

/**
 * Two jobs whose ids, keys and table positions are in different orders: the first by key was inserted
 * last.
 */
async function twoJobs(queue: QueueFixture, idsToo = false): Promise<[Row, Row]> {
  for (let episode = 1;; episode += 2) {
    const second = await queue.enqueue({ mal_id: 1, episode: episode + 1 });
    const first = await queue.enqueue({ mal_id: 1, episode });
    if (!idsToo || (first["id"] as string) > (second["id"] as string)) return [first, second];
  }
}

export const RACES: readonly Scenario[] = [
  {
    name: "takedown after an enqueue → its job goes; enqueue after it → 451",
    async run(queue) {
      const taken = await queue.collide(ENQUEUE, () => takedown(queue)) as { jobs: number };
      assert.equal(taken.jobs, 1);
      assert.equal((await queue.sql`select from public.video_queue`).length, 0);
      await queue.rpc("lift_takedown", { mal_id: 1 });
      const late = await queue.collide(
        (sql) => sql`select public.takedown(1)`,
        () => outcome(ENQUEUE(queue.connect("service_role"))),
      );
      assert.equal(late, "PT451");
      assert.equal((await queue.sql`select from public.video_queue`).length, 0);
    },
  },
  {
    name: "takedown during an archive → names the recorded copies",
    async run(queue) {
      const job = await queue.uploading({ mal_id: 1, episode: 1 });
      const { replicas: _, ...archive } = archiveOf(job);
      const taken = await queue.collide(
        (sql) =>
          sql.unsafe(
            `select public.upsert_video_store(${
              Object.keys(archive).map((name, index) => `"${name}" => $${index + 1}`).join(", ")
            })`,
            Object.values(archive) as never[],
          ),
        () => takedown(queue),
      ) as { jobs: number; copies: Row[] };
      assert.deepEqual([taken.jobs, taken.copies.map((copy) => copy["repo"])], [1, ["user-1/media"]]);
      assert.equal((await queue.sql`select from public.video_replicas`).length, 0);
    },
  },
  {
    name: "takedown and save_sources at once → no deadlock, nothing left",
    async run(queue) {
      await queue.enqueue({ mal_id: 1, episode: 1 });
      await queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { animasu: { state: "ok", servers: [] } } });
      await queue.sql`update keepstream.source_lists set fetched_at = now() - interval '1 hour' where true`;
      await queue.rpc("read_episode", { mal_id: 1, episode: 1, reader_seconds: 60 });
      const other = queue.connect("postgres");
      await other`begin`;
      const held = await other`select from keepstream.source_reads for update`;
      assert.ok(held.length > 0);
      const servers = [{ video_url: "https://b.test/v.mp4", resolution: "720p" }];
      const saved = outcome(
        queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { animasu: { state: "ok", servers } } }),
      );
      await queue.untilWaiting(1);
      const taken = outcome(takedown(queue));
      await queue.untilWaiting(2);
      await other`rollback`;
      assert.deepEqual([await saved, await taken], ["accepted", "accepted"]);
      assert.equal((await queue.sql`select from public.video_queue`).length, 0);
      assert.equal((await queue.sql`select from keepstream.source_lists`).length, 0);
    },
  },
  {
    name: "retry_videos, takedown → lock jobs in key order",
    async run(queue) {
      const [first, second] = await twoJobs(queue);
      const ids = [first["id"], second["id"]] as const;
      await queue.rpc("apply_providers", { entries: [{ name: "samehadaku", recipe: "page" }], dry_run: false });
      await queue
        .sql`insert into public.providers (name, recipe, rights) values ('animasu', 'page', 'own work')`;
      await assertInKeyOrder(queue, ids, () => queue.rpc("retry_videos"));
      await assertInKeyOrder(queue, ids, () => takedown(queue));
    },
  },
  {
    name: "enqueue_video, extend_video_lease → lock jobs in key order",
    async run(queue) {
      const video = { mal_id: 9, episode: 1, provider: "animasu", video_url: "https://a.test/v.mp4" };
      const named = await queue.enqueue({ ...video, resolution: "720p" });
      const unnamed = await queue.enqueue({ ...video, resolution: null });
      const videos = ["", "720p"].map((resolution) => ({ ...video, resolution, video_url: "https://b.test/v.mp4" }));
      await assertInKeyOrder(queue, [named["id"], unnamed["id"]], () => queue.rpc("enqueue_videos", { videos }));
      const [first, second] = await twoJobs(queue, true);
      const jobs = await queue.claim(50);
      await assertInKeyOrder(queue, [first["id"], second["id"]], () =>
        queue.rpc("extend_video_lease", {
          ids: jobs.map((job) => job.id),
          lease_tokens: jobs.map((job) => job.lease_token),
        }));
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "rights withdrawn during save_sources → that server is left out",
    async run(queue) {
      const server = (video_url: string) => ({ state: "ok", servers: [{ video_url, resolution: "720p" }] });
      await queue.enqueue({ mal_id: 1, episode: 1, provider: "animasu" });
      const [row] = await queue.collide(
        async (sql) => {
          await sql`select from public.video_queue for update`;
          await sql`update public.providers set rights = null where name = 'samehadaku'`;
        },
        () =>
          queue.rpc("save_sources", {
            mal_id: 1,
            episode: 1,
            lists: { animasu: server("https://new.test/a.mp4"), samehadaku: server("https://new.test/b.mp4") },
          }),
      ) as { save_sources: { enqueued: number } }[];
      assert.equal(row!.save_sources.enqueued, 1);
      const jobs = await queue.sql`select provider, jsonb_array_length(candidates) as known from public.video_queue`;
      assert.deepEqual(jobs.map((job) => ({ ...job })), [{ provider: "animasu", known: 2 }]);
      assert.equal((await queue.sql`select from keepstream.source_lists`).length, 2);
    },
  },
];
