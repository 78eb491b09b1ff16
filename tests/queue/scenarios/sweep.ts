/** The sweep rescues, deletes old rows, repeats notifications and schedules itself. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { configure, takeUnsent } from "../fixture/notifications.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import type { Row } from "../fixture/rpc.ts";

const counts = async (queue: QueueFixture) => (await queue.rpc<{ queue_counts: Row }>("queue_counts"))[0]!.queue_counts;

const prune = async (queue: QueueFixture) => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep["events_pruned"];

/** Makes matching events older than the retention. */
async function age(queue: QueueFixture, condition: string): Promise<void> {
  await queue.sql`alter table keepstream.events disable trigger events_are_append_only`;
  await queue.sql.unsafe(`update keepstream.events set at = at - interval '91 days' where ${condition}`);
  await queue.sql`alter table keepstream.events enable trigger events_are_append_only`;
}

export const SWEEP: readonly Scenario[] = [
  {
    name: "sweep: jobs due → notified again; none due → not",
    async run(queue) {
      await configure(queue);
      const sweep = async () => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep["notified"];
      assert.equal(await sweep(), false);
      await queue.enqueue();
      for (const why of ["due", "debounce is for enqueues"]) {
        await takeUnsent(queue);
        assert.equal(await sweep(), true);
        assert.equal((await takeUnsent(queue)).length, 1, why);
      }
      const job = await queue.claimOne();
      assert.equal(await sweep(), false, "held");
      await queue.update(job, "failed", { error_class: "network" });
      assert.equal(await sweep(), false, "backing off");
      await queue.travel(31);
      assert.equal(await sweep(), true, "due again");
      const again = await queue.claimOne();
      await queue.update(again, "failed", { error_class: "drm" });
      await queue.travel(100_000);
      assert.equal(await sweep(), false, "dead");
    },
  },
  {
    name: "sweep: a copy to create → notified again",
    async run(queue) {
      await configure(queue);
      await queue.archived();
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const sweep = async () => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep["notified"];
      assert.equal(await sweep(), true);
      await queue.sql`update public.video_replicas set run_at = now() + interval '1 minute' where state = 'pending'`;
      assert.equal(await sweep(), false);
      await queue.sql`update public.video_replicas set run_at = now(), attempts = max_attempts where state = 'pending'`;
      assert.equal(await sweep(), false);
    },
  },
  {
    name: "pg_cron: sweeps every 30 s and deletes its history",
    async run(queue) {
      const jobs = await queue.sql`select jobname, schedule, command from cron.job order by jobname`;
      assert.deepEqual(jobs.map((job) => [job["jobname"], job["schedule"]]), [
        ["keepstream-cron-history", "17 3 * * *"],
        ["keepstream-sweep", "30 seconds"],
      ]);
      for (const job of jobs) await queue.sql.unsafe(job["command"]);
    },
  },
  {
    name: "pg_cron jobs deleted → scheduled again, same owner",
    async run(queue) {
      const jobs = () => queue.sql`select jobname, schedule, command, username from cron.job order by jobname`;
      const before = await jobs();
      await queue.database.admin`delete from cron.job where true`;
      await queue.rpc("sweep");
      assert.deepEqual(await jobs(), before);
      await queue.sql`select cron.alter_job(jobid, active := false) from cron.job where jobname = 'keepstream-sweep'`;
      await queue.rpc("sweep");
      const [job] = await queue.sql`select active from cron.job where jobname = 'keepstream-sweep'`;
      assert.equal(job!["active"], false, "disabled by an operator");
      await queue.sql`select cron.alter_job(jobid, active := true) from cron.job`;
    },
  },
  {
    name: "pg_cron missing or forbidden → swept all the same",
    async run(queue) {
      const statements: Record<string, RegExp | null> = {
        "drop extension pg_cron cascade": null,
        "delete from cron.job; revoke execute on all functions in schema cron from public, postgres":
          /permission denied/,
      };
      for (const [statement, why] of Object.entries(statements)) {
        const session = queue.connect("supabase_admin");
        await session`begin`;
        await session.unsafe(statement).simple();
        await session`set local role postgres`;
        await session`select public.enqueue_video(9, 1, 'animasu', 'https://a.test/')`;
        await session`select from public.claim_pending_videos(1)`;
        await session`update public.video_queue set lease_expires_at = now() - interval '1 second' where lease_token is not null`;
        const [row] = await session<{ sweep: Row }[]>`select public.sweep()`;
        assert.equal(row!.sweep["rescued"], 1, statement);
        const [counted] = await session<{ error: string | null }[]>`
          select public.queue_counts() ->> 'clearing_error' as error`;
        if (why === null) assert.equal(counted!.error, null);
        else assert.match(counted!.error ?? `nothing after ${statement}`, why);
        await session`rollback`;
      }
    },
  },
  {
    name: "sweep_if_overdue: several runners → one sweeps, if overdue",
    async run(queue) {
      const ask = async (sql: Sql = queue.database.serviceRole) =>
        (await sql<{ swept: Row | null }[]>`select public.sweep_if_overdue(60) as swept`)[0]!.swept;
      assert.ok(await ask(), "never swept");
      assert.equal(await ask(), null);
      const job = await queue.downloading();
      await queue.travel(121);
      assert.equal(await ask(), null);
      await queue.sql`update keepstream.event_retention set swept_at = swept_at - interval '61 seconds' where true`;
      const [a, b] = [queue.connect("service_role"), queue.connect("service_role")];
      await a`begin`;
      assert.equal((await ask(a))!["rescued"], 1);
      assert.equal(await ask(b), null, "another one is in progress");
      await a`commit`;
      assert.equal(await ask(b), null);
      assert.equal((await queue.row(job.id))["error_class"], "lease_expired");
    },
  },
  {
    name: "sweep: cleanup fails → rescued and notified, the counts say why",
    async run(queue) {
      // The last step of the cleanup, so that the others ran.
      await queue.sql`
        create function keepstream.refuse_to_clear() returns trigger language plpgsql as
        $$ begin if old.client = 'slow' then perform pg_sleep(60); end if; raise exception '%', rpad('broken at https://a.test/v.mp4?sig=secret ', 600, '.'); end $$`;
      await queue.sql`
        create trigger refuses before delete on keepstream.client_limits for each row execute function keepstream.refuse_to_clear()`;
      const WHY = "broken at https://a.test/v.mp4?… ".padEnd(500, ".");
      const state = async () => (await queue.sql`select failed_at, last_error from keepstream.event_retention`)[0]!;
      try {
        const job = await queue.downloading();
        await queue.enqueue();
        await age(queue, "kind = 'enqueued'");
        await queue.travel(121);
        await queue.sql`insert into keepstream.client_limits values ('fast', now() - interval '1 minute')`;
        const first = (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep;
        assert.deepEqual([first["rescued"], first["events_pruned"], first["notified"]], [1, 0, true]);
        assert.equal((await queue.row(job.id))["error_class"], "lease_expired");
        assert.equal((await counts(queue))["clearing_error"], WHY);
        const before = await state();
        assert.ok(before["failed_at"]);
        // A lock that outlasts the session's limit, during another sweep: the same, without the
        // record.
        await queue.sql`update keepstream.client_limits set client = 'slow' where true`;
        const other = queue.connect("postgres");
        await other`begin`;
        await other`select from keepstream.event_retention for update`;
        const sql = queue.connect("postgres");
        await sql`set statement_timeout = 500`;
        assert.equal((await sql<{ sweep: Row }[]>`select public.sweep()`)[0]!.sweep["notified"], true);
        assert.deepEqual(await state(), before);
        await other`rollback`;
        assert.equal((await sql<{ sweep: Row }[]>`select public.sweep()`)[0]!.sweep["notified"], true);
        assert.match((await state())["last_error"] as string, /statement timeout/);
      } finally {
        await queue.sql`drop function keepstream.refuse_to_clear cascade`;
      }
      assert.equal(await prune(queue), 1);
      assert.deepEqual({ ...await state() }, { failed_at: null, last_error: null });
    },
  },
  {
    name: "sweep: many expired copies → a thousand at a time",
    async run(queue) {
      await queue.archived();
      await queue.sql`
        insert into public.video_replicas (store_id, target, state, attempts, lease_token, lease_owner, lease_expires_at)
        select s.id, 'hf-' || n, 'uploading', 1, gen_random_uuid(), 'w', now() - interval '1 second'
        from public.video_store s, generate_series(2, 1002) n`;
      const copies = async () => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep["replicas_rescued"];
      assert.deepEqual([await copies(), await copies(), await copies()], [1000, 1, 0]);
    },
  },
  {
    name: "sweep: resource leases → deleted an hour after they expire",
    async run(queue) {
      await queue.rpc("acquire_resource_lease", { resource: "r", holder: "h", lease_seconds: 60 });
      await queue.travel(3000);
      await queue.rpc("sweep");
      assert.equal((await queue.sql`select from keepstream.resource_leases`).length, 1);
      await queue.travel(700);
      await queue.rpc("sweep");
      assert.equal((await queue.sql`select from keepstream.resource_leases`).length, 0);
    },
  },
  {
    name: "sweep: old events → deleted, but each job's last status stays",
    async run(queue) {
      const job = await queue.downloading();
      await queue.update(job, "pending");
      const other = await queue.enqueue();
      assert.equal(await prune(queue), 0, "none is old");
      await age(queue, "kind <> 'released'");
      assert.equal(await prune(queue), 2);
      assert.deepEqual(await queue.events(job.id), ["released"]);
      assert.deepEqual(await queue.events(other["id"]), ["enqueued"]);
      assert.equal(await prune(queue), 0);
      const [state] = await queue.sql`
        select pruned_through = (select max(id) from keepstream.events) as all from keepstream.event_retention`;
      assert.equal(state!["all"], true);
    },
  },
  {
    name: "sweep: last status of a job → kept however old",
    async run(queue) {
      const quiet = await queue.downloading();
      await queue.update(quiet, "pending");
      const busy = await queue.downloading({ priority: 0 });
      await age(queue, "true");
      await queue.update(busy, "pending");
      assert.equal(await prune(queue), 4);
      assert.deepEqual(await queue.events(quiet.id), ["released"]);
      assert.deepEqual(await queue.events(busy.id), ["released"]);
      await queue.enqueue({ mal_id: 1, episode: 1 });
      await queue.enqueue({ mal_id: 1, episode: 1, video_url: "https://b.test/" });
      await age(queue, "true");
      assert.equal(await prune(queue), 1, "source_added is not a status change");
      const kinds = await queue
        .sql`select kind from keepstream.events e join public.video_queue q on q.id = e.queue_id where q.mal_id = 1`;
      assert.deepEqual(kinds.map((row) => row["kind"]), ["enqueued"]);
    },
  },
  {
    name: "sweep: events → a thousand at a time, by one sweep at a time",
    async run(queue) {
      const job = await queue.enqueue();
      await queue.sql`
        insert into keepstream.events (queue_id, kind, to_status, at)
        select ${job[
        "id"
      ] as string}, 'claimed', 'downloading', now() - interval '1 year' from generate_series(1, 1500)`;
      await queue.sql`update public.video_queue set last_event = (select max(id) from keepstream.events) where true`;
      await age(queue, "true");
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from keepstream.event_retention for update`;
      assert.equal(await prune(queue), 0);
      await other`rollback`;
      assert.equal(await prune(queue), 1000);
      assert.equal(await prune(queue), 500);
      assert.equal(await prune(queue), 0);
    },
  },
  {
    name: "sweep: expired lists, metadata, client limits → deleted",
    async run(queue) {
      await queue.rpc("save_sources", {
        mal_id: 1,
        episode: 1,
        lists: { old: { state: "ok" }, young: { state: "ok" } },
      });
      await queue.sql`update keepstream.source_lists set fetched_at = now() - interval '8 days' where provider = 'old'`;
      await queue.rpc("save_title_mapping", { mal_id: 1, provider: "old", mapping: {}, ttl_seconds: -1 });
      await queue.rpc("save_title_mapping", { mal_id: 1, provider: "young", mapping: {}, ttl_seconds: 60 });
      await queue.rpc("save_title_mapping", {
        mal_id: 1,
        provider: "own",
        mapping: {},
        ttl_seconds: -1,
        by_operator: true,
      });
      await queue.rpc("save_metadata", { key: "old", value: 1, ttl_seconds: -1 });
      await queue.rpc("save_metadata", { key: "young", value: 2, ttl_seconds: 60 });
      await queue.rpc("read_episode", { mal_id: 1, episode: 1, client: "old" });
      await queue.sql`update keepstream.client_limits set full_at = now() - interval '1 second' where true`;
      await queue.rpc("read_episode", { mal_id: 1, episode: 1, client: "young" });
      await queue.rpc("sweep");
      assert.deepEqual((await queue.sql`select provider from keepstream.source_lists`).map((row) => row["provider"]), [
        "young",
      ]);
      const mapped = await queue.sql`select provider from public.title_mappings order by 1`;
      assert.deepEqual(mapped.map((row) => row["provider"]), ["own", "young"]);
      assert.deepEqual((await queue.sql`select key from public.metadata_cache`).map((row) => row["key"]), ["young"]);
      assert.equal((await queue.sql`select from keepstream.client_limits`).length, 1);
    },
  },
];
