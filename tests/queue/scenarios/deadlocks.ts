/** Pairs of calls that could deadlock, made to meet. The lock order is in the queue documentation. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, codeOf, outcome, type Row, rpc, SHA256 } from "../fixture/rpc.ts";

/**
 * Runs `first` and `second` in one transaction and `call` between them; returns the results of
 * `second` and `call`.
 */
async function cross(
  queue: QueueFixture,
  { first, call, second }: {
    first: (sql: Sql) => PromiseLike<unknown>;
    call: () => Promise<unknown>;
    second: (sql: Sql) => PromiseLike<unknown>;
  },
): Promise<readonly [string, string]> {
  const other = queue.connect("postgres");
  await other`begin`;
  await first(other);
  const called = outcome(call());
  await Promise.race([called, queue.untilWaiting(1)]);
  const crossed = await outcome(second(other));
  if (crossed === "accepted") await other`commit`;
  else await other`rollback`;
  return [crossed, await called];
}

/** A connection whose statements fail instead of waiting for locks. */
async function impatient(queue: QueueFixture, role: "postgres" | "service_role" = "service_role"): Promise<Sql> {
  const sql = queue.connect(role);
  await sql`set lock_timeout = '2s'`;
  return sql;
}

/** An archive with a copy on each target: the job, the store row and the ids of the copies. */
async function copies(queue: QueueFixture, targets: readonly string[], overrides: Row = {}) {
  const job = await queue.uploading(overrides);
  const [copy] = archiveOf(job)["replicas"] as Row[];
  const replicas = targets.map((target) => ({ ...copy, target, repo: `${target}/media` }));
  const [store] = await queue.rpc(
    "upsert_video_store",
    archiveOf(job, { hf_repo: `${targets[0]}/media`, replicas }),
  );
  const rows = await queue.sql<{ id: string; target: string }[]>`
    select id, target from public.video_replicas where store_id = ${store!["id"] as string}`;
  return { job, store: store!, id: (target: string) => rows.find((row) => row.target === target)!.id };
}

const ENTRY = (name: string, rights: string | null = "own work") => ({ name, recipe: "page", rights });

export const DEADLOCKS: readonly Scenario[] = [
  {
    name: "last copy reported missing during a takedown → 404, no deadlock",
    async run(queue) {
      const archive = await copies(queue, ["hf-1"], { mal_id: 1, episode: 1 });
      const result = await cross(queue, {
        first: (sql) => sql`select from public.video_queue where id = ${archive.job.id} for update`,
        call: () => queue.rpc("report_replica_missing", { replica_id: archive.id("hf-1") }),
        second: (sql) => sql`select public.takedown(1)`,
      });
      assert.deepEqual(result, ["accepted", "PT404"]);
      assert.equal((await queue.sql`select from public.video_store`).length, 0);
    },
  },
  {
    name: "repair completed while the last other copy is lost → archive stays",
    async run(queue) {
      const archive = await copies(queue, ["hf-1"]);
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const [repair] = await queue.rpc("claim_replica_repairs", { limit: 1 });
      const complete = (sql: Sql) =>
        sql`select public.complete_replica(${repair!["id"] as string}, ${repair!["lease_token"] as string}, 'verified',
          'hf-2/media', ${repair!["path"] as string ?? "x.mp4"}, sha256 => ${SHA256}, size_bytes => 4)`;
      const report = () => queue.rpc("report_replica_missing", { replica_id: archive.id("hf-1") });
      const [missing] = await queue.collide(complete, report) as Row[];
      assert.equal(missing!["state"], "missing");
      assert.equal((await queue.row(archive.job.id))["status"], "ready");
      const [served] = await queue.sql`select hf_repo from public.video_store`;
      assert.equal(served!["hf_repo"], "hf-2/media");
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "repair: its archive is lost meanwhile → 404",
    async run(queue) {
      const archive = await copies(queue, ["hf-1"]);
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const [repair] = await queue.rpc("claim_replica_repairs", { limit: 1 });
      await queue.rpc("report_replica_missing", { replica_id: archive.id("hf-1") });
      const late = await queue.collide(
        (sql) => sql`select public.confirm_replica_missing(${archive.id("hf-1")})`,
        () =>
          queue.rpc("complete_replica", {
            id: repair!["id"],
            lease_token: repair!["lease_token"],
            sha256: SHA256,
            size_bytes: 4,
            repo: "hf-2/media",
            path: "x.mp4",
          }),
      );
      assert.equal(codeOf(late), "PT404");
      assert.equal((await queue.row(archive.job.id))["status"], "pending");
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "plan_replica_repairs: an archive is locked → skipped, no wait",
    async run(queue) {
      const one = await copies(queue, ["hf-1"]);
      const two = await copies(queue, ["hf-1"]);
      for (const [held, free] of [[one, two], [two, one]] as const) {
        const other = queue.connect("postgres");
        await other`begin`;
        await other`select from public.video_store where id = ${held.store["id"] as string} for update`;
        const [planned] = await rpc(await impatient(queue), "plan_replica_repairs", { targets: ["hf-2"] });
        assert.equal(planned!["plan_replica_repairs"], 1);
        await other`rollback`;
        const rows = await queue.sql`select store_id from public.video_replicas where target = 'hf-2'`;
        assert.deepEqual(rows.map((row) => row["store_id"]), [free.store["id"]]);
        await queue.sql`delete from public.video_replicas where target = 'hf-2'`;
      }
    },
  },
  {
    name: "extend_replica_lease: a copy is locked → neither lost nor extended",
    async run(queue) {
      await copies(queue, ["hf-1"]);
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2", "hf-3"] });
      const repairs = await queue.rpc("claim_replica_repairs", { limit: 2, lease_seconds: 60 });
      const sql = await impatient(queue);
      const beat = () =>
        rpc(sql, "extend_replica_lease", {
          ids: repairs.map((repair) => repair["id"]),
          lease_tokens: repairs.map((repair) => repair["lease_token"]),
          lease_seconds: 600,
        });
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from public.video_replicas where id = ${repairs[1]!["id"] as string} for update`;
      const rows = await beat();
      await other`rollback`;
      assert.deepEqual(rows.map((row) => row["lost"]), [false, false]);
      assert.deepEqual(rows[1]!["lease_expires_at"], repairs[1]!["lease_expires_at"]);
      assert.ok(rows[0]!["lease_expires_at"]! > repairs[0]!["lease_expires_at"]!);
      const again = await beat();
      assert.ok(again[1]!["lease_expires_at"]! > repairs[1]!["lease_expires_at"]!);
    },
  },
  {
    name: "apply_providers: two lists at once → one after the other",
    async run(queue) {
      const apply = (name: string) => (sql: Sql) =>
        sql`select public.apply_providers(${sql.json([ENTRY(name)])}, false)`;
      for (const order of [["animasu", "samehadaku"], ["samehadaku", "animasu"]] as const) {
        await apply(order[0])(queue.sql);
        await queue.sql`insert into public.providers (name, recipe, rights) values (${order[1]}, 'page', 'own work')`;
        // Each call holds the entry that its list leaves out and waits for the other's.
        const result = await cross(queue, {
          first: (sql) => sql`update public.providers set position = 7 where name = ${order[0]}`,
          call: () => queue.rpc("apply_providers", { entries: [ENTRY(order[0])], dry_run: false }),
          second: (sql) => sql`update public.providers set position = 7 where name = ${order[1]}`,
        });
        assert.deepEqual(result, ["accepted", "accepted"]);
      }
    },
  },
  {
    name: "sweep: a job is locked → skipped; the next sweep ends it",
    async run(queue) {
      const held = await queue.enqueue();
      const dying = await queue.downloading({ priority: 0 });
      await queue.travel(121);
      await queue.sql`update public.providers set rights = null where true`;
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from public.video_queue where id = ${held["id"] as string} for update`;
      const [{ sweep } = {}] = await rpc<{ sweep: Row }>(await impatient(queue), "sweep");
      assert.equal(sweep!["rescued"], 1);
      const [{ queue_counts } = {}] = await queue.rpc<{ queue_counts: Row }>("queue_counts");
      assert.equal(queue_counts!["clearing_error"], null, "it waited for the lock");
      await other`rollback`;
      assert.equal((await queue.row(dying.id))["error_class"], "policy_denied");
      assert.equal((await queue.row(held["id"]))["status"], "pending");
      await queue.rpc("sweep");
      assert.equal((await queue.row(held["id"]))["error_class"], "policy_denied");
    },
  },
  {
    name: "save_sources: open and closed circuits at once → no deadlock",
    async run(queue) {
      const list = (states: Record<string, string>, episode: number) => ({
        mal_id: 1,
        episode,
        lists: Object.fromEntries(
          Object.entries(states).map((
            [name, state],
          ) => [name, state === "ok" ? { state } : { state, code: "timeout" }]),
        ),
      });
      await queue.rpc("save_sources", list({ animasu: "stale", samehadaku: "stale" }, 1));
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from keepstream.provider_health where provider = 'animasu' for update`;
      const one = outcome(queue.rpc("save_sources", list({ animasu: "ok", samehadaku: "stale" }, 2)));
      await queue.untilWaiting(1);
      const free = await outcome(
        other`select from keepstream.provider_health where provider = 'samehadaku' for update nowait`,
      );
      await other`rollback`;
      assert.deepEqual([free, await one], ["accepted", "accepted"], "the second is locked before the first");
      const left = await queue.sql`select provider, failures from keepstream.provider_health`;
      assert.deepEqual(left.map((row) => ({ ...row })), [{ provider: "samehadaku", failures: 2 }]);
    },
  },
  {
    name: "sweep: old rows are locked → skipped",
    async run(queue) {
      await queue.rpc("save_sources", {
        mal_id: 1,
        episode: 1,
        lists: { old: { state: "ok" }, held: { state: "ok" } },
      });
      await queue.sql`update keepstream.source_lists set fetched_at = now() - interval '8 days' where true`;
      for (const provider of ["old", "held"]) {
        await queue.rpc("save_title_mapping", { mal_id: 1, provider, mapping: {}, ttl_seconds: -1 });
        await queue.rpc("save_metadata", { key: provider, value: 1, ttl_seconds: -1 });
        await queue.sql`insert into keepstream.source_reads values (${provider}, 1, 1, now() - interval '1 minute')`;
        await queue.sql`insert into keepstream.client_limits values (${provider}, now() - interval '1 minute')`;
        await queue
          .sql`insert into keepstream.resource_leases values (${provider}, 1, 'h', 0, now() - interval '2 hours')`;
      }
      const tables = {
        "keepstream.source_lists": "provider",
        "public.title_mappings": "provider",
        "public.metadata_cache": "key",
        "keepstream.source_reads": "provider",
        "keepstream.client_limits": "client",
        "keepstream.resource_leases": "resource",
      };
      const other = queue.connect("postgres");
      await other`begin`;
      for (const [table, column] of Object.entries(tables)) {
        await other.unsafe(`select from ${table} where ${column} = 'held' for update`);
      }
      await rpc(await impatient(queue), "sweep");
      await other`rollback`;
      for (const [table, column] of Object.entries(tables)) {
        const rows = await queue.sql.unsafe(`select ${column} as name from ${table}`);
        assert.deepEqual(rows.map((row) => row["name"]), ["held"], table);
      }
    },
  },
  {
    name: "takedown: lists before jobs; invalidation waits for no list",
    async run(queue) {
      const job = await queue.enqueue({ mal_id: 1, episode: 1 });
      await queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { animasu: { state: "ok" } } });
      const result = await cross(queue, {
        first: (sql) => sql`select from keepstream.source_lists for update`,
        call: () => queue.rpc("takedown", { mal_id: 1 }),
        second: (sql) => sql`select from public.video_queue where id = ${job["id"] as string} for update nowait`,
      });
      assert.deepEqual(result, ["accepted", "accepted"]);
      await queue.rpc("lift_takedown", { mal_id: 1 });
      await queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { animasu: { state: "ok" } } });
      await queue.sql`insert into keepstream.provider_health values ('animasu', 'timeout', 3, now(), now())`;
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from keepstream.source_lists for update`;
      await other`select from keepstream.provider_health for update`;
      const operator = await impatient(queue, "postgres");
      await operator`update public.providers set base_url = 'https://new.test/' where name = 'animasu'`;
      await operator`select public.save_title_mapping(1, 'animasu', '{}', by_operator => true)`;
      await other`rollback`;
    },
  },
];
