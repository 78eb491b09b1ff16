/** Exact limits, and lock orders that prevent deadlocks. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome, type Row } from "../fixture/rpc.ts";

const copy = (target: string, more: Row = {}) => ({
  ...(archiveOf({ mal_id: 55825, episode: 1 })["replicas"] as Row[])[0]!,
  target,
  ...more,
});

export const LIMITS: readonly Scenario[] = [
  {
    name: "progress: 8192 bytes → kept; 8193 → 400",
    async run(queue) {
      const job = await queue.downloading();
      const progress = (bytes: number) => ({ x: "y".repeat(bytes - '{"x": ""}'.length) });
      await queue.update(job, "downloading", { progress: progress(8192) });
      const call = { id: job.id, status: "downloading", lease_token: job.lease_token, progress: progress(8193) };
      assert.equal(await queue.refusal("update_video_queue_status", call), "PT400");
      const beat = (bytes: number) => ({
        ids: [job.id],
        lease_tokens: [job.lease_token],
        progress: { [job.id]: progress(bytes) },
      });
      assert.equal(await queue.refusal("extend_video_lease", beat(8193)), "PT400");
      await queue.rpc("extend_video_lease", beat(8192));
    },
  },
  {
    name: "worker name: 200 characters → the first 100",
    async run(queue) {
      const worker = "w".repeat(200);
      const job = await queue.uploading();
      await queue.rpc(
        "upsert_video_store",
        archiveOf(job, { replicas: [copy("hf-1", { path: archiveOf(job)["hf_path"] })] }),
      );
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      await queue.rpc("claim_replica_repairs", { limit: 1, worker });
      const [repair] = await queue.sql`select lease_owner from public.video_replicas where target = 'hf-2'`;
      assert.equal(repair!["lease_owner"], "w".repeat(100));
      await queue.enqueue();
      const [claimed] = await queue.claim(1, worker);
      assert.equal(claimed!["lease_owner"], "w".repeat(100));
    },
  },
  {
    name: "repair Retry-After: at most six hours; plan: at most 10,000",
    async run(queue) {
      await queue.archived();
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const [repair] = await queue.rpc("claim_replica_repairs", { limit: 1 });
      await queue.rpc("complete_replica", {
        id: repair!["id"],
        lease_token: repair!["lease_token"],
        state: "failed",
        error_class: "rate_limited",
        retry_after_seconds: 1_000_000,
      });
      const [row] = await queue.sql`
        select extract(epoch from run_at - updated_at)::float8 as seconds from public.video_replicas where target = 'hf-2'`;
      assert.equal(row!["seconds"], 21_600);
      const targets = Array.from({ length: 10_001 }, (_, n) => `t-${n}`);
      const planned = await queue.rpc("plan_replica_repairs", { targets, limit: 20_000 });
      assert.equal(planned[0]!["plan_replica_repairs"], 10_000);
    },
  },
  {
    name: "failed notification: recorded once a second, without waiting",
    async run(queue) {
      const note = async () => {
        const [row] = await queue.sql`select failed_at, last_error from keepstream.notification_state`;
        return [(row!["failed_at"] as Date).getTime(), row!["last_error"]] as const;
      };
      await queue.enqueue();
      const first = await note();
      await queue.enqueue();
      assert.deepEqual(await note(), first);
      await queue.travel(3);
      await queue.enqueue();
      assert.ok((await note())[0] >= first[0], "recorded again");
      const [again] = await note();
      await queue.sql`select vault.create_secret('not a url', 'runner_url')`;
      await queue.sql`select vault.create_secret('whsec_dGVzdA==', 'runner_webhook_secret')`;
      await queue.enqueue();
      const [at, reason] = await note();
      assert.ok(at >= again);
      assert.match(String(reason), /not an http\(s\) URL/);

      const [holder, asker] = [queue.connect("postgres"), queue.connect("postgres")];
      await asker`set statement_timeout = '3s'`; // a statement timeout, unlike a lock timeout, would fail the enqueue
      await holder`begin`;
      await holder`select from keepstream.notification_state for update`;
      await asker`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      await holder`rollback`;
    },
  },
  {
    name: "source list: from a clock ahead → zero seconds old",
    async run(queue) {
      await queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { animasu: { state: "ok", servers: [] } } });
      await queue.sql`update keepstream.source_lists set fetched_at = now() + interval '1 hour' where true`;
      const [row] = await queue.rpc<{ read_episode: Record<string, Record<string, Row>> }>("read_episode", {
        mal_id: 1,
        episode: 1,
      });
      assert.equal(row!.read_episode["source_lists"]!["animasu"]!["age_seconds"], 0);
    },
  },
  {
    name: "apply_providers: another config → replaced",
    async run(queue) {
      const apply = (more: Row) =>
        queue.rpc("apply_providers", { entries: [{ name: "animasu", recipe: "page", ...more }], dry_run: false });
      await apply({ page: "/a/" });
      await apply({ page: "/b/" });
      const [row] = await queue.sql`select config from public.providers`;
      assert.deepEqual(row!["config"], { page: "/b/" });
    },
  },
  {
    name: "promotion during a report → locks the archive first, no deadlock",
    async run(queue) {
      const job = await queue.uploading();
      const path = archiveOf(job)["hf_path"];
      const copies = [copy("hf-1", { path }), copy("hf-2", { path, repo: "user-2/media" })];
      await queue.rpc("upsert_video_store", archiveOf(job, { replicas: copies }));
      const [second] = await queue.sql<{ id: string }[]>`select id from public.video_replicas where target = 'hf-2'`;
      const reporter = queue.connect("postgres");
      await reporter`begin`;
      await reporter`select from public.video_store for update`;
      const promotion = outcome(queue.rpc("promote_replica", { replica_id: second!.id }));
      await queue.untilWaiting(1);
      assert.equal(await outcome(reporter`select public.report_replica_missing(${second!.id})`), "accepted");
      await reporter`commit`;
      assert.equal(await promotion, "PT422");
    },
  },
  {
    name: "status by hand: downloading without lease, ready → refused",
    async run(queue) {
      await queue.archived();
      const failed = await queue.downloading();
      await queue.update(failed, "failed", { error_class: "network" });
      const move = (id: string, status: string) =>
        outcome(queue.sql`update public.video_queue set status = ${status} where id = ${id}`);
      assert.equal(await move(failed.id, "downloading"), "23514");
      const held = await queue.uploading();
      assert.equal(await move(held.id, "ready"), "PT422");
      assert.equal(
        await outcome(queue.sql`update public.video_queue set applied_status = 'failed' where id = ${held.id}`),
        "PT422",
      );
      const born = queue.sql`
        insert into public.video_queue (mal_id, episode, provider, video_url, applied_status) values (9, 9, 'a', 'https://a.test/', 'ready')`;
      assert.equal(await outcome(born), "PT422");
    },
  },
  {
    name: "store row deleted → its own video is queued again",
    async run(queue) {
      const one = await queue.archived();
      const other = await queue.archived();
      await queue.sql`delete from public.video_store where id = ${one.store["id"] as string}`;
      assert.equal((await queue.row(one.job.id))["status"], "pending");
      assert.equal((await queue.row(other.job.id))["status"], "ready");
    },
  },
  {
    name: "read_episode: copies → verified ones of the episode's archives",
    async run(queue) {
      const { job } = await queue.archived({ episode: 1 });
      await queue.archived({ episode: 2 });
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const [row] = await queue.rpc<{ read_episode: { store: Row[] } }>("read_episode", {
        mal_id: job.mal_id,
        episode: 1,
      });
      const copies = row!.read_episode.store.map((store) => (store["replicas"] as Row[]).map((copy) => copy["target"]));
      assert.deepEqual(copies, [["hf-1"]]);
    },
  },
  {
    name: "candidates: over the limit → a dead one is replaced first",
    async run(queue) {
      for (let n = 0; n < 16; n++) await queue.enqueue({ episode: 1, video_url: `https://a.test/${n}` });
      await queue.sql`update public.video_candidates set state = 'dead' where rank = 5`;
      await queue.sql`update public.video_candidates set fails = 3 where rank = 6`;
      await queue.enqueue({ episode: 1, video_url: "https://a.test/16" });
      const rows = await queue.sql`select rank from public.video_candidates order by rank`;
      assert.deepEqual(rows.map((row) => row["rank"]), [0, 1, 2, 3, 4, ...Array.from({ length: 11 }, (_, n) => n + 6)]);
    },
  },
  {
    name: "save_sources: 4096, 8192 bytes → enqueued; one more → left out",
    async run(queue) {
      const page = (bytes: number) => `https://e.test/${"x".repeat(bytes - "https://e.test/".length)}`;
      const server = (resolution: string, embed_url: string) => ({
        resolution,
        embed_url,
        video_url: "https://a.test/v.mp4",
      });
      const headers = (bytes: number) => ({ "x": "y".repeat(bytes - '{"x": ""}'.length) });
      const servers = [
        server("720p", page(4096)),
        server("480p", page(4097)),
        { ...server("360p", page(100)), headers: headers(8192) },
        { ...server("240p", page(101)), headers: headers(8193) },
      ];
      const save = () =>
        queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { animasu: { state: "ok", servers } } });
      await save();
      const rows = await queue.sql`select resolution from public.video_queue order by resolution`;
      assert.deepEqual(rows.map((row) => row["resolution"]), ["360p", "720p"]);
      await queue.sql`update keepstream.source_lists set fetched_at = now() - interval '1 day' where true`;
      await save();
      const [list] = await queue
        .sql`select fetched_at > now() - interval '1 hour' as fresh from keepstream.source_lists`;
      assert.equal(list!["fresh"], true);
    },
  },
  {
    name: "sweep: 1001 leases and lists → a thousand, then the rest",
    async run(queue) {
      await queue.sql`
        insert into public.video_queue (mal_id, episode, provider, video_url)
        select 1, n, 'animasu', 'https://a.test/' from generate_series(1, 1001) n`;
      for (let left = 1001; left > 0; left -= 50) await queue.claim(50);
      await queue.sql`
        insert into keepstream.source_lists (mal_id, episode, provider, state, fetched_at)
        select 1, n, 'animasu', 'ok', now() - interval '30 days' from generate_series(1, 1001) n`;
      await queue.travel(121);
      const now = async () => (await queue.sql`select clock_timestamp()::text as now`)[0]!["now"] as string;
      const before = await now();
      for (const [rescued, lists] of [[1000, 1], [1, 0]]) {
        const [{ sweep } = {}] = await queue.rpc<{ sweep: Row }>("sweep");
        const [row] = await queue.sql`select count(*)::int as lists from keepstream.source_lists`;
        assert.deepEqual([sweep!["rescued"], row!["lists"]], [rescued, lists]);
      }
      const [delays] = await queue.sql`
        select min(run_at) - ${before} >= interval '5 seconds' and max(run_at) - ${await now()} <= interval '30 seconds'
          and count(distinct run_at) > 900 as fit from public.video_queue`;
      assert.equal(delays!["fit"], true, "each is due in 5 to 30 seconds, not all at once");
    },
  },
  {
    name: "retry_delay: 200,000 draws → at most six hours",
    async run(queue) {
      const [row] = await queue.sql`
        select max(keepstream.retry_delay(21600, 5)) <= interval '6 hours' as capped from generate_series(1, 200000)`;
      assert.equal(row!["capped"], true);
    },
  },
  {
    name: "record_replica_hash: another hash or size → false",
    async run(queue) {
      await queue.archived();
      const [copy] = await queue.sql<{ id: string; sha256: string }[]>`select id, sha256 from public.video_replicas`;
      const record = async (sha256: string, size_bytes: number) =>
        (await queue.rpc("record_replica_hash", { replica_id: copy!.id, sha256, size_bytes }))[0]![
          "record_replica_hash"
        ];
      assert.equal(await record(copy!.sha256, 5), false);
      assert.equal(await record("0".repeat(64), 4), false);
      assert.equal(await record(copy!.sha256, 4), true);
    },
  },
  {
    name: "heartbeat: 200 jobs → accepted; 201 → 400; one slot by default",
    async run(queue) {
      const beat = (count: number) => {
        const ids = Array.from({ length: count }, () => crypto.randomUUID());
        return outcome(queue.rpc("extend_video_lease", { ids, lease_tokens: ids }));
      };
      assert.deepEqual([await beat(200), await beat(201)], ["accepted", "PT400"]);
      const acquire = (slots: number | null) =>
        queue.rpc("acquire_resource_lease", { resource: `r${slots}`, holder: "a", lease_seconds: 60, slots });
      assert.equal((await acquire(3)).length, 1);
      assert.equal((await queue.sql`select from keepstream.resource_leases`).length, 1);
      assert.equal((await acquire(null)).length, 1);
      assert.equal((await acquire(null)).length, 0);
    },
  },
];
