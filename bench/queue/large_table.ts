/** Costs of a claim, a heartbeat, a sweep and the operator view with a million finished videos. */
import type { Sql } from "postgres";
import type { TestDatabase } from "../../dev/testing/test_database.ts";

const FINISHED = 1_000_000;

export interface ClaimCost {
  readonly due: number;
  /** Shared buffers to find and lock the next job. */
  readonly lookupBuffers: readonly number[];
  /** Shared buffers of the whole call: lookup, row, event. No other job is leased. */
  readonly callBuffers: readonly number[];
  /** The same while eight other jobs are leased, which the lookup skips. */
  readonly callBuffersWith8Held: readonly number[];
  readonly callMs: readonly number[];
}

export interface LargeTable {
  readonly finished: number;
  readonly claims: readonly ClaimCost[];
  readonly heartbeats: {
    readonly updates: number;
    readonly hot: number;
    readonly ratio: number;
    readonly batchOf50Ms: readonly number[];
  };
  readonly sweepMs: readonly number[];
  readonly sweepReaping50Ms: readonly number[];
  readonly operatorViewMs: readonly number[];
}

export async function measureLargeTable(database: TestDatabase, log: (line: string) => void): Promise<LargeTable> {
  const { admin, serviceRole } = database;
  log(`filling ${FINISHED} finished videos`);
  await fill(admin);
  const claims: ClaimCost[] = [];
  let due = 0;
  for (const wanted of [1_000, 100_000]) {
    await addDue(admin, { from: due, to: wanted });
    due = wanted;
    log(`claims with ${due} due`);
    claims.push(await measureClaims(database, due));
  }
  log("heartbeats, sweeps, counts");
  const heartbeats = await measureHeartbeats(database);
  const sweepMs = await times(30, () => serviceRole`select public.sweep()`);
  const sweepReaping50Ms: number[] = [];
  for (let round = 0; round < 5; round++) {
    await serviceRole`select count(*) from public.claim_pending_videos(50, 'bench')`;
    await admin`update public.video_queue set lease_expires_at = now() - interval '1 second' where lease_token is not null`;
    sweepReaping50Ms.push(...await times(1, () => serviceRole`select public.sweep()`));
  }
  const operatorViewMs = await times(5, () => serviceRole`select * from public.operator`);
  return { finished: FINISHED, claims, heartbeats, sweepMs, sweepReaping50Ms, operatorViewMs };
}

/** Rows of finished jobs: ready, with candidate, events and store row. Triggers are off: a minute instead of an hour. */
async function fill(admin: Sql): Promise<void> {
  await admin.begin(async (sql) => {
    await sql`set local session_replication_role = replica`;
    await sql`insert into public.providers (name, recipe, base_url, rights) values ('animasu', 'select-base64', 'https://a.test', 'own work')
      on conflict (name) do update set rights = excluded.rights, enabled = true`;
    await sql`update keepstream.rights_review set changed_at = now() - interval '1 hour'`;
    await sql`
      insert into public.video_queue (mal_id, episode, provider, resolution, video_url, status, applied_status, attempts, lease_epoch, finished_at, run_at)
      select 1 + n / 500, 1 + n % 500, 'animasu', '720p', 'https://a.test/' || n, 'ready', 'ready', 1, 1, now(), now() - interval '1 day'
      from generate_series(0, ${FINISHED - 1}) n`;
    await sql`
      insert into public.video_store (mal_id, episode, provider, resolution, file_key, hf_account, hf_repo, hf_path, hf_direct_url, queue_id, lease_token, sha256, size_bytes)
      select q.mal_id, q.episode, q.provider, q.resolution, md5(q.id::text), 1, 'user/media', '1/x.mp4', 'https://hub.test/x.mp4', q.id, gen_random_uuid(), md5(q.id::text) || md5(q.id::text), 4
      from public.video_queue q`;
    await sql`insert into public.video_candidates (queue_id, rank, video_url) select id, 0, video_url from public.video_queue`;
    await sql`
      with claimed as (
        insert into keepstream.events (queue_id, kind, to_status, lease_epoch)
        select id, 'claimed', 'downloading', 1 from public.video_queue returning id, queue_id
      ) insert into keepstream.events (queue_id, kind, to_status, lease_epoch, previous)
      select queue_id, 'completed', 'ready', 1, id from claimed`;
  });
  await admin`vacuum (analyze) public.video_candidates`;
  await admin`vacuum (analyze) keepstream.events`;
  await admin`vacuum (analyze) public.video_queue`;
  await admin`vacuum (analyze) public.video_store`;
}

async function addDue(admin: Sql, range: { from: number; to: number }): Promise<void> {
  await admin.begin(async (sql) => {
    await sql`set local session_replication_role = replica`;
    await sql`
      with added as (
        insert into public.video_queue (mal_id, episode, provider, resolution, video_url, run_at, candidates)
        select 1000000 + n, 1, 'animasu', '720p', 'https://a.test/' || n, now() - make_interval(secs => ${range.to} - n), jsonb_build_array(
          jsonb_build_object('id', gen_random_uuid(), 'rank', 0, 'embed_url', null, 'video_url', 'https://a.test/' || n, 'kind', null,
            'headers', '{}'::jsonb, 'expires_at', null, 'fails', 0))
        from generate_series(${range.from}::int, ${range.to - 1}::int) n returning id, video_url
      ) insert into public.video_candidates (queue_id, rank, video_url) select id, 0, video_url from added`;
  });
}

/** Finishes jobs as they are claimed, so that exactly the given number is leased. */
async function measureClaims({ sql, admin, serviceRole }: TestDatabase, due: number): Promise<ClaimCost> {
  const finish = () =>
    sql`
      select public.update_video_queue_status(q.id, 'failed', null, q.lease_token, 'unsupported') from public.video_queue q
      where q.id = any (array(select l.id from public.leased_videos() l where l.lease_owner = 'bench'))`;
  const claim = (worker = "bench") => serviceRole`select * from public.claim_pending_videos(1, ${worker})`;
  const settle = async () => {
    for (let sweep = 0; sweep < 2; sweep++) await serviceRole`select public.sweep()`; // move past what the bulk insert left
    await admin`vacuum (analyze, index_cleanup on) public.video_queue`;
    await times(20, () => claim().then(finish)); // warm up plans and catalogue
  };
  const callBuffers: number[] = [];
  const callBuffersWith8Held: number[] = [];
  const lookupBuffers: number[] = [];
  const measure = async (into: number[]) => {
    for (let n = 0; n < 40; n++) {
      lookupBuffers.push(await buffers(sql, LOOKUP));
      into.push(await buffers(sql, "select * from public.claim_pending_videos(1, 'bench')"));
      await finish();
    }
  };
  await settle();
  await measure(callBuffers);
  const callMs: number[] = [];
  for (let n = 0; n < 200; n++) {
    callMs.push(...await times(1, () => claim()));
    await finish();
  }
  await settle();
  const lookups = lookupBuffers.length;
  for (let n = 0; n < 8; n++) await claim("another");
  await measure(callBuffersWith8Held);
  await sql`update public.video_queue set status = 'failed', terminal_at = now() where lease_token is not null`;
  return { due, lookupBuffers: lookupBuffers.slice(0, lookups), callBuffers, callBuffersWith8Held, callMs };
}

/** The `due` part of claim_pending_videos for one job. */
const LOOKUP = `
  select q.ctid as place from public.video_queue q
  where q.finished_at is null and q.run_at <= clock_timestamp() and q.lease_token is null
  order by q.priority, q.run_at, q.id limit 1 for update skip locked`;

async function buffers(sql: Sql, query: string): Promise<number> {
  const text = query.replace("clock_timestamp()", "now()");
  const [row] = await sql.unsafe(`explain (analyze, buffers, format json) ${text}`);
  const plan = row!["QUERY PLAN"][0]["Plan"];
  return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
}

async function measureHeartbeats({ sql, serviceRole }: TestDatabase): Promise<LargeTable["heartbeats"]> {
  const jobs = await serviceRole<{ id: string; lease_token: string }[]>`
    select id, lease_token from public.claim_pending_videos(50, 'bench', 3600)`;
  const ids = jobs.map((job) => job.id);
  const tokens = jobs.map((job) => job.lease_token);
  const before = await updates(sql);
  const batchOf50Ms = await times(200, (n) => {
    const progress = Object.fromEntries(
      ids.map((id) => [id, { phase: "download", bytes_done: n * 1_000_000, bytes_total: 1e9 }]),
    );
    return serviceRole`select * from public.extend_video_lease(${ids}::uuid[], ${tokens}::uuid[], 120, ${
      serviceRole.json(progress)
    })`;
  });
  await serviceRole`select pg_stat_force_next_flush()`;
  await serviceRole`select 1`;
  const after = await updates(sql);
  const all = after.updates - before.updates;
  const hot = after.hot - before.hot;
  return { updates: all, hot, ratio: Number((hot / all).toFixed(4)), batchOf50Ms };
}

async function updates(sql: Sql): Promise<{ updates: number; hot: number }> {
  await sql`select pg_stat_clear_snapshot()`;
  const [row] = await sql`
    select n_tup_upd::int as updates, n_tup_hot_upd::int as hot from pg_stat_user_tables where relid = 'public.video_queue'::regclass`;
  return { updates: row!["updates"], hot: row!["hot"] };
}

async function times(rounds: number, run: (round: number) => PromiseLike<unknown>): Promise<number[]> {
  const measured: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await run(round);
    measured.push(Number((performance.now() - started).toFixed(3)));
  }
  return measured;
}
