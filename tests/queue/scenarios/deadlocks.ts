/**
 * Whatever runs into whatever, nobody waits in a circle: pairs that once did, held apart by hand, and then every function that
 * writes, at random, on many connections. The orders that make it so are in docs/queue.md, "Leases".
 */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { brokenInvariants } from "../model/invariants.ts";
import { createRandom, type Random } from "../model/random.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, codeOf, outcome, type Row, rpc, SHA256 } from "../fixture/rpc.ts";

/** `first` and `second` in one transaction, with the call between them: what came of `second` and of the call. */
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

/** Refused, instead of waiting for ever, when it waits at all. */
async function impatient(queue: QueueFixture, role: "postgres" | "service_role" = "service_role"): Promise<Sql> {
  const sql = queue.connect(role);
  await sql`set lock_timeout = '2s'`;
  return sql;
}

/** An archive with a copy on each target: their ids, and the job. */
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
    name: "a last copy reported missing in the middle of a takedown → 404, no deadlock",
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
    name: "a repair that is completed in the middle of the loss of the last other copy → the archive stays, with it",
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
    name: "a repair that ran into the loss of its archive → 404",
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
    name: "plan_replica_repairs passes by an archive that is being changed, and waits for nobody",
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
    name: "a heartbeat of repairs passes by a copy that someone else holds: neither lost nor extended",
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
    name: "two provider lists that remove each other's entry, applied at once → one after the other",
    async run(queue) {
      const apply = (name: string) => (sql: Sql) =>
        sql`select public.apply_providers(${sql.json([ENTRY(name)])}, false)`;
      for (const order of [["animasu", "samehadaku"], ["samehadaku", "animasu"]] as const) {
        await apply(order[0])(queue.sql);
        await queue.sql`insert into public.providers (name, recipe, rights) values (${order[1]}, 'page', 'own work')`;
        // Holding the entry that its own list leaves out, the one waits for the entry that the other's leaves out.
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
    name: "a sweep ends no job that another transaction holds, and rescues on; the next sweep ends it",
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
      assert.equal(queue_counts!["clearing_error"], null, "it waited, and gave up");
      await other`rollback`;
      assert.equal((await queue.row(dying.id))["error_class"], "policy_denied");
      assert.equal((await queue.row(held["id"]))["status"], "pending");
      await queue.rpc("sweep");
      assert.equal((await queue.row(held["id"]))["error_class"], "policy_denied");
    },
  },
  {
    name: "two saves of the same providers in trouble, and well again → no deadlock",
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
    name: "a sweep drops what is old, and passes by what someone holds",
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
    name: "a takedown drops the cached lists before it locks a job; who drops an entry's lists waits for none of them",
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

export const STORM: readonly Scenario[] = [
  {
    name: "every function that writes, at random on 10 connections → no deadlock, invariants hold",
    run: storm,
  },
];

const PROVIDERS = ["animasu", "samehadaku", "own"];
const TARGETS = ["hf-1", "hf-2", "hf-3", "hf-4"];
const NOTHING: Row = { id: null, lease_token: null, mal_id: 1, episode: 1, provider: "animasu", resolution: null };
const CONNECTIONS = 10;
const TURNS = 250;

/** A few titles for many hands. What a call is refused with is its own affair, as long as it is no deadlock. */
async function storm(queue: QueueFixture): Promise<void> {
  const { database } = queue;
  await database.admin.unsafe(`alter database ${database.name} set deadlock_timeout = '20ms'`);
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  const outcomes = new Map<string, Set<string>>();
  const jobs: Row[] = [];
  const repairs: Row[] = [];

  async function client(number: number): Promise<void> {
    const random = createRandom(seed + number);
    const operations = createOperations(queue, { number, random, jobs, repairs });
    for (let turn = 0; turn < TURNS; turn++) {
      const name = random.pick(Object.keys(operations));
      const code = await outcome(operations[name]!());
      outcomes.set(code, (outcomes.get(code) ?? new Set()).add(name));
    }
  }

  try {
    await queue.rpc("apply_providers", { entries: DECLARED, dry_run: false });
    await Promise.all(Array.from({ length: CONNECTIONS }, (_, number) => client(number)));
  } finally {
    await database.admin.unsafe(`alter database ${database.name} reset deadlock_timeout`);
  }
  const unexpected = [...outcomes].filter(([code]) => !/^(accepted|PT4\d\d)$/.test(code));
  assert.deepEqual(unexpected.map(([code, names]) => [code, [...names]]), [], `seed ${seed}`);
  assert.deepEqual(await brokenInvariants(queue.sql), [], `seed ${seed}`);
  const rows = await queue.sql`select distinct kind from keepstream.events`;
  const missing = ["completed", "rescued", "taken_down", "rearchived", "replica_verified", "promoted", "source_added"]
    .filter((kind) => !rows.some((row) => row["kind"] === kind));
  assert.deepEqual(missing, [], `seed ${seed}: little happened`);
}

const DECLARED = [ENTRY("animasu"), ENTRY("samehadaku"), ENTRY("own")];

type Hands = {
  readonly number: number;
  readonly random: Random;
  /** What was claimed by anybody, for anybody to report on. */
  readonly jobs: Row[];
  readonly repairs: Row[];
};

function createOperations(queue: QueueFixture, { number, random, jobs, repairs }: Hands) {
  const sql = queue.connect("service_role");
  const operator = queue.connect("postgres");
  const { below, chance, pick } = random;
  const call = (name: string, args: Row = {}) => rpc(sql, name, args);
  const some = <T>(list: readonly T[]): T[] => list.filter(() => chance(0.5)).sort(() => below(3) - 1);
  const recent = (list: readonly Row[]) => pick([...list.slice(-8), NOTHING]);
  const leases = (list: readonly Row[]) => {
    const mine = some(list.slice(-40));
    return { ids: mine.map((one) => one["id"]), lease_tokens: mine.map((one) => one["lease_token"]) };
  };
  const episode = () => ({ mal_id: 1 + below(3), episode: 1 + below(4) });
  const video = () => ({
    ...episode(),
    provider: pick(PROVIDERS),
    video_url: `https://a.test/${below(40)}`,
    resolution: pick(["720p", null]),
  });
  const any = async (table: string): Promise<unknown> => {
    const [row] = await sql.unsafe(`select id from public.${table} order by md5(id::text || ${below(1e6)}) limit 1`);
    return row?.["id"] ?? crypto.randomUUID();
  };
  const list = () =>
    chance(0.5) ? { state: "ok", servers: [video(), video()] } : { state: "stale", code: pick(["timeout", "empty"]) };
  const lists = () => Object.fromEntries(some(PROVIDERS).map((name) => [name, list()]));
  const report = (job: Row, status: string, error_class?: string) =>
    call("update_video_queue_status", {
      id: job["id"],
      lease_token: job["lease_token"],
      status,
      error_class: error_class ?? null,
    });
  const archive = async (job: Row) => {
    await report(job, "uploading");
    const [copy] = archiveOf(job)["replicas"] as Row[];
    const more = some(TARGETS.slice(1)).map((target) =>
      chance(0.5)
        ? { ...copy, target, repo: `${target}/media` }
        : { target, repo: `${target}/media`, path: pathOf(job), state: "uploading" }
    );
    await call("upsert_video_store", archiveOf(job, { replicas: [copy, ...more] }));
  };
  // A path belongs to one episode, as in production: the invariants compare the two.
  const pathOf = (row: Row) => `${row["mal_id"]}/ep${row["episode"]}/x.mp4`;
  const claim = (limit: number) => async () => {
    jobs.push(...await call("claim_pending_videos", { limit, worker: `w${number}` }));
  };

  const operations: Record<string, () => Promise<unknown>> = {
    enqueue: () => call("enqueue_video", video()),
    enqueueBatch: () => call("enqueue_videos", { videos: [video(), video(), video(), video()] }),
    save: () => call("save_sources", { ...episode(), lists: lists() }),
    saveToo: () => call("save_sources", { ...episode(), lists: lists() }),
    read: () => call("read_episode", { ...episode(), client: pick(["a", "b"]), reader_seconds: 1, refresh: true }),
    claim: claim(4),
    claimOne: claim(1),
    archive: () => archive(recent(jobs)),
    archiveToo: () => archive(recent(jobs)),
    fail: () => report(recent(jobs), "failed", pick(["network", "source_expired", "drm", "unknown"])),
    release: () => report(recent(jobs), "pending"),
    beat: () => call("extend_video_lease", leases(jobs)),
    cancel: async () => call("cancel_video", { id: await any("video_queue") }),
    retry: async () =>
      call("retry_videos", chance(0.5) ? {} : { ids: [await any("video_queue"), await any("video_queue")] }),
    takedown: () => chance(0.4) ? call("takedown", chance(0.2) ? { mal_id: 1 + below(3) } : episode()) : call("sweep"),
    lift: async () => {
      for (const mal_id of [1, 2, 3]) {
        for (const episode of [null, 1, 2, 3, 4]) await call("lift_takedown", { mal_id, episode });
      }
    },
    plan: () => call("plan_replica_repairs", { targets: some(TARGETS) }),
    claimRepairs: async () => void repairs.push(...await call("claim_replica_repairs", { limit: 5 })),
    beatRepairs: () => call("extend_replica_lease", leases(repairs)),
    repair: () => {
      const copy = recent(repairs);
      const { id, lease_token, target } = copy;
      const what = { repo: `${target}/media`, path: pathOf(copy), sha256: SHA256, size_bytes: 4 };
      return call("complete_replica", { id, lease_token, state: pick(["verified", "failed", "pending"]), ...what });
    },
    promote: async () => call("promote_replica", { replica_id: await any("video_replicas") }),
    lose: async () => call("report_replica_missing", { replica_id: await any("video_replicas") }),
    confirm: async () => call("confirm_replica_missing", { replica_id: await any("video_replicas") }),
    find: async () =>
      call("report_replica_found", { replica_id: await any("video_replicas"), sha256: SHA256, size_bytes: 4 }),
    hash: async () =>
      call("record_replica_hash", { replica_id: await any("video_replicas"), sha256: SHA256, size_bytes: 4 }),
    slot: () => call("acquire_resource_lease", { resource: pick(["r", "s"]), holder: "h", slots: 3, lease_seconds: 1 }),
    sweep: () => call("sweep"),
    providers: () => call("apply_providers", { entries: chance(0.3) ? some(DECLARED) : DECLARED, dry_run: false }),
    declare: () => call("apply_providers", { entries: DECLARED.toReversed(), dry_run: false }),
    catalogue: () =>
      call("import_catalogue", {
        entries: some([1, 2, 3]).map((mal_id) => ({ mal_id, episode: 1, sources: [], rights: "mine" })),
        dry_run: false,
      }),
    mapping: () =>
      call("save_title_mapping", { mal_id: 1, provider: pick(PROVIDERS), mapping: {}, by_operator: chance(0.5) }),
    metadata: () => call("save_metadata", { key: pick(["a", "b"]), value: 1, ttl_seconds: -1 }),
    // An operator's own statements, on one row each.
    operator: async () => {
      const id = await any("video_queue") as string;
      await sql`
        update public.video_queue set status = 'pending', retry_count = 0 where id = ${id} and status <> 'pending'`;
    },
    rights: async () => {
      const recipe = pick(["page", "page", "catalogue"]);
      await sql`update public.providers set recipe = ${recipe} where name = ${pick(PROVIDERS)}`;
    },
    /** Leases run out, what waits falls due. */
    time: async () => {
      for (const table of ["video_queue", "video_replicas"]) {
        await operator.unsafe(
          `update public.${table} set lease_expires_at = lease_expires_at - interval '1 hour', run_at = run_at - interval '1 hour'
          where id = $1`,
          [await any(table) as string],
        );
      }
    },
  };
  return operations;
}
