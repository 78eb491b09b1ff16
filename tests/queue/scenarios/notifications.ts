/** A notification is sent once per burst, is signed, and is acknowledged by a claim. */
import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import { verifyWebhook } from "../../../core/webhook.ts";
import { configure, notificationState, SECRET, takeUnsent, unsent } from "../fixture/notifications.ts";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { outcome } from "../fixture/rpc.ts";

export const NOTIFICATIONS: readonly Scenario[] = [
  {
    name: "sign_webhook: the specification's vector → same signature",
    async run(queue) {
      const body = '{"test": 2432232314}';
      const sign = async (secret: string) => {
        const [row] = await queue
          .sql`select keepstream.sign_webhook('msg_p5jXN8AQM9LWM0D4loKWxJek', to_timestamp(1614265330), ${body}, ${secret}) as signature`;
        return row!["signature"];
      };
      assert.equal(await sign(SECRET), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
      const plain = "an operator's own words";
      // The reference library reads a raw secret's characters as bytes, which equals UTF-8 for
      // these.
      const reference = new Webhook(plain, { format: "raw" });
      assert.equal(
        await sign(plain),
        reference.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", new Date(1614265330 * 1000), body),
      );
    },
  },
  {
    name: "enqueue: one signed POST to /trigger, without job or secret",
    async run(queue) {
      await configure(queue);
      const job = await queue.enqueue();
      const [notification, ...rest] = await unsent(queue.database.admin);
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
    name: "burst → one POST; after a claim or 5 s → another",
    async run(queue) {
      await configure(queue);
      for (let n = 0; n < 5; n++) await queue.enqueue();
      await queue.rpc("enqueue_videos", {
        videos: [1, 2, 3].map((episode) => ({ mal_id: 5, episode, provider: "animasu", video_url: "https://a.test/" })),
      });
      assert.equal((await takeUnsent(queue)).length, 1);
      await queue.claim(8);
      assert.equal((await notificationState(queue))["acked_at"], null, "a claim that got its limit claims again");
      await queue.claim();
      assert.ok((await notificationState(queue))["acked_at"]);
      await queue.enqueue();
      assert.equal((await takeUnsent(queue)).length, 1);
      await queue.enqueue();
      assert.equal((await takeUnsent(queue)).length, 0);
      await queue.travel(4);
      await queue.enqueue();
      assert.equal((await takeUnsent(queue)).length, 0);
      await queue.travel(2);
      await queue.enqueue();
      assert.equal((await takeUnsent(queue)).length, 1, "not acknowledged for five seconds");
      assert.equal((await notificationState(queue))["sent_count"], "3");
    },
  },
  {
    name: "known url → none; revival, retry, re-archive → one",
    async run(queue) {
      const job = await queue.downloading({ episode: 1 });
      await queue.update(job, "failed", { error_class: "drm" });
      const { job: archived } = await queue.archived({ episode: 2 });
      await configure(queue);
      await queue.enqueue({ episode: 1 });
      await queue.enqueue({ episode: 2 });
      await queue.rpc("claim_pending_videos", { limit: 1 });
      assert.equal((await takeUnsent(queue)).length, 0);
      await queue.enqueue({ episode: 1, video_url: "https://b.test/v.mp4" });
      assert.equal((await takeUnsent(queue)).length, 1);
      await queue.travel(6);
      await queue.sql`update public.video_queue set status = 'pending' where id = ${archived.id}`;
      assert.equal((await takeUnsent(queue)).length, 1);
      const again = await queue.claim(5);
      for (const claimed of again) await queue.update(claimed, "failed", { error_class: "network" });
      assert.equal((await takeUnsent(queue)).length, 0, "a failure does not notify");
      await queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
      assert.equal((await takeUnsent(queue)).length, 1, "one per statement");
    },
  },
  {
    name: "hf_token_worker → sent to an https Space only",
    async run(queue) {
      const token = "hf_abcDEF123";
      const authorization = async (runner_url: string, hub_token: string | null = token) => {
        await queue.reset();
        await configure(queue, runner_url);
        if (hub_token !== null) await queue.sql`select vault.create_secret(${hub_token}, 'hf_token_worker')`;
        await queue.enqueue();
        return (await takeUnsent(queue))[0]?.headers["authorization"];
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
    name: "enqueue rolled back → no notification",
    async run(queue) {
      await configure(queue);
      await outcome(queue.sql.begin(async (transaction) => {
        await transaction`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
        throw Object.assign(new Error("no"), { code: "rollback" });
      }));
      assert.equal((await unsent(queue.database.admin)).length, 0);
      assert.equal((await notificationState(queue))["notified_at"], null);
      await queue.enqueue();
      assert.equal((await unsent(queue.database.admin)).length, 1);
    },
  },
  {
    name: "claim during a silent enqueue → not acknowledged for it",
    async run(queue) {
      await configure(queue);
      await queue.enqueue();
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      await takeUnsent(queue);
      assert.equal((await queue.claim(50)).length, 1, "the claim does not see uncommitted jobs");
      assert.equal((await notificationState(queue))["acked_at"], null);
      await queue.travel(2);
      await queue.claim(50);
      assert.equal((await takeUnsent(queue)).length, 1, "so it notifies again");
      await slow`commit`;
      assert.equal((await queue.claim(50)).length, 1);
      assert.ok((await notificationState(queue))["acked_at"]);
    },
  },
  {
    name: "claim after an acknowledgement → no second notification",
    async run(queue) {
      await configure(queue);
      await queue.enqueue();
      await takeUnsent(queue);
      await queue.claim(50);
      await queue.travel(10);
      const slow = queue.connect("postgres");
      await slow`begin`;
      await slow`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      await queue.claim(50);
      assert.equal((await takeUnsent(queue)).length, 0);
      await slow`commit`;
      assert.equal((await takeUnsent(queue)).length, 1);
    },
  },
  {
    name: "two first enqueues at once → neither waits, both notified",
    async run(queue) {
      await configure(queue);
      const [a, b] = [queue.connect("postgres"), queue.connect("postgres")];
      await a`begin`;
      await a`select public.enqueue_video(1, 1, 'animasu', 'https://a.test/')`;
      await b`begin`;
      await b`select public.enqueue_video(1, 2, 'animasu', 'https://a.test/')`;
      await b`select public.enqueue_video(1, 3, 'animasu', 'https://a.test/')`;
      await b`commit`;
      assert.equal((await unsent(queue.database.admin)).length, 1, "the one of b; a has not committed");
      await a`commit`;
      assert.equal((await unsent(queue.database.admin)).length, 2);
    },
  },
];
