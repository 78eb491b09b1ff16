/** The nudge: sent once per burst, signed, never in the way of an enqueue, repeated until a claim answers it. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { Webhook } from "standardwebhooks";
import { verifyWebhook } from "../../../core/webhook.ts";
import type { QueueFixture, Scenario } from "../queue_fixture.ts";
import { outcome, type Row } from "../rpc.ts";

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

async function wakeState(queue: QueueFixture): Promise<Row> {
  const [row] = await queue.sql<Row[]>`select * from keepstream.wake_state`;
  return row!;
}

export const WAKE: readonly Scenario[] = [
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
      const [wake, ...rest] = await sent(queue.database.admin);
      assert.equal(rest.length, 0);
      assert.equal(wake!.url, "http://127.0.0.1:7860/trigger");
      assert.equal(wake!.timeout_milliseconds, 5000);
      assert.equal(wake!.headers["content-type"], "application/json");
      const verified = await verifyWebhook(
        {
          headers: {
            id: wake!.headers["webhook-id"]!,
            timestamp: wake!.headers["webhook-timestamp"]!,
            signature: wake!.headers["webhook-signature"]!,
          },
          body: wake!.body,
        },
        { secrets: [SECRET], now: Date.now() / 1000 },
      );
      assert.ok(verified.ok, JSON.stringify(verified));
      assert.match(verified.value.id, /^msg_[0-9a-f]{32}$/);
      const whole = JSON.stringify(wake);
      for (const secret of [SECRET, SECRET.slice(6), job["id"] as string, "a.test", "earer"]) {
        assert.ok(!whole.includes(secret), secret);
      }
      const body = JSON.parse(wake!.body);
      assert.deepEqual(Object.keys(body).sort(), ["timestamp", "type"]);
      assert.equal(body.type, "video_queue.waiting");
      const state = await wakeState(queue);
      assert.deepEqual([state["wakes"], state["answered_at"], state["last_error"]], ["1", null, null]);
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
      assert.equal((await sent(queue.database.admin)).length, 1);
      await queue.claim(8);
      assert.equal((await wakeState(queue))["answered_at"], null, "a claim that got all it asked for comes again");
      await queue.claim();
      assert.ok((await wakeState(queue))["answered_at"]);
      await queue.enqueue();
      assert.equal((await sent(queue.database.admin)).length, 2);
      await queue.enqueue();
      assert.equal((await sent(queue.database.admin)).length, 2);
      await queue.travel(4);
      await queue.enqueue();
      assert.equal((await sent(queue.database.admin)).length, 2);
      await queue.travel(2);
      await queue.enqueue();
      assert.equal((await sent(queue.database.admin)).length, 3, "nobody answered for five seconds");
      assert.equal((await wakeState(queue))["wakes"], "3");
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
      assert.equal((await sent(queue.database.admin)).length, 0);
      await queue.enqueue({ episode: 1, video_url: "https://b.test/v.mp4" });
      assert.equal((await sent(queue.database.admin)).length, 1);
      await queue.travel(6);
      await queue.sql`update public.video_queue set status = 'pending' where id = ${archived.id}`;
      assert.equal((await sent(queue.database.admin)).length, 2);
      const again = await queue.claim(5);
      for (const claimed of again) await queue.update(claimed, "failed", { error_class: "network" });
      assert.equal((await sent(queue.database.admin)).length, 2, "a failure is not news for the runner");
      await queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
      assert.equal((await sent(queue.database.admin)).length, 3, "one for the whole statement");
    },
  },
  {
    name: "a missing or broken runner address, secret or pg_net never fails an enqueue, and is noted",
    async run(queue) {
      const note = async () => (await wakeState(queue))["last_error"] as string | null;
      assert.equal((await queue.enqueue())["status"], "pending");
      assert.match((await note())!, /put runner_url and runner_webhook_secret into Vault/);
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
    name: "an enqueue that rolls back sends nothing and wakes nobody",
    async run(queue) {
      await configure(queue);
      await outcome(queue.sql.begin(async (transaction) => {
        await transaction`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
        throw Object.assign(new Error("no"), { code: "rollback" });
      }));
      assert.equal((await sent(queue.database.admin)).length, 0);
      assert.equal((await wakeState(queue))["woken_at"], null);
      await queue.enqueue();
      assert.equal((await sent(queue.database.admin)).length, 1);
    },
  },
  {
    name: "an enqueue that kept silent while a claim looked → that claim does not answer the wake for it",
    async run(queue) {
      await configure(queue);
      await queue.enqueue();
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      assert.equal((await queue.claim(50)).length, 1, "the claim cannot see what is not committed");
      assert.equal((await wakeState(queue))["answered_at"], null);
      await queue.travel(2);
      await queue.claim(50);
      assert.equal((await sent(queue.database.admin)).length, 2, "so it has the runner come again");
      await slow`commit`;
      assert.equal((await queue.claim(50)).length, 1);
      assert.ok((await wakeState(queue))["answered_at"]);
    },
  },
  {
    name: "a claim after an answered wake leaves an enqueue under way alone: no nudge in its place",
    async run(queue) {
      await configure(queue);
      await queue.enqueue();
      await queue.claim(50);
      await queue.travel(10);
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      await queue.claim(50);
      assert.equal((await sent(queue.database.admin)).length, 1);
      await slow`commit`;
      assert.equal((await sent(queue.database.admin)).length, 2);
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
    name: "sweep repeats the wake while work is due, and only then",
    async run(queue) {
      await configure(queue);
      const sweep = async () => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep["woken"];
      assert.equal(await sweep(), false);
      await queue.enqueue();
      assert.equal(await sweep(), true);
      assert.equal(await sweep(), true, "debounce is for enqueues");
      assert.equal((await sent(queue.database.admin)).length, 3);
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
    name: "sweep repeats the wake while a copy is to be made",
    async run(queue) {
      await configure(queue);
      await queue.archived();
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const sweep = async () => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep["woken"];
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
];
