/**
 * One queue, one number of clients, one round, in a separate process: prints { enqueue, finish } in jobs per second.
 * Example: `deno run -A bench/queue/variant.ts keepstream 4 500 postgres://…`
 */
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { PgBoss } from "pg-boss";
import createClient, { type Sql } from "postgres";

interface Queue {
  enqueue(n: number): Promise<unknown>;
  /** Takes and finishes jobs until there are none, and returns their number. `expected`: for queues that cannot tell when they are empty. */
  work(expected: number): Promise<number>;
  /** How many of `all` are finished, read from the tables. */
  finished(all: number): Promise<number>;
  close(): Promise<void>;
}

const [variant = "", clientsText = "1", jobsText = "100", url = ""] = Deno.args;
const clients = Number(clientsText);
const jobs = Number(jobsText);

const VARIANTS: Readonly<Record<string, () => Promise<Queue>>> = {
  keepstream: () => keepstream(finishWithArchive),
  "keepstream-release": () => keepstream(finishWithStatus),
  unfenced,
  bare,
  "pg-boss": pgBoss,
  "graphile-worker": graphileWorker,
};

/** Not timed, so that no figure includes a connection's first call (catalogue, plans): the same for every variant. */
const WARM_UP = clients * 10;

const queue = await VARIANTS[variant]!();
try {
  let next = 0;
  const enqueueUpTo = (last: number) =>
    Promise.all(Array.from({ length: clients }, async () => {
      while (next < last) await queue.enqueue(++next);
    }));
  await enqueueUpTo(WARM_UP);
  await queue.work(WARM_UP);
  const all = WARM_UP + jobs;
  const enqueue = await perSecond(async () => void await enqueueUpTo(all));
  let worked = 0;
  const finish = await perSecond(async () => {
    worked = await queue.work(jobs);
  });
  const finished = await queue.finished(all);
  if (worked !== jobs || finished !== all) {
    throw new Error(`${variant}: ${worked} worked of ${jobs}, ${finished} finished of ${all}`);
  }
  console.log(JSON.stringify({ enqueue, finish }));
} finally {
  await queue.close();
}
Deno.exit(0); // pg-boss and graphile-worker leave timers running

async function perSecond(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return Math.round(jobs / ((performance.now() - started) / 1000));
}

function pool(): Sql[] {
  return Array.from({ length: clients }, () => createClient(url, { max: 1, onnotice: () => {} }));
}

/** The same loop for each: one connection per client, one job at a time, until none is due. */
async function drain(connections: readonly Sql[], one: (sql: Sql) => Promise<boolean>): Promise<number> {
  let done = 0;
  await Promise.all(connections.map(async (sql) => {
    while (await one(sql)) done++;
  }));
  return done;
}

type Finish = (sql: Sql, job: { id: string; lease_token: string; mal_id: number; episode: number }) => Promise<unknown>;

async function keepstream(finish: Finish): Promise<Queue> {
  const connections = pool();
  let turn = 0;
  await connections[0]!`insert into public.providers (name, recipe, rights) values ('animasu', 'page', 'own work')`;
  return {
    enqueue: (n) =>
      connections[
        turn++ % clients
      ]!`select from public.enqueue_video(1, ${n}, 'animasu', ${`https://a.test/${n}.mp4`}, '720p')`,
    work: () =>
      drain(connections, async (sql) => {
        const [job] = await sql<{ id: string; lease_token: string; mal_id: number; episode: number }[]>`
          select id, lease_token, mal_id, episode from public.claim_pending_videos(1, 'bench', 120)`;
        if (!job) return false;
        await finish(sql, job);
        return true;
      }),
    async finished() {
      const [row] = await connections[0]!`
        select count(*)::int as n from public.video_queue where status = 'ready' or terminal_at is not null`;
      return row!["n"];
    },
    close: async () => void await Promise.all(connections.map((sql) => sql.end())),
  };
}

/** Two calls, like the others: claim, then one fenced write that ends the job. */
function finishWithStatus(sql: Sql, job: { id: string; lease_token: string }) {
  return sql`select from public.update_video_queue_status(${job.id}, 'failed', null, ${job.lease_token}, 'unsupported')`;
}

/** The calls of a runner: claim, uploading, and the archive with its copy. */
async function finishWithArchive(sql: Sql, job: { id: string; lease_token: string; mal_id: number; episode: number }) {
  await sql`select from public.update_video_queue_status(${job.id}, 'uploading', null, ${job.lease_token})`;
  await sql`select from public.upsert_video_store(${job.mal_id}, ${job.episode}, 'animasu', '720p', ${
    "ab".repeat(16)
  }, 1,
    'user/media', ${`1/ep${job.episode}/x.mp4`}, 'https://hub.test/x.mp4', null, ${job.lease_token}, ${
    "ab".repeat(32)
  }, 4, 1.5)`;
}

/**
 * An unfenced queue: the documented table with its unique key and a claim index, one function that claims and one that writes a status.
 * No token, event, backoff or second table. Called the same way as keepstream's functions.
 */
async function unfenced(): Promise<Queue> {
  const connections = pool();
  let turn = 0;
  await connections[0]!.unsafe(`
    create schema first_release;
    create table first_release.video_queue (
      id uuid primary key default gen_random_uuid(), mal_id int not null, episode int not null, provider varchar(20) not null,
      video_url text not null, resolution varchar(10), status text not null default 'pending', retry_count int not null default 0,
      error_message text, created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
      check (status in ('pending', 'downloading', 'uploading', 'ready', 'failed')),
      unique nulls not distinct (mal_id, episode, provider, resolution));
    create index on first_release.video_queue (created_at) where status = 'pending';
    create function first_release.enqueue_video(mal_id int, episode int, provider text, video_url text, resolution text)
    returns setof first_release.video_queue language plpgsql security definer set search_path = '' as $$
    begin
      return query insert into first_release.video_queue (mal_id, episode, provider, video_url, resolution)
      values (enqueue_video.mal_id, enqueue_video.episode, enqueue_video.provider, enqueue_video.video_url, enqueue_video.resolution)
      on conflict do nothing returning *;
    end $$;
    create function first_release.claim_pending_videos("limit" int)
    returns setof first_release.video_queue language plpgsql security definer set search_path = '' as $$
    begin
      return query update first_release.video_queue q set status = 'downloading', updated_at = now() where q.id = (
        select p.id from first_release.video_queue p where p.status = 'pending' order by p.created_at limit 1 for update skip locked
      ) returning *;
    end $$;
    create function first_release.update_video_queue_status(id uuid, status text, error text default null)
    returns first_release.video_queue language plpgsql security definer set search_path = '' as $$
    declare job first_release.video_queue;
    begin
      update first_release.video_queue q set status = update_video_queue_status.status, error_message = error, updated_at = now()
      where q.id = update_video_queue_status.id returning * into job;
      return job;
    end $$;`).simple();
  return {
    enqueue: (n) =>
      connections[
        turn++ % clients
      ]!`select from first_release.enqueue_video(1, ${n}, 'animasu', ${`https://a.test/${n}.mp4`}, '720p')`,
    work: () =>
      drain(connections, async (sql) => {
        const [job] = await sql`select id, mal_id, episode from first_release.claim_pending_videos(1)`;
        if (!job) return false;
        await sql`select from first_release.update_video_queue_status(${job["id"]}, 'ready')`;
        return true;
      }),
    async finished() {
      const [row] = await connections[0]!`
        select count(*)::int as n from first_release.video_queue where status = 'ready'`;
      return row!["n"];
    },
    close: async () => void await Promise.all(connections.map((sql) => sql.end())),
  };
}

/** The least a queue on Postgres does: two updates, no token, event, second table or function. */
async function bare(): Promise<Queue> {
  const connections = pool();
  let turn = 0;
  await connections[0]!.unsafe(`
    create table if not exists public.bare (id uuid primary key default gen_random_uuid(), n int unique, status text not null default 'pending', run_at timestamptz default now());
    create index if not exists bare_due on public.bare (run_at) where status = 'pending';`).simple();
  return {
    enqueue: (n) => connections[turn++ % clients]!`insert into public.bare (n) values (${n})`,
    work: () =>
      drain(connections, async (sql) => {
        const [job] = await sql`
          update public.bare set status = 'running' where id = (
            select id from public.bare where status = 'pending' and run_at <= now() order by run_at limit 1 for update skip locked
          ) returning id`;
        if (!job) return false;
        await sql`update public.bare set status = 'done' where id = ${job["id"]}`;
        return true;
      }),
    async finished() {
      const [row] = await connections[0]!`select count(*)::int as n from public.bare where status = 'done'`;
      return row!["n"];
    },
    close: async () => void await Promise.all(connections.map((sql) => sql.end())),
  };
}

async function pgBoss(): Promise<Queue> {
  const boss = new PgBoss({ connectionString: url, max: clients, supervise: false, schedule: false });
  boss.on("error", (error) => {
    throw error;
  });
  await boss.start();
  await boss.createQueue("bench");
  const sql = createClient(url, { max: 1, onnotice: () => {} });
  return {
    enqueue: (n) => boss.send("bench", { n }),
    async work() {
      let done = 0;
      await Promise.all(Array.from({ length: clients }, async () => {
        for (;;) {
          const [job] = await boss.fetch("bench");
          if (!job) return;
          await boss.complete("bench", job.id);
          done++;
        }
      }));
      return done;
    },
    async finished() {
      const [row] = await sql`select count(*)::int as n from pgboss.job where name = 'bench' and state = 'completed'`;
      return row!["n"];
    },
    async close() {
      await boss.stop({ graceful: false });
      await sql.end();
    },
  };
}

async function graphileWorker(): Promise<Queue> {
  const quiet = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ connectionString: url, logger: quiet, maxPoolSize: clients });
  await utils.migrate();
  const sql = createClient(url, { max: 1, onnotice: () => {} });
  return {
    enqueue: (n) => utils.addJob("bench", { n }),
    async work(expected) {
      let done = 0;
      const all = Promise.withResolvers<void>();
      const runner = await run({
        connectionString: url,
        concurrency: clients,
        maxPoolSize: clients + 2,
        pollInterval: 100,
        noHandleSignals: true,
        logger: quiet,
        taskList: { bench: () => {} },
      });
      // A job counts when its completion is written, not when its task returns.
      runner.events.on("job:complete", () => {
        if (++done === expected) all.resolve();
      });
      await all.promise;
      await runner.stop();
      return done;
    },
    async finished(all) {
      const [row] = await sql`select ${all} - count(*)::int as n from graphile_worker.jobs`;
      return row!["n"];
    },
    async close() {
      await utils.release();
      await sql.end();
    },
  };
}
