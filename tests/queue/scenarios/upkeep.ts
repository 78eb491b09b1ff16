/** Slots of a resource, counts for an operator, retention. */
import assert from "node:assert/strict";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import type { Row } from "../fixture/rpc.ts";

const counts = async (queue: QueueFixture) => (await queue.rpc<{ queue_counts: Row }>("queue_counts"))[0]!.queue_counts;

const prune = async (queue: QueueFixture) => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep["events_pruned"];

/** Makes the events that match older than any retention. */
async function age(queue: QueueFixture, condition: string): Promise<void> {
  await queue.sql`alter table keepstream.events disable trigger events_are_append_only`;
  await queue.sql.unsafe(`update keepstream.events set at = at - interval '91 days' where ${condition}`);
  await queue.sql`alter table keepstream.events enable trigger events_are_append_only`;
}

export const UPKEEP: readonly Scenario[] = [
  {
    name: "acquire_resource_lease → one holder per slot, a rising epoch, free again when it ran out or was given back",
    async run(queue) {
      const acquire = async (more: Row = {}) =>
        (await queue.rpc("acquire_resource_lease", {
          resource: "hf:user/repo",
          holder: "a",
          lease_seconds: 60,
          ...more,
        }))[0];
      const first = (await acquire())!;
      assert.equal(first["slot"], 1);
      assert.equal(await acquire({ holder: "b" }), undefined);
      assert.equal(await acquire(), undefined, "not even for the same holder");
      assert.ok(await acquire({ resource: "hf:user/other" }));
      const second = (await acquire({ holder: "b", slots: 2 }))!;
      assert.equal(second["slot"], 2);
      assert.ok(BigInt(second["epoch"] as string) > BigInt(first["epoch"] as string));
      assert.equal(await acquire({ slots: 2 }), undefined);
      const call = async (name: string, lease: Row, more: Row = {}) =>
        (await queue.rpc(name, { resource: "hf:user/repo", slot: lease["slot"], epoch: lease["epoch"], ...more }))[0]![
          name
        ];
      await queue.travel(50);
      const renewed = await call("renew_resource_lease", first, { lease_seconds: 60 });
      assert.ok((renewed as Date).getTime() > Date.now() + 50_000);
      assert.deepEqual(await call("renew_resource_lease", first, { lease_seconds: 1 }), renewed, "never shortened");
      await queue.travel(11);
      assert.equal(await call("renew_resource_lease", second), null, "it ran out");
      const third = (await acquire({ holder: "c", slots: 2 }))!;
      assert.equal(third["slot"], 2);
      const holders = await queue.sql`
        select holder from keepstream.resource_leases where resource = 'hf:user/repo' order by slot`;
      assert.deepEqual(holders.map((row) => row["holder"]), ["a", "c"]);
      assert.equal(await call("release_resource_lease", second), false, "the late holder frees nothing");
      assert.equal(await call("renew_resource_lease", { ...third, epoch: first["epoch"] }), null);
      assert.equal(await call("release_resource_lease", first), true);
      assert.equal(await call("release_resource_lease", first), false);
      const fourth = (await acquire({ holder: "d" }))!;
      assert.ok(BigInt(fourth["epoch"] as string) > BigInt(third["epoch"] as string));
      for (
        const bad of [{ resource: "" }, { resource: null }, { holder: "" }, { holder: null }, {
          resource: "x".repeat(301),
        }]
      ) {
        assert.equal(await queue.refusal("acquire_resource_lease", { resource: "r", holder: "h", ...bad }), "PT400");
      }
      const [row] = await queue
        .sql`select holder from keepstream.resource_leases where resource = 'hf:user/repo' and slot = 1`;
      assert.equal(row!["holder"], "d");
    },
  },
  {
    name: "leases of all kinds last at least and at most what they may",
    async run(queue) {
      const lasts = async (query: string) =>
        Math.round(Number((await queue.sql.unsafe(query))[0]!["seconds"]) * 10) / 10;
      const job = await queue.archived().then(() => queue.downloading());
      const video =
        "select extract(epoch from lease_expires_at - updated_at) as seconds from public.video_queue where lease_token is not null";
      const beat = (lease_seconds: number | null) =>
        queue.rpc("extend_video_lease", { ids: [job.id], lease_tokens: [job.lease_token], lease_seconds });
      const shrink = (table: string) =>
        queue.sql.unsafe(
          `update public.${table} set lease_expires_at = now() + interval '5 seconds' where lease_token is not null`,
        );
      for (const [asked, given] of [[null, 120], [1, 10], [60, 60], [1e6, 3600]] as const) {
        await shrink("video_queue");
        await beat(asked);
        assert.equal(await lasts(video), given);
      }
      const copy =
        "select extract(epoch from lease_expires_at - updated_at) as seconds from public.video_replicas where lease_token is not null";
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      for (const [asked, given] of [[null, 600], [1, 10], [60, 60], [1e6, 3600]] as const) {
        const [repair] = await queue.rpc("claim_replica_repairs", { limit: 1, worker: " ", lease_seconds: asked });
        assert.equal(await lasts(copy), given);
        await shrink("video_replicas");
        await queue.rpc("extend_replica_lease", {
          ids: [repair!["id"]],
          lease_tokens: [repair!["lease_token"]],
          lease_seconds: asked,
        });
        assert.equal(await lasts(copy), given);
        const [row] = await queue.sql`select lease_owner from public.video_replicas where lease_token is not null`;
        assert.equal(row!["lease_owner"], "runner");
        await queue.rpc("complete_replica", {
          id: repair!["id"],
          lease_token: repair!["lease_token"],
          state: "pending",
        });
      }
      const resource =
        "select extract(epoch from expires_at - clock_timestamp()) as seconds, holder from keepstream.resource_leases where resource = 'r'";
      for (const [asked, given] of [[null, 60], [0, 1], [90, 90], [1e6, 3600]] as const) {
        const [lease] = await queue.rpc("acquire_resource_lease", {
          resource: "r",
          holder: "h".repeat(250),
          lease_seconds: asked,
        });
        const left = Number((await queue.sql.unsafe(resource))[0]!["seconds"]);
        assert.ok(left > given - 1 && left <= given, `${asked} → ${left}`);
        const [renewed] = await queue.rpc("renew_resource_lease", {
          resource: "r",
          slot: lease!["slot"],
          epoch: lease!["epoch"],
          lease_seconds: asked,
        });
        if (given > 1) assert.ok(renewed!["renew_resource_lease"]);
        const after = Number((await queue.sql.unsafe(resource))[0]!["seconds"]);
        assert.ok(after > given - 1 && after <= given, `${asked} renewed → ${after}`);
        assert.equal((await queue.sql.unsafe(resource))[0]!["holder"].length, 200);
        await queue.rpc("release_resource_lease", { resource: "r", slot: lease!["slot"], epoch: lease!["epoch"] });
      }
      assert.equal(
        (await queue.rpc("acquire_resource_lease", {
          resource: "x".repeat(300),
          holder: "h",
          slots: null,
          lease_seconds: 60,
        })).length,
        1,
      );
      assert.equal((await queue.rpc("acquire_resource_lease", { resource: "s", holder: "h", slots: 0 })).length, 1);
      await queue
        .sql`insert into keepstream.resource_leases select 'full', g, 'h', 0, now() + interval '1 hour' from generate_series(1, 1000) g`;
      assert.equal(
        (await queue.rpc("acquire_resource_lease", { resource: "full", holder: "h", slots: 1_000_000 })).length,
        0,
      );
      await queue.sql`delete from keepstream.resource_leases where resource = 'full' and slot = 1000`;
      assert.equal(
        (await queue.rpc("acquire_resource_lease", { resource: "full", holder: "h", slots: 1_000_000 }))[0]!["slot"],
        1000,
      );
    },
  },
  {
    name: "sweep rescues and notifies though it cannot clear up, and queue_counts says why until it can again",
    async run(queue) {
      // The last thing that is cleared up, so that the rest had been.
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
        // Something in its way for longer than the session's limit, while another sweep is at it: the same, but for the note.
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
    name: "sweep takes back a thousand copies at a time",
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
    name: "sweep drops resource leases an hour after they ran out",
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
    name: "queue_counts and the operator view count each job once, where it is",
    async run(queue) {
      await queue.archived();
      await queue.downloading();
      await queue.uploading();
      const late = await queue.downloading();
      await queue
        .sql`update public.video_queue set lease_expires_at = now() - interval '1 second' where id = ${late.id}`;
      const dead = await queue.downloading();
      await queue.update(dead, "failed", { error_class: "drm" });
      const delayed = await queue.downloading();
      await queue.update(delayed, "failed", { error_class: "network" });
      for (let n = 0; n < 3; n++) await queue.enqueue();
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const { oldest_due_at, notification, ...rest } = await counts(queue);
      assert.deepEqual(rest, {
        due: 3,
        delayed: 1,
        pending: 3,
        downloading: 2,
        uploading: 1,
        ready: 1,
        failed: 2,
        archived: 1,
        expired: 1,
        dead: 1,
        repairs: 1,
        sweep_age_seconds: null,
        clearing_error: null,
      });
      assert.match((notification as Row)["error"] as string, /Vault/);
      const [view] = await queue.database
        .serviceRole`select *, extract(epoch from oldest_due_at) as seconds from public.operator`;
      assert.equal(view!["due"], "3");
      assert.ok(oldest_due_at);
    },
  },
  {
    name: "queue_counts → the age of the last sweep",
    async run(queue) {
      await queue.rpc("sweep");
      await queue.sql`update keepstream.event_retention set swept_at = swept_at - interval '5 minutes' where true`;
      const age = (await counts(queue))["sweep_age_seconds"];
      assert.ok(typeof age === "number" && age >= 300 && age < 330, `${age}`);
      await queue.rpc("sweep");
      assert.ok((await counts(queue))["sweep_age_seconds"] as number < 30);
    },
  },
  {
    name: "ready and archived: any change of status or store row → exact counts",
    async run(queue) {
      const exact = async () => {
        const [real] = await queue.sql`
          select (select count(*)::int from public.video_queue where status = 'ready') as ready,
            (select count(*)::int from public.video_store) as archived`;
        const { ready, archived } = await counts(queue);
        assert.deepEqual({ ready, archived }, { ...real });
        return real!["ready"];
      };
      const { job } = await queue.archived({ mal_id: 1, episode: 1 });
      for (let n = 0; n < 3; n++) await queue.archived();
      assert.equal(await exact(), 4);
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      assert.equal(await exact(), 3);
      await queue.rpc("takedown", { mal_id: 55825, episode: 2 });
      await exact();
      await queue.sql`delete from public.video_queue where true`;
      assert.equal(await exact(), 0);
      await queue.archived();
      await queue.sql`truncate public.video_queue cascade`;
      assert.equal(await exact(), 0);
      await queue.archived();
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`delete from public.video_store where true`;
      assert.equal(await exact(), 1, "what is not committed is not counted");
      await slow`rollback`;
      assert.equal(await exact(), 1);
    },
  },
  {
    name: "sweep adds up what was counted, and the counts stay",
    async run(queue) {
      await queue.archived();
      await queue.sql`
        insert into keepstream.count_deltas (counted, delta)
        select c, 1 from generate_series(1, 120) n, (values ('ready'), ('archived')) k (c)`;
      await queue.rpc("sweep");
      assert.equal((await queue.sql`select from keepstream.count_deltas`).length, 2);
      const { ready, archived } = await counts(queue);
      assert.deepEqual([ready, archived], [121, 121]);
    },
  },
  {
    name: "counts walk indexes, never the queue table",
    async run(queue) {
      const sql = queue.connect("postgres");
      await sql`set enable_seqscan = off`;
      const plan = await sql`explain (format json) select * from public.operator`;
      const text = JSON.stringify(plan);
      assert.ok(!text.includes('"Seq Scan"'), text);
    },
  },
  {
    name: "sweep drops old events but keeps each job's last status, and looks at each once",
    async run(queue) {
      const job = await queue.downloading();
      await queue.update(job, "pending");
      const other = await queue.enqueue();
      assert.equal(await prune(queue), 0, "all are young");
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
    name: "sweep keeps a job's last status however old, whatever happened to others since; the last old event may go",
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
      assert.equal(await prune(queue), 1, "a source_added says nothing of the status");
      const kinds = await queue
        .sql`select kind from keepstream.events e join public.video_queue q on q.id = e.queue_id where q.mal_id = 1`;
      assert.deepEqual(kinds.map((row) => row["kind"]), ["enqueued"]);
    },
  },
  {
    name: "sweep prunes events a thousand at a time, and leaves it to another sweep that is at it",
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
    name: "sweep drops source lists, metadata and client limits that are past their time",
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
