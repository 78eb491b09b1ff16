/** Hostile and malformed arguments are refused, and the tables refuse them, too. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome, type Row, SHA256 } from "../fixture/rpc.ts";

const VIDEO = { mal_id: 55825, episode: 1, provider: "animasu", video_url: "https://a.test/v.mp4", resolution: "720p" };

export const BAD_INPUT: readonly Scenario[] = [
  {
    name: "urls: CR, LF, spaces, 20 kB or a leading -- → 400, and CHECKs",
    async run(queue) {
      const bad = [
        "",
        "--x",
        "-o",
        "https://a.test/\r\nHost: b",
        "https://a.test/a b",
        "https://a.test/\u007f",
        "https://a.test/\u0085",
        "//a.test",
        "data:text/html,x",
        "magnet:?x",
        `https://a.test/${"x".repeat(20_000)}`,
        `https://a.test/${"x".repeat(4082)}`,
      ];
      for (const video_url of bad) {
        assert.equal(await queue.refusal("enqueue_video", { ...VIDEO, video_url }), "PT400", video_url.slice(0, 30));
        if (video_url !== "") {
          assert.equal(
            await queue.refusal("enqueue_video", { ...VIDEO, embed_url: video_url }),
            "PT400",
            video_url.slice(0, 30),
          );
        }
        for (
          const table of [
            "video_queue (mal_id, episode, provider, video_url) values (1, 1, 'a', $1)",
            "video_queue (mal_id, episode, provider, video_url, embed_url) values (1, 1, 'a', 'https://a.test/', $1)",
          ]
        ) {
          assert.equal(await outcome(queue.sql.unsafe(`insert into public.${table}`, [video_url])), "23514");
        }
      }
      assert.equal(await queue.refusal("enqueue_video", { ...VIDEO, video_url: null }), "PT400");
      assert.equal(
        await queue.refusal("enqueue_video", { ...VIDEO, video_url: `HTTPS://a.test/${"x".repeat(4081)}` }),
        "accepted",
      );
      assert.equal(
        await outcome(queue.rpc("enqueue_video", { ...VIDEO, video_url: "https://a.test/\u0000" })),
        "22021",
      );
    },
  },
  {
    name: "stream_url: javascript: → CHECK",
    async run(queue) {
      const job = await queue.uploading();
      assert.equal(
        await queue.refusal("upsert_video_store", archiveOf(job, { stream_url: "javascript:alert(1)" })),
        "23514",
      );
      await queue.rpc("upsert_video_store", archiveOf(job));
      const scripted = queue.sql`update public.video_store set stream_url = 'javascript:alert(1)' where true`;
      assert.equal(await outcome(scripted), "23514");
    },
  },
  {
    name: "webhook signature: another id, time or body → invalid",
    async run(queue) {
      const sign = async (id: string, at: number, body: string, secret: string) => {
        const [row] = await queue
          .sql`select keepstream.sign_webhook(${id}, to_timestamp(${at}), ${body}, ${secret}) as signature`;
        return row!["signature"] as string;
      };
      const given = await sign("a", 1000, "{}", "secret");
      const others = await Promise.all([
        sign("b", 1000, "{}", "secret"),
        sign("a", 1001, "{}", "secret"),
        sign("a", 1000, "{ }", "secret"),
        sign("a", 1000, "{}", "Secret"),
      ]);
      assert.equal(new Set([given, ...others]).size, 5);
      assert.equal(await sign("a", 1000.9, "{}", "secret"), given, "whole seconds");
    },
  },
  {
    name: "video_url: hostile but well-formed → queued as data",
    async run(queue) {
      const video_url = "https://a.test/';drop%20table%20video_queue;--?x=$(reboot)&y=`id`&z=%00";
      const job = await queue.enqueue({ video_url });
      assert.equal(job["video_url"], video_url);
      assert.equal((await queue.claimOne()).candidates[0]!.video_url, video_url);
    },
  },
  {
    name: "claim_pending_videos: null, 0, -1 → nothing; 1e6 → 50",
    async run(queue) {
      await queue.rpc("enqueue_videos", {
        videos: Array.from({ length: 60 }, (_, n) => ({ ...VIDEO, episode: n + 1 })),
      });
      for (const limit of [null, 0, -1]) {
        assert.equal((await queue.rpc("claim_pending_videos", { limit, worker: "w" })).length, 0);
      }
      assert.equal((await queue.rpc("claim_pending_videos", { limit: 1_000_000, worker: "w" })).length, 50);
      assert.equal((await queue.rpc("claim_pending_videos", { limit: 1_000_000, worker: "w" })).length, 10);
    },
  },
  {
    name: "lease token: stale or missing → 409 from every function",
    async run(queue) {
      const job = await queue.uploading();
      await queue.travel(121);
      await queue.rpc("sweep");
      await queue.travel(31);
      const now = await queue.claimOne();
      assert.equal(now.id, job.id);
      await queue.update(now, "uploading");
      for (const lease_token of [job.lease_token, null, crypto.randomUUID()]) {
        assert.equal(
          await queue.refusal("update_video_queue_status", { id: job.id, status: "failed", lease_token }),
          "PT409",
        );
        assert.equal(await queue.refusal("upsert_video_store", archiveOf(job, { lease_token })), "PT409");
      }
      assert.equal(
        (await queue.rpc("extend_video_lease", { ids: [job.id], lease_tokens: [job.lease_token] }))[0]!["lost"],
        true,
      );
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(now)), "accepted");
    },
  },
  {
    name: "update_video_queue_status: ready → 422",
    async run(queue) {
      const job = await queue.uploading();
      assert.equal(
        await queue.refusal("update_video_queue_status", { id: job.id, status: "ready", lease_token: job.lease_token }),
        "PT422",
      );
    },
  },
  {
    name: "keys: out of range or malformed → 400, and CHECKs",
    async run(queue) {
      const bad: Row[] = [
        { mal_id: 0 },
        { mal_id: -1 },
        { mal_id: null },
        { episode: 0 },
        { episode: -5 },
        { episode: null },
        { provider: "../../x" },
        { provider: "" },
        { provider: null },
        { provider: "Animasu" },
        { provider: "a".repeat(21) },
        { provider: "-a" },
        { resolution: "<script>" },
        { resolution: "x".repeat(11) },
        { resolution: "-p" },
        { kind: "<b>" },
        { kind: "x".repeat(21) },
        { headers: [] },
        { headers: "x" },
        { headers: { a: "x".repeat(9000) } },
        { priority: 4 },
        { priority: -1 },
      ];
      for (const more of bad) {
        assert.equal(
          await queue.refusal("enqueue_video", { ...VIDEO, ...more }),
          "PT400",
          JSON.stringify(more).slice(0, 50),
        );
      }
      assert.equal(
        await outcome(queue.sql`select public.enqueue_video(2147483648, 1, 'animasu', 'https://a.test/')`),
        "42883",
      );
      assert.equal(await outcome(queue.rpc("enqueue_videos", { videos: [{ ...VIDEO, mal_id: 2147483648 }] })), "22003");
      for (
        const [column, value] of [["mal_id", 0], ["episode", -5], ["provider", "../../x"], ["resolution", "<script>"], [
          "priority",
          9,
        ]] as const
      ) {
        const insert = queue.sql`insert into public.video_queue ${
          queue.sql({
            mal_id: 1,
            episode: 1,
            provider: "a",
            video_url: "https://a.test/",
            resolution: "720p",
            priority: 1,
            [column]: value,
          })
        }`;
        assert.equal(await outcome(insert), "23514", column);
      }
      await queue.sql`insert into public.providers (name, recipe, rights) values (${
        "a".repeat(20)
      }, 'page', 'own work')`;
      assert.equal(
        await queue.refusal("enqueue_video", {
          ...VIDEO,
          mal_id: 2147483647,
          provider: "a".repeat(20),
          resolution: "x".repeat(10),
          priority: 0,
          kind: "x".repeat(20),
          headers: null,
        }),
        "accepted",
      );
      assert.equal(await queue.refusal("enqueue_video", { ...VIDEO, mal_id: 1, episode: 1, priority: 3 }), "accepted");
    },
  },
  {
    name: "error text: urls and tokens → redacted in row and event",
    async run(queue) {
      const job = await queue.downloading();
      await queue.update(job, "failed", {
        error: "https://cdn.test/x?X-Amz-Signature=abc hf_abcdefgh token=abcdefghij https://u:pw@a.test/#frag",
      });
      const [row] = await queue
        .sql`select to_jsonb(q)::text || (select string_agg(e::text, '') from keepstream.events e) as text from public.video_queue q`;
      for (const secret of ["X-Amz", "abcdefgh", "pw@", "frag"]) assert.ok(!row!["text"].includes(secret), secret);
    },
  },
  {
    name: "leases: a session's other time zone → the database's clock",
    async run(queue) {
      await queue.enqueue();
      const skewed = queue.connect("service_role");
      await skewed`set time zone 'Pacific/Kiritimati'`;
      const [job] =
        await skewed`select *, extract(epoch from lease_expires_at - clock_timestamp())::float8 as left from public.claim_pending_videos(1, 'skewed', 120)`;
      assert.ok(job!["left"] > 100 && job!["left"] <= 120);
      const [beat] = await queue.rpc("extend_video_lease", { ids: [job!["id"]], lease_tokens: [job!["lease_token"]] });
      assert.equal(beat!["lost"], false);
      const definition = await queue.sql`
        select p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace
          and pg_get_function_arguments(p.oid) ~ '(now|clock|deadline|lease_until|lease_expires_at)'`;
      assert.deepEqual(
        definition.map((row) => row["proname"]),
        [],
        "no function accepts a time of the caller's clock",
      );
    },
  },
  {
    name: "record_replica_hash: no hash or size → 400, nothing changes",
    async run(queue) {
      await queue.archived();
      const [copy] = await queue.sql<{ id: string }[]>`select id from public.video_replicas`;
      for (const held of [{ sha256: null, size_bytes: 4 }, { sha256: SHA256, size_bytes: null }]) {
        assert.equal(await queue.refusal("record_replica_hash", { replica_id: copy!.id, ...held }), "PT400");
      }
    },
  },
  {
    name: "imports: dry_run null → a dry run that says so",
    async run(queue) {
      const applied = await queue.rpc<{ apply_providers: Row }>("apply_providers", { entries: [], dry_run: null });
      assert.deepEqual([applied[0]!.apply_providers["removed"], applied[0]!.apply_providers["dry_run"]], [
        ["animasu", "samehadaku"],
        true,
      ]);
      assert.equal((await queue.sql`select from public.providers`).length, 2);
      const entries = [{ mal_id: 1, episode: 1, sources: [] }];
      const imported = await queue.rpc<{ import_catalogue: Row }>("import_catalogue", { entries, dry_run: null });
      assert.deepEqual([imported[0]!.import_catalogue["added"], imported[0]!.import_catalogue["dry_run"]], [1, true]);
      assert.equal((await queue.sql`select from public.catalogue`).length, 0);
    },
  },
];
