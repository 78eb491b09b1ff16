/** Every function that writes, at random, on many connections: no deadlock, and all invariants hold afterwards. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import { createRandom, type Random } from "../model/random.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome, type Row, rpc, SHA256 } from "../fixture/rpc.ts";

export const STORM: readonly Scenario[] = [
  {
    name: "10 connections: every writing function at random → no deadlock",
    run: storm,
  },
];

const PROVIDERS = ["animasu", "samehadaku", "own"];
const TARGETS = ["hf-1", "hf-2", "hf-3", "hf-4"];
const NOTHING: Row = { id: null, lease_token: null, mal_id: 1, episode: 1, provider: "animasu", resolution: null };
const CONNECTIONS = 10;
const TURNS = 250;

/** A few titles and many clients. A call may be refused with any code except that of a deadlock. */
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

const DECLARED = PROVIDERS.map((name) => ({ name, recipe: "page", rights: "own work" }));

interface Client {
  readonly number: number;
  readonly random: Random;
  /** Claimed by any client; any client may report on them. */
  readonly jobs: Row[];
  readonly repairs: Row[];
}

function createOperations(queue: QueueFixture, { number, random, jobs, repairs }: Client) {
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
    // An operator's UPDATE of one row.
    operator: async () => {
      const id = await any("video_queue") as string;
      await sql`
        update public.video_queue set status = 'pending', retry_count = 0 where id = ${id} and status <> 'pending'`;
    },
    rights: async () => {
      const recipe = pick(["page", "page", "catalogue"]);
      await sql`update public.providers set recipe = ${recipe} where name = ${pick(PROVIDERS)}`;
    },
    /** Leases expire, and waiting jobs become due. */
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
