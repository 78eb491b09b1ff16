/**
 * One queue on one database, emptied between scenarios, with the few steps every scenario starts from.
 *
 * @example const job = await queue.uploading(); await queue.rpc("upsert_video_store", archiveOf(job));
 */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type { TestDatabase, TestRole } from "../../dev/testing/test_database.ts";
import { archiveOf, type Arguments, type ClaimedJob, outcome, type Row, rpc } from "./rpc.ts";

export interface Scenario {
  readonly name: string;
  run(queue: QueueFixture): Promise<void>;
}

export interface QueueFixture {
  readonly sql: Sql;
  readonly database: TestDatabase;
  /** One more connection, closed by the next reset. */
  connect(role: TestRole): Sql;
  rpc<T extends Row = Row>(name: string, args?: Arguments): Promise<T[]>;
  /** What the call is refused with, after making sure that a refusal changed nothing. */
  refusal(name: string, args: Arguments): Promise<string>;
  enqueue(overrides?: Arguments): Promise<Row>;
  claim(limit?: number, worker?: string): Promise<ClaimedJob[]>;
  claimOne(): Promise<ClaimedJob>;
  /** A new job that is claimed. */
  downloading(overrides?: Arguments): Promise<ClaimedJob>;
  uploading(overrides?: Arguments): Promise<ClaimedJob>;
  /** A new job, archived: its claim, its store row. */
  archived(overrides?: Arguments): Promise<{ job: ClaimedJob; store: Row }>;
  update(job: Row, status: string | null, more?: Arguments): Promise<Row>;
  row(id: unknown): Promise<Row>;
  /** Kinds of a job's events, oldest first. */
  events(id: unknown): Promise<string[]>;
  /** Lets time pass: everything the queue remembers becomes that much older. */
  travel(seconds: number): Promise<void>;
  /** Runs `first` in a transaction, has `second` run into it, commits; what came of the second. */
  collide(first: (sql: Sql) => PromiseLike<unknown>, second: () => Promise<unknown>): Promise<unknown>;
  /** Returns once so many statements wait for a lock. */
  untilWaiting(count: number): Promise<void>;
  /** Changes with every change of the queue. */
  digest(): Promise<string>;
  reset(): Promise<void>;
}

const EMPTY_ALL = [
  ...["video_replicas", "video_store", "video_candidates", "video_queue"].map((table) => `public.${table}`),
  ...["providers", "catalogue", "title_mappings", "metadata_cache"].map((table) => `public.${table}`),
  ...[
    "video_leases",
    "count_deltas",
    "obsolete_copies",
    "events",
    "takedowns",
    "takedown_leftovers",
    "storage_targets",
    "resource_leases",
    "source_lists",
    "source_reads",
    "provider_health",
    "client_limits",
  ]
    .map((table) => `keepstream.${table}`),
  ...["net.http_request_queue", "net._http_response", "vault.secrets"],
].map((table) => `delete from ${table} where true`).join("; ");

export function createQueueFixture(database: TestDatabase): QueueFixture {
  const { sql, serviceRole } = database;
  const connections: Sql[] = [];
  let episode = 0;

  const fixture: QueueFixture = {
    sql,
    database,
    connect(role) {
      const connection = database.connect(role, { max: 1 });
      connections.push(connection);
      return connection;
    },
    rpc: (name, args) => rpc(serviceRole, name, args),

    async refusal(name, args) {
      const before = await fixture.digest();
      const code = await outcome(fixture.rpc(name, args));
      if (code !== "accepted") {
        assert.equal(await fixture.digest(), before, `${name} was refused and changed something`);
      }
      return code;
    },

    async enqueue(overrides = {}) {
      const [job] = await fixture.rpc("enqueue_video", {
        mal_id: 55825,
        episode: ++episode,
        provider: "animasu",
        video_url: "https://a.test/v.mp4",
        resolution: "720p",
        ...overrides,
      });
      return job!;
    },
    claim: (limit = 1, worker = "runner-a") =>
      fixture.rpc<ClaimedJob>("claim_pending_videos", { limit, worker, lease_seconds: 120 }),
    async claimOne() {
      const [job] = await fixture.claim();
      assert.ok(job, "nothing to claim");
      return job;
    },
    async downloading(overrides) {
      const { id } = await fixture.enqueue(overrides);
      const job = await fixture.claimOne();
      assert.equal(job.id, id, "another job was due");
      return job;
    },
    async uploading(overrides) {
      const job = await fixture.downloading(overrides);
      await fixture.update(job, "uploading");
      return job;
    },
    async archived(overrides) {
      const job = await fixture.uploading(overrides);
      const [store] = await fixture.rpc("upsert_video_store", archiveOf(job));
      return { job, store: store! };
    },
    async update(job, status, more = {}) {
      const [row] = await fixture.rpc("update_video_queue_status", {
        id: job["id"],
        status,
        lease_token: job["lease_token"],
        ...more,
      });
      return row!;
    },
    async row(id) {
      const [row] = await sql<Row[]>`select * from public.video_queue where id = ${id as string}`;
      assert.ok(row, "the job is gone");
      return row;
    },
    async events(id) {
      const rows = await sql<{ kind: string }[]>`
        select kind from keepstream.events where queue_id = ${id as string} order by id`;
      return rows.map((row) => row.kind);
    },
    async travel(seconds) {
      await sql`
        update public.video_queue set run_at = run_at - make_interval(secs => ${seconds}),
          lease_expires_at = lease_expires_at - make_interval(secs => ${seconds}),
          revived_at = revived_at - make_interval(secs => ${seconds}) where true`;
      await sql`
        update public.video_replicas set run_at = run_at - make_interval(secs => ${seconds}),
          lease_expires_at = lease_expires_at - make_interval(secs => ${seconds}) where true`;
      await sql`
        update keepstream.notification_state set notified_at = notified_at - make_interval(secs => ${seconds}),
          failed_at = failed_at - make_interval(secs => ${seconds}) where true`;
      await sql`
        update keepstream.resource_leases set expires_at = expires_at - make_interval(secs => ${seconds}) where true`;
    },
    async collide(first, second) {
      const other = fixture.connect("postgres");
      await other`begin`;
      await first(other);
      const result = second().then((value) => value, (error) => error);
      await fixture.untilWaiting(1).catch(() => undefined); // some need not wait: what comes of it says whether they should have
      await other`commit`;
      return await result;
    },
    async untilWaiting(count) {
      for (let looks = 0; looks < 500; looks++) {
        const [row] = await database.admin`
          select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        if (row!["waiting"] >= count) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assert.fail(`${count} were to wait`);
    },
    async digest() {
      const [row] = await sql<{ digest: string }[]>`
        select md5(concat(
          (select string_agg(q::text, ';' order by q.id) from public.video_queue q),
          (select string_agg(c::text, ';' order by c.id) from public.video_candidates c),
          (select string_agg(s::text, ';' order by s.id) from public.video_store s),
          (select string_agg(r::text, ';' order by r.id) from public.video_replicas r),
          (select string_agg(l::text, ';' order by l.resource, l.slot) from keepstream.resource_leases l),
          (select string_agg(l::text, ';' order by l.provider) from keepstream.source_lists l),
          (select count(*) from keepstream.events)
        )) as digest`;
      return row!.digest;
    },
    async reset() {
      await Promise.all(connections.splice(0).map((connection) => connection.end({ timeout: 1 })));
      // Faster than truncate on tables of a few rows; triggers and foreign keys would only slow it down.
      await database.admin.begin(async (transaction) => {
        await transaction.unsafe(`set local session_replication_role = replica; ${EMPTY_ALL}`).simple();
      });
      await sql`
        insert into public.providers (name, recipe, rights) values ('animasu', 'page', 'own work'), ('samehadaku', 'page', 'own work')`;
      await sql`
        update keepstream.notification_state set notified_at = null, acked_at = null, request_id = null, sent_count = 0, failed_at = null, last_error = null,
          responded_at = null, status_code = null, response_error = null
        where true`;
      await sql`update keepstream.event_retention set pruned_through = 0, swept_at = null, failed_at = null, last_error = null where true`;
    },
  };
  return fixture;
}
