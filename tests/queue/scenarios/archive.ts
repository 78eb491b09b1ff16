/** A ready job has a store row with a verified copy; the tables enforce it. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { copyOn, replicaOn } from "../fixture/replicas.ts";
import { archiveOf, outcome, type Row, SHA256 } from "../fixture/rpc.ts";

export const ARCHIVE: readonly Scenario[] = [
  {
    name: "upsert_video_store: first archive → store, copies and ready at once",
    async run(queue) {
      const job = await queue.uploading();
      await queue
        .sql`update public.video_queue set error_class = 'network', error_message = 'once' where id = ${job.id}`;
      const [store] = await queue.rpc(
        "upsert_video_store",
        archiveOf(job, { stream_url: "https://worker.test/proxy?url=x", sha256: SHA256.toUpperCase() }),
      );
      assert.deepEqual(
        [
          store!["mal_id"],
          store!["provider"],
          store!["resolution"],
          store!["hf_account"],
          store!["hf_repo"],
          store!["sha256"],
          store!["size_bytes"],
          store!["duration_seconds"],
        ],
        [55825, "animasu", "720p", 1, "user-1/media", SHA256, "4", 1.5],
      );
      assert.equal(store!["stream_url"], "https://worker.test/proxy?url=x");
      assert.equal(store!["queue_id"], job.id);
      const row = await queue.row(job.id);
      assert.deepEqual([row["status"], row["error_class"], row["error_message"], row["lease_token"], row["progress"]], [
        "ready",
        null,
        null,
        null,
        null,
      ]);
      assert.ok(row["finished_at"]);
      const stored = await replicaOn(queue, "hf-1");
      assert.deepEqual([stored["state"], stored["repo"], stored["commit_oid"], stored["attempts"], stored["account"]], [
        "verified",
        "user-1/media",
        "c0ffee",
        0,
        1,
      ]);
      assert.ok(stored["verified_at"]);
      assert.equal((await queue.events(job.id)).at(-1), "completed");
      assert.equal((await queue.claim(50)).length, 0, "a ready job is not claimed");
    },
  },
  {
    name: "upsert_video_store: size and media → in the row, replaced, read_episode",
    async run(queue) {
      const media = {
        tracks: [],
        variant: null,
        converted: [],
        left_out: [{ kind: "subtitles", code: "x", detail: "id" }],
      };
      const job = await queue.uploading();
      const [store] = await queue.rpc("upsert_video_store", archiveOf(job, { width: 1280, height: 720, media }));
      assert.deepEqual([store!["resolution"], store!["width"], store!["height"], store!["media"]], [
        ...["720p", 1280, 720, media],
      ]);
      const read = async () => {
        const [row] = await queue
          .sql`select public.read_episode(${job["mal_id"] as number}, ${job["episode"] as number}) as it`;
        return row!["it"].store.map((one: Row) => [one["width"], one["height"], one["media"]]);
      };
      assert.deepEqual(await read(), [[1280, 720, media]]);
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      const again = await queue.claimOne();
      assert.equal(again.id, job.id);
      await queue.update(again, "uploading");
      await queue.rpc("upsert_video_store", archiveOf(again));
      assert.deepEqual(await read(), [[null, null, null]], "of the new file, which does not state them");
    },
  },
  {
    name: "upsert_video_store: impossible size, media of another type or 64 kB → refused",
    async run(queue) {
      const job = await queue.uploading();
      const refused = [
        { width: 0, height: 720 },
        { width: 1280, height: -1 },
        { media: [] },
        { media: "text" },
        { media: { detail: "x".repeat(65_536) } },
      ];
      for (const one of refused) {
        assert.equal(
          await queue.refusal("upsert_video_store", archiveOf(job, one)),
          "23514",
          JSON.stringify(one).slice(0, 60),
        );
      }
      await queue.rpc("upsert_video_store", archiveOf(job, { media: { detail: "x".repeat(65_000) } }));
    },
  },
  {
    name: "upsert_video_store: no resolution → its own row",
    async run(queue) {
      await queue.archived({ episode: 9, resolution: "720p" });
      const { store } = await queue.archived({ episode: 9, resolution: null });
      assert.equal(store["resolution"], null);
      const [{ count } = {}] = await queue.sql`select count(*)::int as count from public.video_store`;
      assert.equal(count, 2);
    },
  },
  {
    name: "upsert_video_store: repeated by its lease → same row; by others → 409",
    async run(queue) {
      const { job, store } = await queue.archived();
      const before = await queue.digest();
      const [again] = await queue.rpc("upsert_video_store", archiveOf(job));
      assert.deepEqual(again, store);
      assert.equal(await queue.digest(), before);
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job, { sha256: "0".repeat(64) })), "PT409");
      assert.equal(
        await queue.refusal("upsert_video_store", archiveOf(job, { lease_token: crypto.randomUUID() })),
        "PT409",
      );
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job, { lease_token: null })), "PT409");
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job)), "PT409");
    },
  },
  {
    name: "upsert_video_store: unknown → 404, stale lease → 409, early → 422",
    async run(queue) {
      const job = await queue.downloading();
      const call = (overrides = {}) => queue.refusal("upsert_video_store", archiveOf(job, overrides));
      assert.equal(await call({ episode: 99_999 }), "PT404");
      assert.equal(await call({ resolution: null }), "PT404");
      assert.equal(await call({ provider: "samehadaku" }), "PT404");
      assert.equal(await call({ mal_id: 1 }), "PT404");
      assert.equal(await call(), "PT422");
      await queue.update(job, "uploading");
      assert.equal(await call({ lease_token: crypto.randomUUID() }), "PT409");
      assert.equal(await call({ lease_token: null }), "PT409");
      await queue.travel(121);
      assert.equal(await call(), "PT409");
    },
  },
  {
    name: "upsert_video_store: no verified copy, or other bytes → 422",
    async run(queue) {
      const job = await queue.uploading();
      const [first] = archiveOf(job)["replicas"] as Row[];
      const call = (replicas: unknown, more = {}) =>
        queue.refusal("upsert_video_store", archiveOf(job, { replicas, ...more }));
      assert.equal(await call([]), "PT422");
      assert.equal(await call([{ ...first, state: "pending" }]), "PT422");
      assert.equal(await call([{ ...first, sha256: "0".repeat(64) }]), "PT422");
      assert.equal(await call([{ ...first, size_bytes: 5 }]), "PT422");
      assert.equal(await call([first, copyOn("hf-2", { sha256: "0".repeat(64) })]), "PT422");
      assert.equal(await call([{ ...first, repo: "user-1/other" }]), "PT422");
      assert.equal(await call([{ ...first, path: "55825/other.mp4" }]), "PT422");
      assert.equal(await call([{ ...first, state: "pending" }, copyOn("hf-2")]), "PT422");
      assert.equal(await call({ a: 1 }), "PT400");
      assert.equal(await call([first, copyOn("hf-2", { state: "failed", sha256: null })]), "accepted");
    },
  },
  {
    name: "upsert_video_store: no replicas argument → one verified copy",
    async run(queue) {
      const job = await queue.uploading();
      await queue.rpc("upsert_video_store", archiveOf(job, { replicas: null }));
      const [row, ...rest] = await queue.sql<Row[]>`select * from public.video_replicas`;
      assert.equal(rest.length, 0);
      assert.deepEqual([row!["target"], row!["account"], row!["state"], row!["repo"], row!["sha256"]], [
        "hub:user-1",
        1,
        "verified",
        "user-1/media",
        SHA256,
      ]);
    },
  },
  {
    name: "video_store: malformed urls, paths and names → refused by the table",
    async run(queue) {
      const job = await queue.uploading();
      for (
        const bad of [
          { stream_url: "javascript:alert(1)" },
          { stream_url: "https://a.test/\u0007" },
          { stream_url: `https://a.test/${"x".repeat(4096)}` },
          { hf_direct_url: "file:///etc/passwd" },
          { hf_path: "../../etc/passwd" },
          { hf_path: "a/../b.mp4" },
          { hf_path: "/etc/passwd" },
          { hf_repo: "<script>" },
          { file_key: "../x" },
          { hf_account: -1 },
          { sha256: "abc" },
          { size_bytes: 0 },
          { duration_seconds: 0 },
        ]
      ) {
        assert.equal(
          await queue.refusal("upsert_video_store", archiveOf(job, bad)),
          "23514",
          JSON.stringify(bad).slice(0, 60),
        );
      }
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job)), "accepted");
    },
  },
  {
    name: "tables: rows that no function would write → refused",
    async run(queue) {
      const { store, job } = await queue.archived();
      const id = store["id"] as string;
      const refused = async (statement: string, code = "23514") =>
        assert.equal(await outcome(queue.sql.unsafe(statement)), code, statement);
      await refused(
        `insert into public.video_store select gen_random_uuid(), mal_id, 77, provider, resolution, file_key, hf_account, hf_repo, hf_path,
        hf_direct_url, stream_url, now(), queue_id, lease_token, sha256, size_bytes, duration_seconds from public.video_store`,
        "23505",
      );
      const other = await queue.enqueue();
      await refused(
        `insert into public.video_store select gen_random_uuid(), mal_id, episode, provider, resolution, file_key, hf_account, hf_repo, hf_path,
        hf_direct_url, stream_url, now(), '${
          other["id"]
        }', lease_token, sha256, size_bytes, duration_seconds from public.video_store`,
        "23505",
      );
      await refused(`insert into public.video_replicas (store_id, target) values ('${id}', 'hf-1')`, "23505");
      for (
        const values of [
          "target, state) values ('$', 'hf-9', 'verified')",
          "target, state) values ('$', 'hf-9', 'uploading')",
          "target, state) values ('$', 'hf-9', 'lost')",
          "target, lease_token) values ('$', 'hf-9', gen_random_uuid())",
          "target, state, lease_token) values ('$', 'hf-9', 'uploading', gen_random_uuid())",
          "target, attempts) values ('$', 'hf-9', 21)",
          "target, attempts) values ('$', 'hf-9', -1)",
          "target) values ('$', '../x')",
          "target, path) values ('$', 'hf-9', '../x')",
          "target, size_bytes) values ('$', 'hf-9', 0)",
          "target, sha256) values ('$', 'hf-9', 'x')",
          "target, repo, path, state) values ('$', 'hf-9', 'u/m', null, 'verified')",
        ]
      ) await refused(`insert into public.video_replicas (store_id, ${values.replace("$", () => id)}`);
      const held = await queue.claimOne();
      for (
        const change of [
          "attempts = max_attempts + 1",
          "attempts = -1",
          "max_attempts = 0, attempts = 0",
          "retry_count = -1",
          "lease_token = null",
          "lease_owner = null",
          "lease_expires_at = null",
          "terminal_at = now()",
          "priority = 4",
        ]
      ) await refused(`update public.video_queue set ${change} where id = '${held.id}'`);
      for (
        const change of [
          "error_message = 'x'",
          "error_class = 'x'",
          "cancel_requested_at = now()",
          "lease_token = gen_random_uuid()",
        ]
      ) {
        await refused(`update public.video_queue set ${change} where id = '${job.id}'`);
      }
      await refused(
        `insert into public.video_candidates (queue_id, rank, video_url) values ('${held.id}', 5, '${
          held.candidates[0]!.video_url
        }')`,
        "23505",
      );
      await refused(`insert into keepstream.events (queue_id, kind) values ('${held.id}', 'danced')`);
      await refused(
        `insert into public.video_queue (mal_id, episode, provider, video_url, resolution) select mal_id, episode, provider, video_url, resolution from public.video_queue`,
        "23505",
      );
    },
  },
  {
    name: "video_store: row or last copy deleted → video queued again",
    async run(queue) {
      const one = await queue.archived();
      await queue.sql`delete from public.video_store where id = ${one.store["id"] as string}`;
      assert.equal((await queue.row(one.job.id))["status"], "pending");
      await queue.claimOne();
      const two = await queue.archived();
      await queue.sql`delete from public.video_replicas where store_id = ${two.store["id"] as string}`;
      assert.equal((await queue.row(two.job.id))["status"], "pending");
    },
  },
];
