/**
 * From an enqueue's commit to the claim that it causes: trigger → net worker → POST → claim. The net worker emulates pg_net with its
 * batches and pauses.
 */
import type { Sql } from "postgres";
import { startNetWorker } from "../../dev/emulators/supabase/net_worker.ts";
import type { TestDatabase } from "../../dev/testing/test_database.ts";

export interface WakeLatency {
  readonly idleMs: readonly number[];
  /** 30 enqueues a second, one claim per notification. */
  readonly loadMs: readonly number[];
}

export async function measureWake(database: TestDatabase): Promise<WakeLatency> {
  const { sql, serviceRole } = database;
  const claimed = new Map<string, number>();
  const worker = await startNetWorker({ databaseUrl: database.adminUrl });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    await request.body?.cancel();
    await claimAll(serviceRole, claimed);
    return new Response("{}");
  });
  try {
    await sql`insert into public.providers (name, recipe, rights) values ('animasu', 'page', 'own work')`;
    await sql`select vault.create_secret(${`http://127.0.0.1:${server.addr.port}`}, 'runner_url')`;
    await sql`select vault.create_secret('whsec_YmVuY2htYXJr', 'runner_webhook_secret')`;
    const idleMs = await enqueueEvery(serviceRole, claimed, {
      count: 15,
      episode: 1,
      pauseMs: () => 2500 + Math.random() * 500,
    });
    const loadMs = await enqueueEvery(serviceRole, claimed, { count: 300, episode: 2, pauseMs: () => 33 });
    return { idleMs, loadMs };
  } finally {
    await worker.stop();
    await server.shutdown();
  }
}

async function claimAll(sql: Sql, claimed: Map<string, number>): Promise<void> {
  const jobs = await sql<{ id: string }[]>`select id from public.claim_pending_videos(50, 'bench')`;
  for (const job of jobs) claimed.set(job.id, performance.now());
}

async function enqueueEvery(
  sql: Sql,
  claimed: ReadonlyMap<string, number>,
  options: { count: number; episode: number; pauseMs: () => number },
): Promise<number[]> {
  const committed = new Map<string, number>();
  for (let n = 1; n <= options.count; n++) {
    const [job] =
      await sql`select id from public.enqueue_video(${n}, ${options.episode}, 'animasu', ${`https://a.test/${n}`})`;
    committed.set(job!["id"], performance.now());
    await new Promise((resolve) => setTimeout(resolve, options.pauseMs()));
  }
  for (let waits = 0; waits < 100 && [...committed.keys()].some((id) => !claimed.has(id)); waits++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return [...committed].map(([id, at]) => {
    const seen = claimed.get(id);
    if (seen === undefined) throw new Error("a job was never claimed");
    return Number(Math.max(0, seen - at).toFixed(2));
  });
}
