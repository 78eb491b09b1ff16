/** The list of leases: whole whatever happens around it, and all that the sweep, the counts and `leased_videos` read. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import type { Row } from "../fixture/rpc.ts";

const leased = async (queue: QueueFixture) => new Set((await queue.rpc("leased_videos")).map((row) => row["id"]));
const sweep = async (queue: QueueFixture) => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep;

/** Shared buffers of a statement, functions included: the least of three, since the first may also read the catalogue. */
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
    name: "a claim that is open across sweeps → its lease is found once it commits, and rescued",
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
    name: "the claim of a long lease has left the history → the lease is still found, and rescued",
    async run(queue) {
      const job = await queue.downloading();
      await queue.sql`delete from keepstream.events where true`;
      assert.deepEqual(await leased(queue), new Set([job.id]));
      await queue.travel(121);
      assert.equal((await sweep(queue))["rescued"], 1);
    },
  },
  {
    name: "leased_videos → who holds what with which token; every end of a lease takes it off the list",
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
    name: "sweep, counts and leased_videos read what is leased, not what is finished",
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
      await queue.database.admin`vacuum`; // what earlier scenarios left is not what is measured
      for (const held of [0, 50, 200]) {
        const missing = held - (await leased(queue)).size;
        if (missing > 0) {
          await queue.sql`
            insert into public.video_queue (mal_id, episode, provider, video_url)
            select 8, ${held} + n, 'animasu', 'https://a.test/' from generate_series(1, ${missing}) n`;
        }
        for (let left = missing; left > 0; left -= 50) await queue.claim(50);
        assert.equal((await leased(queue)).size, held);
        await sweep(queue); // the first looks through the history once, a thousand events at a time
        // The queue has some 500 pages, its history 700; a lease costs the way down one index.
        for (const query of ["public.leased_videos()", "public.queue_counts()", "public.sweep()"]) {
          const read = await buffers(queue, `select * from ${query}`);
          assert.ok(read < 150 + 8 * held, `${query} with ${held} leases: ${read} buffers`);
        }
      }
    },
  },
  {
    name: "a waiting job without an attempt left → passed by, the next is claimed",
    async run(queue) {
      const spent = await queue.enqueue({ priority: 0 });
      await queue.sql`update public.video_queue set attempts = max_attempts where id = ${spent["id"] as string}`;
      assert.equal((await queue.claim()).length, 0);
      const next = await queue.enqueue();
      assert.equal((await queue.claimOne()).id, next["id"]);
      assert.equal((await sweep(queue))["notified"], false, "nothing that a claim would take");
    },
  },
  {
    name: "the class lease_expired is gone → leases are rescued all the same",
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
    name: "a rescued job → its row and its event say whether it is dead, and nothing of its holder is left",
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
    name: "a rescued job is due in 5 to 30 seconds, by the session's own chance, also when the class is gone",
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
];
