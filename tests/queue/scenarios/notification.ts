/** The notification: sent once per burst, signed, never in the way of an enqueue, repeated until a claim acknowledges it. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { Webhook } from "standardwebhooks";
import { verifyWebhook } from "../../../core/webhook.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { outcome, type Row } from "../fixture/rpc.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async function configure(
  queue: QueueFixture,
  runner_url: string | null = "http://127.0.0.1:7860/",
  secret: string | null = SECRET,
) {
  if (runner_url !== null) await queue.sql`select vault.create_secret(${runner_url}, 'runner_url')`;
  if (secret !== null) await queue.sql`select vault.create_secret(${secret}, 'runner_webhook_secret')`;
}

interface SentWake {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly timeout_milliseconds: number;
}

const sent = (sql: Sql) =>
  sql<SentWake[]>`
    select url, headers, convert_from(body, 'UTF8') as body, timeout_milliseconds from net.http_request_queue order by id`;

/** What is to be sent, as pg_net takes it: from then on it is under way. */
const send = (queue: QueueFixture) =>
  queue.database.admin<SentWake[]>`
    with taken as (delete from net.http_request_queue where true returning *)
    select id, url, headers, convert_from(body, 'UTF8') as body, timeout_milliseconds from taken order by id`;

async function notificationState(queue: QueueFixture): Promise<Row> {
  const [row] = await queue.sql<Row[]>`select * from keepstream.notification_state`;
  return row!;
}

export const NOTIFICATION: readonly Scenario[] = [
  {
    name: "sign_webhook equals the specification's own test vector, and the reference library for other secrets",
    async run(queue) {
      const body = '{"test": 2432232314}';
      const sign = async (secret: string) => {
        const [row] = await queue
          .sql`select keepstream.sign_webhook('msg_p5jXN8AQM9LWM0D4loKWxJek', to_timestamp(1614265330), ${body}, ${secret}) as signature`;
        return row!["signature"];
      };
      assert.equal(await sign(SECRET), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
      const plain = "an operator's own words";
      // The reference takes a raw secret's characters as bytes, which is UTF-8 for these.
      const reference = new Webhook(plain, { format: "raw" });
      assert.equal(
        await sign(plain),
        reference.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", new Date(1614265330 * 1000), body),
      );
    },
  },
  {
    name:
      "an enqueue → one POST to runner_url/trigger that core/webhook.ts verifies, without job, address or bearer in it",
    async run(queue) {
      await configure(queue);
      const job = await queue.enqueue();
      const [notification, ...rest] = await sent(queue.database.admin);
      assert.equal(rest.length, 0);
      assert.equal(notification!.url, "http://127.0.0.1:7860/trigger");
      assert.equal(notification!.timeout_milliseconds, 5000);
      assert.equal(notification!.headers["content-type"], "application/json");
      const verified = await verifyWebhook(
        {
          headers: {
            id: notification!.headers["webhook-id"]!,
            timestamp: notification!.headers["webhook-timestamp"]!,
            signature: notification!.headers["webhook-signature"]!,
          },
          body: notification!.body,
        },
        { secrets: [SECRET], now: Date.now() / 1000 },
      );
      assert.ok(verified.ok, JSON.stringify(verified));
      assert.match(verified.value.id, /^msg_[0-9a-f]{32}$/);
      const whole = JSON.stringify(notification);
      for (const secret of [SECRET, SECRET.slice(6), job["id"] as string, "a.test", "earer"]) {
        assert.ok(!whole.includes(secret), secret);
      }
      const body = JSON.parse(notification!.body);
      assert.deepEqual(Object.keys(body).sort(), ["timestamp", "type"]);
      assert.equal(body.type, "video_queue.waiting");
      const state = await notificationState(queue);
      assert.deepEqual([state["sent_count"], state["acked_at"], state["last_error"]], ["1", null, null]);
      const [request] = await queue.database.admin`select id from net.http_request_queue`;
      assert.equal(state["request_id"], request!["id"]);
    },
  },
  {
    name: "a burst → one POST; after a claim, or five seconds, the next enqueue sends another",
    async run(queue) {
      await configure(queue);
      for (let n = 0; n < 5; n++) await queue.enqueue();
      await queue.rpc("enqueue_videos", {
        videos: [1, 2, 3].map((episode) => ({ mal_id: 5, episode, provider: "animasu", video_url: "https://a.test/" })),
      });
      assert.equal((await send(queue)).length, 1);
      await queue.claim(8);
      assert.equal((await notificationState(queue))["acked_at"], null, "a claim that got all it asked for comes again");
      await queue.claim();
      assert.ok((await notificationState(queue))["acked_at"]);
      await queue.enqueue();
      assert.equal((await send(queue)).length, 1);
      await queue.enqueue();
      assert.equal((await send(queue)).length, 0);
      await queue.travel(4);
      await queue.enqueue();
      assert.equal((await send(queue)).length, 0);
      await queue.travel(2);
      await queue.enqueue();
      assert.equal((await send(queue)).length, 1, "nobody answered for five seconds");
      assert.equal((await notificationState(queue))["sent_count"], "3");
    },
  },
  {
    name: "an enqueue of what is known sends nothing; a revival, an operator's retry and a re-archive do",
    async run(queue) {
      const job = await queue.downloading({ episode: 1 });
      await queue.update(job, "failed", { error_class: "drm" });
      const { job: archived } = await queue.archived({ episode: 2 });
      await configure(queue);
      await queue.enqueue({ episode: 1 });
      await queue.enqueue({ episode: 2 });
      await queue.rpc("claim_pending_videos", { limit: 1 });
      assert.equal((await send(queue)).length, 0);
      await queue.enqueue({ episode: 1, video_url: "https://b.test/v.mp4" });
      assert.equal((await send(queue)).length, 1);
      await queue.travel(6);
      await queue.sql`update public.video_queue set status = 'pending' where id = ${archived.id}`;
      assert.equal((await send(queue)).length, 1);
      const again = await queue.claim(5);
      for (const claimed of again) await queue.update(claimed, "failed", { error_class: "network" });
      assert.equal((await send(queue)).length, 0, "a failure is not news for the runner");
      await queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
      assert.equal((await send(queue)).length, 1, "one for the whole statement");
    },
  },
  {
    name: "a missing or broken runner address, secret or pg_net never fails an enqueue, and is noted",
    async run(queue) {
      const note = async () => (await notificationState(queue))["last_error"] as string | null;
      assert.equal((await queue.enqueue())["status"], "pending");
      assert.match((await note())!, /runner_url or runner_webhook_secret is missing in Vault/);
      await configure(queue, "http://127.0.0.1:7860", null);
      await queue.enqueue();
      assert.match((await note())!, /Vault/);
      for (
        const bad of ["", "   ", "not an address", "ftp://a.test", "http://[", "javascript:alert(1)", "http://a b"]
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
        assert.equal((await sent(queue.database.admin)).length, 0);
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
      assert.equal(await note(), null, "forgotten once one is sent");
    },
  },
  {
    name: "pg_net, Vault or a note is locked → an enqueue commits in under a second, and says so",
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
        await send(queue);
        const holder = queue.connect("supabase_admin");
        const sql = queue.connect("service_role");
        await sql`set statement_timeout = '1s'`;
        await holder`begin`;
        await holder.unsafe(lock);
        for (const [name, call] of Object.entries(enqueues)) {
          await queue
            .sql`update public.video_queue set status = 'failed', attempts = max_attempts where status = 'pending'`;
          if (n < 2) await queue.travel(10); // or one notification would stand for all of them
          assert.equal(await outcome(call(sql, n + 1)), "accepted", `${name} while: ${lock}`);
          if (n >= 2) continue; // not what a notification needs, or what would say so
          const error = (await notificationState(queue))["last_error"];
          assert.equal(error, "pg_net, Vault or the notification state is locked", "it was given up early");
        }
        await holder`rollback`;
        const [{ jobs } = {}] = await queue.sql`select count(*)::int as jobs from public.video_queue`;
        assert.equal(jobs, 43, "all were enqueued");
      }
    },
  },
  {
    name: "an enqueue while pg_net's queue is locked → the counts say what is locked",
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
    name: "pg_net is broken, whatever way → an enqueue commits, and the counts say why",
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
    name: "pg_net does not send → one request waits in its queue, however long, and the counts say so",
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
      assert.equal((await sent(queue.database.admin)).length, 1);
      assert.match((await notification())!["error"] as string, /pg_net has not sent it/);
      // Taken by the worker, whose transaction is open while it sends: what is new is news again.
      const worker = queue.connect("supabase_admin");
      await worker`begin`;
      await worker`delete from net.http_request_queue where true`;
      await queue.claim(50);
      await queue.enqueue();
      assert.equal((await sent(queue.database.admin)).length, 2);
      await worker`commit`;
      assert.equal((await send(queue)).length, 1);
    },
  },
  {
    name: "an enqueue that relies on an unsent notification → a claim it cannot be seen by has the runner come again",
    async run(queue) {
      await configure(queue);
      await queue.enqueue();
      await queue.claim(50, "poll");
      await queue.travel(10);
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      assert.equal((await send(queue)).length, 1, "it sent none of its own");
      await queue.claim(50);
      assert.equal((await send(queue)).length, 1);
      await slow`commit`;
    },
  },
  {
    name: "a notification that is refused, times out or fails → shown by queue_counts without an address, also later",
    async run(queue) {
      await configure(queue);
      const shown = async () =>
        (await queue.rpc<{ queue_counts: Row }>("queue_counts"))[0]!.queue_counts["notification"] as Row;
      const respond = async (response: Row) => {
        await queue.travel(40);
        await queue.rpc("sweep");
        await send(queue);
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
      // pg_net drops what it kept, and the next notification has no response yet.
      await queue.rpc("sweep");
      await queue.database.admin`delete from net._http_response where true`;
      assert.equal((await shown())["error"], "Could not resolve host: … (…");
    },
  },
  {
    name: "hf_token_worker → sent to an https Space of the Hub, and to no other host",
    async run(queue) {
      const token = "hf_abcDEF123";
      const authorization = async (runner_url: string, hub_token: string | null = token) => {
        await queue.reset();
        await configure(queue, runner_url);
        if (hub_token !== null) await queue.sql`select vault.create_secret(${hub_token}, 'hf_token_worker')`;
        await queue.enqueue();
        return (await send(queue))[0]?.headers["authorization"];
      };
      for (const url of ["https://user-space.hf.space", "https://User-Space.hf.space/", "https://a.hf.space:443/x"]) {
        assert.equal(await authorization(url), `Bearer ${token}`, url);
      }
      assert.equal(await authorization("https://user-space.hf.space", null), undefined);
      for (
        const url of [
          "http://user-space.hf.space",
          "https://user-space.hf.space.evil.test",
          "https://evil.test/user.hf.space",
          "https://user-space.hf.space@evil.test/",
          "https://user-space.hf.space:443@evil.test/",
          "https://evilhf.space",
          "https://hf.space",
          "https://evil.test#.hf.space",
          "https://evil.test/?.hf.space",
          "https://evil.test\\.hf.space/",
          "https://user.hf.space\\@evil.test/",
          "https://user.hf.space:8443/",
          "http://127.0.0.1:7860",
        ]
      ) assert.equal(await authorization(url), undefined, url);
      for (const bad of ["env(HF_TOKEN_WORKER)", "hf_a b", "hf_a\r\nx: y", "<your token>"]) {
        assert.equal(await authorization("https://user-space.hf.space", bad), undefined);
        const note = (await notificationState(queue))["last_error"] as string;
        assert.match(note, /hf_token_worker in Vault is not a Hub token/);
        assert.ok(!note.includes(bad));
      }
    },
  },
  {
    name: "an enqueue that rolls back sends no notification",
    async run(queue) {
      await configure(queue);
      await outcome(queue.sql.begin(async (transaction) => {
        await transaction`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
        throw Object.assign(new Error("no"), { code: "rollback" });
      }));
      assert.equal((await sent(queue.database.admin)).length, 0);
      assert.equal((await notificationState(queue))["notified_at"], null);
      await queue.enqueue();
      assert.equal((await sent(queue.database.admin)).length, 1);
    },
  },
  {
    name: "an enqueue that kept silent while a claim looked → that claim does not answer the notification for it",
    async run(queue) {
      await configure(queue);
      await queue.enqueue();
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      await send(queue);
      assert.equal((await queue.claim(50)).length, 1, "the claim cannot see what is not committed");
      assert.equal((await notificationState(queue))["acked_at"], null);
      await queue.travel(2);
      await queue.claim(50);
      assert.equal((await send(queue)).length, 1, "so it has the runner come again");
      await slow`commit`;
      assert.equal((await queue.claim(50)).length, 1);
      assert.ok((await notificationState(queue))["acked_at"]);
    },
  },
  {
    name: "a claim after an acknowledged notification leaves an enqueue under way alone: none is sent in its place",
    async run(queue) {
      await configure(queue);
      await queue.enqueue();
      await send(queue);
      await queue.claim(50);
      await queue.travel(10);
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      await queue.claim(50);
      assert.equal((await send(queue)).length, 0);
      await slow`commit`;
      assert.equal((await send(queue)).length, 1);
    },
  },
  {
    name: "two enqueues at once that both are the first → neither waits for the other, both are told",
    async run(queue) {
      await configure(queue);
      const [a, b] = [queue.connect("postgres"), queue.connect("postgres")];
      await a`begin`;
      await a`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      await b`begin`;
      await b`select public.enqueue_video(1, 2, 'animasu', 'https://a.test/')`;
      await b`select public.enqueue_video(1, 3, 'animasu', 'https://a.test/')`;
      await b`commit`;
      assert.equal((await sent(queue.database.admin)).length, 1, "b's, while a's is not committed");
      await a`commit`;
      assert.equal((await sent(queue.database.admin)).length, 2);
    },
  },
  {
    name: "sweep repeats the notification while work is due, and only then",
    async run(queue) {
      await configure(queue);
      const sweep = async () => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep["notified"];
      assert.equal(await sweep(), false);
      await queue.enqueue();
      for (const why of ["due", "debounce is for enqueues"]) {
        await send(queue);
        assert.equal(await sweep(), true);
        assert.equal((await send(queue)).length, 1, why);
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
    name: "sweep repeats the notification while a copy is to be made",
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
    name: "pg_cron sweeps every 30 seconds and drops its own history",
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
    name: "pg_cron's jobs are gone → any sweep schedules them again, under the same owner",
    async run(queue) {
      const jobs = () => queue.sql`select jobname, schedule, command, username from cron.job order by jobname`;
      const before = await jobs();
      await queue.database.admin`delete from cron.job where true`;
      await queue.rpc("sweep");
      assert.deepEqual(await jobs(), before);
      await queue.sql`select cron.alter_job(jobid, active := false) from cron.job where jobname = 'keepstream-sweep'`;
      await queue.rpc("sweep");
      const [job] = await queue.sql`select active from cron.job where jobname = 'keepstream-sweep'`;
      assert.equal(job!["active"], false, "switched off by an operator");
      await queue.sql`select cron.alter_job(jobid, active := true) from cron.job`;
    },
  },
  {
    name: "pg_cron is not there, or may not be used → a sweep does its work all the same",
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
    name: "sweep_if_overdue → one of several runners sweeps, and only when the last one is long ago",
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
      assert.equal(await ask(b), null, "another is at it");
      await a`commit`;
      assert.equal(await ask(b), null);
      assert.equal((await queue.row(job.id))["error_class"], "lease_expired");
    },
  },
];
