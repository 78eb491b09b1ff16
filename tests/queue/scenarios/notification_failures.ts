/** A notification that cannot be sent neither fails nor delays an enqueue, and is reported. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { configure, notificationState, takeUnsent, unsent } from "../fixture/notifications.ts";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { outcome, type Row } from "../fixture/rpc.ts";

export const NOTIFICATION_FAILURES: readonly Scenario[] = [
  {
    name: "runner url, secret or pg_net broken → enqueued, recorded",
    async run(queue) {
      const note = async () => (await notificationState(queue))["last_error"] as string | null;
      assert.equal((await queue.enqueue())["status"], "pending");
      assert.match((await note())!, /runner_url or runner_webhook_secret is missing in Vault/);
      await configure(queue, "http://127.0.0.1:7860", null);
      await queue.enqueue();
      assert.match((await note())!, /Vault/);
      for (
        const bad of ["", "   ", "not a url", "ftp://a.test", "http://[", "javascript:alert(1)", "http://a b"]
      ) {
        await queue.reset();
        await configure(queue, bad);
        assert.equal((await queue.enqueue())["status"], "pending", bad);
        assert.equal(
          (await queue.rpc("enqueue_videos", {
            videos: [{ mal_id: 5, episode: 1, provider: "animasu", video_url: "https://a.test/" }],
          })).length,
          1,
        );
        assert.match((await note())!, bad.trim() === "" ? /Vault/ : /http\(s\)|URL/, bad);
        assert.equal((await unsent(queue.database.admin)).length, 0);
      }
      await queue.reset();
      await configure(queue, "http://127.0.0.1:7860", "whsec_not base64!");
      assert.equal((await queue.enqueue())["status"], "pending");
      assert.ok(await note());
      await queue.database.admin`alter schema net rename to net_away`;
      try {
        assert.equal((await queue.enqueue())["status"], "pending");
        assert.match((await note())!, /net|base64/);
      } finally {
        await queue.database.admin`alter schema net_away rename to net`;
      }
      await queue.reset();
      await configure(queue);
      await queue.enqueue();
      assert.equal(await note(), null, "cleared once one is sent");
    },
  },
  {
    name: "pg_net, Vault or state locked → enqueued in under 1 s",
    async run(queue) {
      const enqueues: Record<string, (sql: Sql, n: number) => PromiseLike<unknown>> = {
        enqueue_video: (sql, n) => sql`select public.enqueue_video(7, ${n}, 'animasu', 'https://a.test/')`,
        enqueue_videos: (sql, n) =>
          sql`select public.enqueue_videos((select jsonb_agg(jsonb_build_object('mal_id', ${n}::int, 'episode', e,
            'provider', 'animasu', 'video_url', 'https://a.test/')) from generate_series(1, 40) e))`,
        save_sources: (sql, n) =>
          sql`select public.save_sources(8, ${n},
            '{"animasu": {"state": "ok", "servers": [{"video_url": "https://a.test/"}]}}')`,
        "operator's retry": (sql) =>
          sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`,
        retry_videos: (sql) => sql`select public.retry_videos()`,
        claim: (sql) => sql`select * from public.claim_pending_videos(50)`,
        sweep: (sql) => sql`select public.sweep()`,
        counts: (sql) => sql`select public.queue_counts()`,
      };
      const locks = [
        "lock table net.http_request_queue in access exclusive mode",
        "lock table net.http_request_queue, net._http_response, vault.secrets in access exclusive mode",
        "lock table keepstream.notification_state in access exclusive mode",
        "select from keepstream.notification_state, keepstream.settings, keepstream.event_retention for update",
        "select pg_advisory_xact_lock(5531467712004901)",
        "lock table cron.job, keepstream.client_limits, keepstream.resource_leases in access exclusive mode",
      ];
      for (const [n, lock] of locks.entries()) {
        await queue.reset();
        await configure(queue);
        const dead = await queue.downloading();
        await queue.update(dead, "failed", { error_class: "drm" });
        await takeUnsent(queue);
        const holder = queue.connect("supabase_admin");
        const sql = queue.connect("service_role");
        await sql`set statement_timeout = '1s'`;
        await holder`begin`;
        await holder.unsafe(lock);
        for (const [name, call] of Object.entries(enqueues)) {
          await queue
            .sql`update public.video_queue set status = 'failed', attempts = max_attempts where status = 'pending'`;
          if (n < 2) await queue.travel(10); // otherwise one notification would stand for all of them
          assert.equal(await outcome(call(sql, n + 1)), "accepted", `${name} while: ${lock}`);
          if (n >= 2) continue; // notifications and their counts do not need this
          const error = (await notificationState(queue))["last_error"];
          assert.equal(error, "pg_net, Vault or the notification state is locked", "the reason is recorded");
        }
        await holder`rollback`;
        const [{ jobs } = {}] = await queue.sql`select count(*)::int as jobs from public.video_queue`;
        assert.equal(jobs, 43, "all were enqueued");
      }
    },
  },
  {
    name: "pg_net's queue locked → the counts name it",
    async run(queue) {
      await configure(queue);
      const holder = queue.connect("supabase_admin");
      await holder`begin`;
      await holder`lock table net.http_request_queue, net._http_response in access exclusive mode`;
      await queue.enqueue();
      const { notification } = (await queue.rpc<{ queue_counts: Row }>("queue_counts"))[0]!.queue_counts;
      assert.match((notification as Row)["error"] as string, /locked/);
      await holder`rollback`;
    },
  },
  {
    name: "pg_net broken in any way → enqueued, reported",
    async run(queue) {
      await configure(queue);
      const breaks: Record<string, RegExp> = {
        "alter extension pg_net drop function net.http_post; drop function net.http_post": /http_post.* does not exist/,
        "alter table net.http_request_queue rename to away": /does not exist/,
        "drop extension pg_net cascade": /does not exist/,
        "revoke all on all tables in schema net from public": /permission denied/,
        [
          `create or replace function net.http_post(url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
          timeout_milliseconds int default 5000) returns bigint language plpgsql as
          $$ begin assert false, 'down: https://a.test/?secret=1'; end $$`
        ]: /down: …/,
        [
          `create or replace function net.http_post(url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
          timeout_milliseconds int default 5000) returns bigint language plpgsql as
          $$ begin raise exception using errcode = 'query_canceled', message = 'x'; end $$`
        ]: /cancelled/,
      };
      for (const [statement, why] of Object.entries(breaks)) {
        const session = queue.connect("supabase_admin");
        await session`begin`;
        await session.unsafe(statement).simple();
        await session`set local role postgres`;
        await session`select public.enqueue_video(9, 1, 'animasu', 'https://a.test/')`;
        await session`select public.sweep()`;
        const [row] = await session`select public.queue_counts() -> 'notification' ->> 'error' as error`;
        assert.match(row!["error"], why, statement);
        await session`rollback`;
      }
    },
  },
  {
    name: "pg_net stuck → one request waits, reported",
    async run(queue) {
      await configure(queue);
      const notification = async () =>
        (await queue.rpc<{ queue_counts: Row }>("queue_counts"))[0]!.queue_counts["notification"] as Row | null;
      assert.equal(await notification(), null, "none was sent");
      for (let round = 0; round < 5; round++) {
        await queue.enqueue();
        await queue.rpc("sweep");
        await queue.claim(1, "poll");
        await queue.claim(50, "poll");
        await queue.enqueue();
        await queue.travel(31);
      }
      assert.equal((await unsent(queue.database.admin)).length, 1);
      assert.match((await notification())!["error"] as string, /pg_net has not sent it/);
      // The worker has taken the request, and its transaction is open while it sends: a new job
      // notifies again.
      const worker = queue.connect("supabase_admin");
      await worker`begin`;
      await worker`delete from net.http_request_queue where true`;
      await queue.claim(50);
      await queue.enqueue();
      assert.equal((await unsent(queue.database.admin)).length, 2);
      await worker`commit`;
      assert.equal((await takeUnsent(queue)).length, 1);
    },
  },
  {
    name: "unsent notification, open enqueue → notified again",
    async run(queue) {
      await configure(queue);
      await queue.enqueue();
      await queue.claim(50, "poll");
      await queue.travel(10);
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      assert.equal((await takeUnsent(queue)).length, 1, "no notification of its own");
      await queue.claim(50);
      assert.equal((await takeUnsent(queue)).length, 1);
      await slow`commit`;
    },
  },
  {
    name: "refused, timed out, failed → shown without a url",
    async run(queue) {
      await configure(queue);
      const shown = async () =>
        (await queue.rpc<{ queue_counts: Row }>("queue_counts"))[0]!.queue_counts["notification"] as Row;
      const respond = async (response: Row) => {
        await queue.travel(40);
        await queue.rpc("sweep");
        await takeUnsent(queue);
        await queue.database.admin`
          insert into net._http_response ${
          queue.database.admin({
            id: (await notificationState(queue))["request_id"],
            status_code: null,
            timed_out: false,
            error_msg: null,
            ...response,
          } as Row)
        }`;
        return await shown();
      };
      await queue.enqueue();
      const pending = await shown();
      assert.deepEqual([pending["status_code"], pending["error"]], [null, null]);
      const refused = await respond({ status_code: 401 });
      assert.equal(refused["status_code"], 401);
      assert.match(refused["error"] as string, /runner_webhook_secret/);
      assert.match((await respond({ status_code: 404 }))["error"] as string, /runner_url.*hf_token_worker/);
      assert.match((await respond({ status_code: 503 }))["error"] as string, /refused the notification/);
      assert.deepEqual((await respond({ status_code: 202 }))["error"], null);
      const late = await respond({ timed_out: true, error_msg: "Timeout of 5000 ms reached." });
      assert.equal(late["error"], "no response within 5 seconds");
      const lost = await respond({
        error_msg: "Could not resolve host: runner.example.test:8443 (https://u:p@a.test/x?y)",
      });
      assert.equal(lost["error"], "Could not resolve host: … (…");
      // pg_net deletes its responses, and the next notification has none yet.
      await queue.rpc("sweep");
      await queue.database.admin`delete from net._http_response where true`;
      assert.equal((await shown())["error"], "Could not resolve host: … (…");
    },
  },
];
