/** Ready means: a store row with a verified copy. Copies are made, lost, repaired and promoted. */
import assert from "node:assert/strict";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome, type Row, SHA256 } from "../fixture/rpc.ts";

const copy = (target: string, more: Row = {}) => ({
  target,
  account: 2,
  repo: "user-2/media",
  path: "55825/ep1/x.mp4",
  commit_oid: "beef",
  direct_url: "https://hub.test/two.mp4",
  sha256: SHA256,
  size_bytes: 4,
  state: "verified",
  ...more,
});

async function archivedWith(queue: QueueFixture, copies: readonly Row[]) {
  const job = await queue.uploading();
  const first = archiveOf(job)["replicas"] as Row[];
  const [store] = await queue.rpc("upsert_video_store", archiveOf(job, { replicas: [...first, ...copies] }));
  return { job, store: store! };
}

const replica = async (queue: QueueFixture, target: string): Promise<Row> => {
  const [row] = await queue.sql<Row[]>`select * from public.video_replicas where target = ${target}`;
  return row!;
};

export const ARCHIVE: readonly Scenario[] = [
  {
    name: "upsert_video_store → store, copies and ready at once",
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
      const stored = await replica(queue, "hf-1");
      assert.deepEqual([stored["state"], stored["repo"], stored["commit_oid"], stored["attempts"], stored["account"]], [
        "verified",
        "user-1/media",
        "c0ffee",
        0,
        1,
      ]);
      assert.ok(stored["verified_at"]);
      assert.equal((await queue.events(job.id)).at(-1), "completed");
      assert.equal((await queue.claim(50)).length, 0, "ready is never claimed");
    },
  },
  {
    name: "upsert_video_store of a video without resolution → its own row",
    async run(queue) {
      await queue.archived({ episode: 9, resolution: "720p" });
      const { store } = await queue.archived({ episode: 9, resolution: null });
      assert.equal(store["resolution"], null);
      const [{ count } = {}] = await queue.sql`select count(*)::int as count from public.video_store`;
      assert.equal(count, 2);
    },
  },
  {
    name: "upsert_video_store again by the same lease and bytes → the same row; by others → 409",
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
    name: "upsert_video_store: unknown → 404, stale or expired lease → 409, not uploading → 422",
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
    name: "upsert_video_store: an archive without a verified copy, or of other bytes → 422",
    async run(queue) {
      const job = await queue.uploading();
      const [first] = archiveOf(job)["replicas"] as Row[];
      const call = (replicas: unknown, more = {}) =>
        queue.refusal("upsert_video_store", archiveOf(job, { replicas, ...more }));
      assert.equal(await call([]), "PT422");
      assert.equal(await call([{ ...first, state: "pending" }]), "PT422");
      assert.equal(await call([{ ...first, sha256: "0".repeat(64) }]), "PT422");
      assert.equal(await call([{ ...first, size_bytes: 5 }]), "PT422");
      assert.equal(await call([first, copy("hf-2", { sha256: "0".repeat(64) })]), "PT422");
      assert.equal(await call([{ ...first, repo: "user-1/other" }]), "PT422");
      assert.equal(await call([{ ...first, path: "55825/other.mp4" }]), "PT422");
      assert.equal(await call([{ ...first, state: "pending" }, copy("hf-2")]), "PT422");
      assert.equal(await call({ a: 1 }), "PT400");
      assert.equal(await call([first, copy("hf-2", { state: "failed", sha256: null })]), "accepted");
    },
  },
  {
    name: "upsert_video_store with the first release's arguments → one verified copy",
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
    name: "a store's addresses and names are checked by the table itself",
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
    name: "the tables refuse by themselves what no function would write",
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
    name: "a deleted store row, or a deleted last copy → the video is in line again",
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
  {
    name: "claim_replica_repairs → what is not there yet, with the copies to make it from; complete_replica ends it",
    async run(queue) {
      const { store, job } = await archivedWith(queue, [
        copy("hf-2", { state: "pending", sha256: null, size_bytes: null }),
        copy("hf-3"),
      ]);
      const [repair, ...rest] = await queue.rpc("claim_replica_repairs", { limit: 5, worker: "w" });
      assert.equal(rest.length, 0);
      assert.deepEqual(
        [
          repair!["store_id"],
          repair!["target"],
          repair!["attempts"],
          repair!["mal_id"],
          repair!["file_key"],
          repair!["sha256"],
          repair!["size_bytes"],
        ],
        [store["id"], "hf-2", 1, 55825, store["file_key"], SHA256, "4"],
      );
      assert.deepEqual((repair!["sources"] as Row[]).map((source) => source["target"]).sort(), ["hf-1", "hf-3"]);
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 5 })).length, 0, "held");
      const done = {
        id: repair!["id"],
        lease_token: repair!["lease_token"],
        repo: "user-2/m",
        path: "p.mp4",
        commit_oid: "abc",
        direct_url: "https://hub.test/p.mp4",
        account: 2,
        sha256: SHA256,
        size_bytes: 4,
      };
      assert.equal(await queue.refusal("complete_replica", { ...done, sha256: "0".repeat(64) }), "PT422");
      assert.equal(await queue.refusal("complete_replica", { ...done, size_bytes: 5 }), "PT422");
      assert.equal(await queue.refusal("complete_replica", { ...done, lease_token: crypto.randomUUID() }), "PT409");
      assert.equal(await queue.refusal("complete_replica", { ...done, lease_token: null }), "PT409");
      assert.equal(await queue.refusal("complete_replica", { ...done, id: crypto.randomUUID() }), "PT404");
      assert.equal(await queue.refusal("complete_replica", { ...done, state: "uploading" }), "PT422");
      const [row] = await queue.rpc("complete_replica", done);
      assert.deepEqual(
        [
          row!["state"],
          row!["repo"],
          row!["path"],
          row!["commit_oid"],
          row!["direct_url"],
          row!["account"],
          row!["attempts"],
          row!["lease_token"],
          row!["sha256"],
        ],
        ["verified", "user-2/m", "p.mp4", "abc", "https://hub.test/p.mp4", 2, 0, null, SHA256],
      );
      assert.ok(row!["verified_at"]);
      assert.equal((await queue.events(job.id)).at(-1), "replica_verified");
      assert.equal(await queue.refusal("complete_replica", done), "PT409");
    },
  },
  {
    name: "a repair that fails backs off by class; given back it is due at once; attempts are bounded",
    async run(queue) {
      await archivedWith(queue, [copy("hf-2", { state: "failed", sha256: null, size_bytes: null })]);
      const claim = async () => (await queue.rpc("claim_replica_repairs", { limit: 1 }))[0];
      const end = (repair: Row, more: Row) =>
        queue.rpc("complete_replica", { id: repair["id"], lease_token: repair["lease_token"], ...more });
      const first = (await claim())!;
      const [failed] = await end(first, {
        state: "failed",
        error_class: "storage_conflict",
        error: "hf_SecretToken99 said no",
      });
      assert.deepEqual([failed!["state"], failed!["error_class"], failed!["error_message"], failed!["attempts"]], [
        "failed",
        "storage_conflict",
        "hf_… said no",
        1,
      ]);
      assert.equal(await claim(), undefined);
      await queue.travel(6);
      const [noted] = await queue
        .sql`select count(*)::int as events from keepstream.events where kind = 'replica_failed'`;
      assert.equal(noted!["events"], 1);
      const second = (await claim())!;
      assert.equal(second["attempts"], 2);
      const [back] = await end(second, { state: "pending" });
      assert.deepEqual([back!["state"], back!["attempts"], back!["error_class"]], ["pending", 1, null]);
      const [still] = await queue
        .sql`select count(*)::int as events from keepstream.events where kind = 'replica_failed'`;
      assert.equal(still!["events"], 1, "given back is no failure");
      const third = (await claim())!;
      const [shut] = await end(third, { state: "failed", error_class: "shutdown" });
      assert.equal(shut!["attempts"], 1);
      await queue.travel(2);
      const fourth = (await claim())!;
      const [told] = await end(fourth, { state: "failed", error_class: "rate_limited", retry_after_seconds: 50 });
      assert.equal(told!["error_class"], "rate_limited");
      await queue.travel(49);
      assert.equal(await claim(), undefined);
      await queue.travel(2);
      const zero = (await claim())!;
      await end(zero, { state: "failed", error_class: "rate_limited", retry_after_seconds: 0 });
      await queue.travel(140);
      assert.equal(await claim(), undefined, "0 is no Retry-After");
      await queue.travel(10_000);
      const fifth = (await claim())!;
      assert.equal((await end(fifth, { state: "failed", error_class: "what" }))[0]!["error_class"], "unknown");
      await queue.travel(100_000);
      const sixth = (await claim())!;
      assert.equal((await end(sixth, { state: "failed" }))[0]!["error_class"], "unknown");
      await queue.travel(100_000);
      const seventh = (await claim())!;
      const [well] = await end(seventh, { state: "verified", sha256: SHA256, size_bytes: 4 });
      assert.deepEqual([well!["error_class"], well!["error_message"], well!["attempts"]], [null, null, 0]);
      await queue.rpc("report_replica_missing", { replica_id: well!["id"] });
      await queue.sql`update public.video_replicas set attempts = max_attempts, run_at = now() where target = 'hf-2'`;
      assert.equal(await claim(), undefined);
    },
  },
  {
    name: "claim_replica_repairs(null), (0), (-1) → nothing; (1000) → at most 50, oldest first",
    async run(queue) {
      await archivedWith(queue, Array.from({ length: 60 }, (_, n) => copy(`hf-${n + 2}`, { state: "pending" })));
      for (const limit of [null, 0, -1]) assert.equal((await queue.rpc("claim_replica_repairs", { limit })).length, 0);
      await queue.sql`update public.video_replicas set run_at = now() - interval '1 day' where target = 'hf-40'`;
      const rows = await queue.rpc("claim_replica_repairs", { limit: 1000 });
      assert.equal(rows.length, 50);
      assert.equal(rows[0]!["target"], "hf-40");
    },
  },
  {
    name: "extend_replica_lease → extends, never shortens; lost once it ran out and was swept",
    async run(queue) {
      await archivedWith(queue, [copy("hf-2", { state: "pending" })]);
      const [repair] = await queue.rpc("claim_replica_repairs", { limit: 1, worker: "w", lease_seconds: 60 });
      const beat = (lease_seconds: number, token = repair!["lease_token"]) =>
        queue.rpc("extend_replica_lease", { ids: [repair!["id"]], lease_tokens: [token], lease_seconds });
      const [long] = await beat(600);
      assert.equal(long!["lost"], false);
      assert.ok(
        (long!["lease_expires_at"] as Date).getTime() > (repair!["lease_expires_at"] as Date).getTime() + 400_000,
      );
      assert.deepEqual((await beat(10))[0]!["lease_expires_at"], long!["lease_expires_at"]);
      assert.equal((await beat(10, crypto.randomUUID()))[0]!["lost"], true);
      assert.equal(
        await queue.refusal("extend_replica_lease", { ids: [], lease_tokens: [repair!["lease_token"]] }),
        "PT400",
      );
      await queue.rpc("sweep");
      assert.equal((await replica(queue, "hf-2"))["state"], "uploading");
      await queue.travel(601);
      assert.equal((await beat(600))[0]!["lost"], true);
      assert.equal(
        await queue.refusal("complete_replica", {
          id: repair!["id"],
          lease_token: repair!["lease_token"],
          sha256: SHA256,
          size_bytes: 4,
        }),
        "PT409",
      );
      await queue.rpc("sweep");
      const row = await replica(queue, "hf-2");
      assert.deepEqual([row["state"], row["error_class"], row["lease_token"], row["error_message"]], [
        "failed",
        "lease_expired",
        null,
        "no heartbeat from w",
      ]);
      await queue.travel(31);
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 1 })).length, 1);
    },
  },
  {
    name: "a copy still uploading when the archive is recorded → held by the same lease",
    async run(queue) {
      const { job } = await archivedWith(queue, [copy("hf-2", { state: "uploading", sha256: null, size_bytes: null })]);
      const row = await replica(queue, "hf-2");
      assert.deepEqual([row["lease_token"], row["attempts"], row["lease_owner"]], [job.lease_token, 1, "runner-a"]);
      const [done] = await queue.rpc("complete_replica", {
        id: row["id"],
        lease_token: job.lease_token,
        sha256: SHA256,
        size_bytes: 4,
      });
      assert.deepEqual([done!["state"], done!["repo"]], ["verified", "user-2/media"]);
    },
  },
  {
    name: "report_replica_missing of the copy served first → another is promoted, the hole is repair work",
    async run(queue) {
      const { store, job } = await archivedWith(queue, [copy("hf-2")]);
      await queue
        .sql`update public.video_replicas set run_at = now() + interval '1 day', attempts = 20 where target = 'hf-1'`;
      const first = await replica(queue, "hf-1");
      const [missing] = await queue.rpc("report_replica_missing", {
        replica_id: first["id"],
        error: "404 from https://hub.test/x?sig=1",
      });
      assert.deepEqual([missing!["state"], missing!["error_message"]], ["missing", "404 from https://hub.test/x?…"]);
      const [row] = await queue.sql<Row[]>`select * from public.video_store where id = ${store["id"] as string}`;
      assert.deepEqual([row!["hf_account"], row!["hf_repo"], row!["hf_path"], row!["hf_direct_url"]], [
        2,
        "user-2/media",
        "55825/ep1/x.mp4",
        "https://hub.test/two.mp4",
      ]);
      assert.deepEqual((await queue.events(job.id)).slice(-2), ["replica_missing", "promoted"]);
      assert.equal((await queue.row(job.id))["status"], "ready");
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 1 }))[0]!["target"], "hf-1");
      const before = await queue.digest();
      const [again] = await queue.rpc("report_replica_missing", { replica_id: first["id"] });
      assert.equal(again!["id"], first["id"]);
      assert.equal(await queue.digest(), before);
      assert.equal(await queue.refusal("report_replica_missing", { replica_id: crypto.randomUUID() }), "PT404");
    },
  },
  {
    name: "report_replica_missing of another copy → the one served first stays",
    async run(queue) {
      const { store } = await archivedWith(queue, [copy("hf-2")]);
      await queue.rpc("report_replica_missing", { replica_id: (await replica(queue, "hf-2"))["id"] });
      const [row] = await queue.sql<Row[]>`select hf_repo from public.video_store where id = ${store["id"] as string}`;
      assert.equal(row!["hf_repo"], "user-1/media");
    },
  },
  {
    name:
      "report_replica_missing of the last copy → kept; confirmed of all → the archive is gone, the video queued again",
    async run(queue) {
      const { store, job } = await archivedWith(queue, [copy("hf-2")]);
      const ids = [(await replica(queue, "hf-1"))["id"], (await replica(queue, "hf-2"))["id"]];
      for (const replica_id of ids) await queue.rpc("report_replica_missing", { replica_id });
      assert.equal((await queue.row(job.id))["status"], "ready");
      const [kept] = await queue.sql<Row[]>`select hf_repo from public.video_store where id = ${store["id"] as string}`;
      assert.equal(kept!["hf_repo"], "user-2/media");
      const [one] = await queue.rpc("confirm_replica_missing", { replica_id: ids[0] });
      assert.deepEqual([one!["state"], one!["missing_since"], one!["verified_at"]], ["pending", null, null]);
      assert.equal((await queue.row(job.id))["status"], "ready", "the other is only missing");
      const before = await queue.digest();
      await queue.rpc("confirm_replica_missing", { replica_id: ids[0] });
      assert.equal(await queue.digest(), before, "twice is once");
      assert.equal(await queue.refusal("confirm_replica_missing", { replica_id: crypto.randomUUID() }), "PT404");
      await queue.rpc("confirm_replica_missing", { replica_id: ids[1] });
      const row = await queue.row(job.id);
      assert.equal(row["status"], "pending");
      const [{ count } = {}] = await queue.sql`select count(*)::int as count from public.video_store`;
      assert.equal(count, 0);
      assert.equal((await queue.claim()).length, 1);
    },
  },
  {
    name: "a missing copy that verifications miss on three days → confirmed; more reports of one day count once",
    async run(queue) {
      const { job } = await archivedWith(queue, []);
      const { id } = await replica(queue, "hf-1");
      const report = async (verification: boolean) =>
        (await queue.rpc("report_replica_missing", { replica_id: id, verification }))[0]!;
      const nextDay = () => queue.sql`update public.video_replicas set missing_on = missing_on - 1 where true`;
      assert.equal((await report(false))["missing_days"], 0, "a reader that failed is no verification");
      for (const day of [1, 2]) {
        assert.equal((await report(true))["missing_days"], day);
        assert.equal((await report(true))["missing_days"], day);
        assert.equal((await queue.row(job.id))["status"], "ready");
        await nextDay();
      }
      await report(false);
      assert.equal((await queue.row(job.id))["status"], "ready");
      assert.equal((await report(true))["state"], "pending");
      assert.equal((await queue.row(job.id))["status"], "pending");
      assert.ok((await queue.events(job.id)).includes("replica_lost"));
    },
  },
  {
    name: "a missing copy that is read back → verified and served again; with other bytes it stays missing",
    async run(queue) {
      const { store, job } = await archivedWith(queue, [copy("hf-2")]);
      const [first, second] = [(await replica(queue, "hf-1"))["id"], (await replica(queue, "hf-2"))["id"]];
      for (const replica_id of [first, second]) {
        await queue.rpc("report_replica_missing", { replica_id, verification: true });
      }
      const found = async (sha256: string) =>
        (await queue.rpc("report_replica_found", { replica_id: first, sha256, size_bytes: 4 }))[0]![
          "report_replica_found"
        ];
      assert.equal(await found("0".repeat(64)), false);
      assert.equal(await found(SHA256), true);
      const row = await replica(queue, "hf-1");
      assert.deepEqual([
        row["state"],
        row["missing_since"],
        row["missing_days"],
        row["missing_on"],
        row["error_message"],
      ], [
        "verified",
        null,
        0,
        null,
        null,
      ]);
      const [served] = await queue.sql<
        Row[]
      >`select hf_repo from public.video_store where id = ${store["id"] as string}`;
      assert.equal(served!["hf_repo"], "user-1/media");
      assert.deepEqual((await queue.events(job.id)).slice(-2), ["replica_verified", "promoted"]);
      assert.equal(await found(SHA256), false, "it is not missing any more");
      assert.equal(
        await queue.refusal("report_replica_found", { replica_id: crypto.randomUUID(), sha256: SHA256, size_bytes: 4 }),
        "PT404",
      );
    },
  },
  {
    name: "a damaged copy → repaired as such while another is verified; the last one is left alone",
    async run(queue) {
      await archivedWith(queue, [copy("hf-2")]);
      const [first, second] = [(await replica(queue, "hf-1"))["id"], (await replica(queue, "hf-2"))["id"]];
      const damaged = async (replica_id: unknown) =>
        (await queue.rpc("report_replica_missing", { replica_id, damaged: true }))[0]!["state"];
      assert.equal(await damaged(first), "missing");
      assert.equal(await damaged(second), "verified");
      const [repair] = await queue.rpc("claim_replica_repairs", { limit: 2 });
      assert.deepEqual([repair!["id"], repair!["damaged"]], [first, true]);
      const end = (more: Row) =>
        queue.rpc("complete_replica", { id: first, lease_token: repair!["lease_token"], ...more });
      const [failed] = await end({ state: "failed", error_class: "network" });
      assert.deepEqual([failed!["state"], failed!["damaged"]], ["missing", true], "still kept, still damaged");
      await queue.travel(3600);
      const [again] = await queue.rpc("claim_replica_repairs", { limit: 1 });
      const [done] = await queue.rpc("complete_replica", {
        id: first,
        lease_token: again!["lease_token"],
        sha256: SHA256,
        size_bytes: 4,
      });
      assert.deepEqual([done!["state"], done!["damaged"], done!["missing_since"]], ["verified", false, null]);
    },
  },
  {
    name: "a missing copy that came back with other bytes → damaged, so that a repair replaces it",
    async run(queue) {
      await archivedWith(queue, [copy("hf-2")]);
      const { id } = await replica(queue, "hf-1");
      await queue.rpc("report_replica_missing", { replica_id: id });
      await queue.rpc("report_replica_missing", { replica_id: id, damaged: true });
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 1 }))[0]!["damaged"], true);
    },
  },
  {
    name: "a repair of a missing copy whose runner died → swept, and missing as before",
    async run(queue) {
      const { job } = await archivedWith(queue, []);
      await queue.rpc("report_replica_missing", { replica_id: (await replica(queue, "hf-1"))["id"] });
      await queue.rpc("claim_replica_repairs", { limit: 1 });
      assert.equal((await queue.row(job.id))["status"], "ready", "kept while it is looked for");
      await queue.travel(601);
      await queue.rpc("sweep");
      assert.equal((await replica(queue, "hf-1"))["state"], "missing");
      assert.equal((await queue.row(job.id))["status"], "ready");
    },
  },
  {
    name: "an id on a storage target → new, known, gone, other or unregistered, by what is recorded there",
    async run(queue) {
      const [a, b] = [crypto.randomUUID(), crypto.randomUUID()];
      const check = async (id: string | null) =>
        (await queue.rpc("check_storage_target", { target: "hf-1", id }))[0]!["check_storage_target"];
      const register = async (id: string, replace = false) =>
        (await queue.rpc("register_storage_target", { target: "hf-1", id, replace }))[0]!["register_storage_target"];
      assert.deepEqual([await check(null), await check(a)], ["new", "new"]);
      assert.equal(await register(a), a);
      assert.equal(await register(b), a, "the first one counts");
      assert.deepEqual([await check(a), await check(b), await check(null)], ["known", "new", "new"]);
      await archivedWith(queue, []);
      assert.deepEqual([await check(a), await check(b), await check(null)], ["known", "other", "gone"]);
      await queue.rpc("report_replica_missing", { replica_id: (await replica(queue, "hf-1"))["id"] });
      assert.equal(await check(null), "gone", "a missing copy is a recorded one");
      assert.equal(await register(b, true), b);
      assert.equal(await check(b), "known");
      await queue.sql`delete from keepstream.storage_targets where true`;
      assert.deepEqual([await check(a), await check(null)], ["unregistered", "gone"]);
      await queue.rpc("takedown", { mal_id: 55825 });
      assert.equal(await check(null), "gone", "what was taken down is still to be removed there");
      await queue.rpc("finish_takedown", { mal_id: 55825, episode: null, target: "hf-1" });
      assert.equal(await check(null), "new");
    },
  },
  {
    name: "takedown → each target is remembered, with what rows named there, until it is finished or lifted",
    async run(queue) {
      await archivedWith(queue, [copy("hf-2")]);
      const down = async (episode: number | null, targets: string[] = []) =>
        (await queue.rpc<{ takedown: Row }>("takedown", { mal_id: 55825, episode, targets }))[0]!.takedown;
      const [{ episode } = {}] = await queue.sql`select episode from public.video_queue`;
      const first = await down(episode as number, ["hf-1", "hf-3"]);
      assert.deepEqual(first["targets"], ["hf-1", "hf-2", "hf-3"]);
      assert.deepEqual((first["copies"] as Row[]).map((one) => one["target"]).sort(), ["hf-1", "hf-2"]);
      await queue.rpc("finish_takedown", { mal_id: 55825, episode, target: "hf-1" });
      const again = await down(episode as number);
      assert.deepEqual([again["jobs"], again["targets"]], [0, ["hf-2", "hf-3"]]);
      assert.deepEqual((again["copies"] as Row[]).map((one) => [one["target"], one["repo"]]), [[
        "hf-2",
        "user-2/media",
      ]]);
      assert.deepEqual(
        (await down(null, ["hf-4"]))["targets"],
        ["hf-2", "hf-3", "hf-4"],
        "the title's holds the episode's",
      );
      await queue.rpc("finish_takedown", { mal_id: 55825, episode: null, target: "hf-2" });
      assert.deepEqual((await down(episode as number))["targets"], ["hf-3"]);
      await queue.rpc("lift_takedown", { mal_id: 55825, episode });
      assert.deepEqual(
        (await queue.sql`select target from keepstream.takedown_leftovers`).map((row) => row["target"]),
        [
          "hf-4",
        ],
      );
    },
  },
  {
    name: "promote_replica → hf_* name that copy; unknown → 404, unverified → 422",
    async run(queue) {
      const { store } = await archivedWith(queue, [
        copy("hf-2", { direct_url: null, account: null }),
        copy("hf-3", { state: "pending" }),
      ]);
      const [row] = await queue.rpc("promote_replica", {
        replica_id: (await replica(queue, "hf-2"))["id"],
        stream_url: "https://w.test/p",
      });
      assert.deepEqual(
        [row!["id"], row!["hf_repo"], row!["hf_account"], row!["hf_direct_url"], row!["stream_url"]],
        [store["id"], "user-2/media", 1, store["hf_direct_url"], "https://w.test/p"],
      );
      assert.equal(
        await queue.refusal("promote_replica", { replica_id: (await replica(queue, "hf-3"))["id"] }),
        "PT422",
      );
      assert.equal(await queue.refusal("promote_replica", { replica_id: crypto.randomUUID() }), "PT404");
    },
  },
  {
    name: "plan_replica_repairs for a new target → a pending copy per archive, once",
    async run(queue) {
      await queue.archived();
      await queue.archived();
      const plan = (limit: number | null) =>
        queue.rpc("plan_replica_repairs", { targets: ["hf-1", "hf-9", "hf-9"], limit }).then(([row]) =>
          row!["plan_replica_repairs"]
        );
      assert.equal(await plan(null), 0);
      assert.equal(await plan(1), 1);
      assert.equal(await plan(10), 1);
      assert.equal(await plan(10), 0);
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 50 })).length, 2);
    },
  },
  {
    name: "takedown → jobs, archives and cached lists of the episode go, an event stays",
    async run(queue) {
      const { job } = await queue.archived({ episode: 1 });
      const other = await queue.enqueue({ episode: 2 });
      const stranger = await queue.enqueue({ episode: 1, mal_id: 7 });
      for (const episode of [1, 2]) {
        await queue.rpc("save_sources", { mal_id: 55825, episode, lists: { animasu: { state: "ok", servers: [] } } });
      }
      const [{ takedown } = {}] = await queue.rpc<{ takedown: Row }>("takedown", { mal_id: 55825, episode: 1 });
      assert.deepEqual(takedown, {
        jobs: 1,
        copies: [{ target: "hf-1", account: 1, repo: "user-1/media", path: archiveOf(job)["hf_path"] }],
        targets: ["hf-1"],
      });
      const left = await queue.sql`select id from public.video_queue order by created_at`;
      assert.deepEqual(left.map((row) => row["id"]), [other["id"], stranger["id"]]);
      assert.deepEqual((await queue.events(job.id)).filter((kind) => kind === "taken_down"), ["taken_down"]);
      const lists = await queue.sql`select episode from keepstream.source_lists`;
      assert.deepEqual(lists.map((row) => row["episode"]), [2]);
      const [{ takedown: whole } = {}] = await queue.rpc<{ takedown: Row }>("takedown", { mal_id: 55825 });
      assert.deepEqual([whole!["jobs"], whole!["targets"]], [1, ["hf-1"]], "with what is left of the episode");
      assert.equal((await queue.sql`select from keepstream.source_lists`).length, 0);
      assert.equal((await queue.sql`select from public.video_queue`).length, 1);
      assert.equal(await queue.refusal("takedown", { mal_id: null }), "PT400");
    },
  },
  {
    name: "what was taken down is not archived again – by no enqueue and no viewer – until an operator lifts it",
    async run(queue) {
      await queue.rpc("apply_providers", {
        entries: [{ name: "animasu", recipe: "peertube", rights: "own work" }],
        dry_run: false,
      });
      const down = async (mal_id: number, episode: number | null) =>
        void await queue.rpc("takedown", { mal_id, episode });
      const lift = async (mal_id: number, episode: number | null, dry_run = false) =>
        (await queue.rpc("lift_takedown", { mal_id, episode, dry_run }))[0]!["lift_takedown"];
      const ask = (mal_id: number, episode: number) => outcome(queue.enqueue({ mal_id, episode }));
      const view = async (mal_id: number, episode: number) => {
        const servers = [{ video_url: "https://a.test/x", resolution: "1080p" }];
        const [saved] = await queue.rpc<{ save_sources: Row }>("save_sources", {
          mal_id,
          episode,
          lists: { animasu: { state: "ok", servers } },
        });
        const [read] = await queue.rpc<{ read_episode: Row }>("read_episode", { mal_id, episode });
        return [saved!.save_sources["enqueued"], read!.read_episode["taken_down"]];
      };
      await down(1, 1);
      await down(1, 1);
      await down(2, null);
      assert.deepEqual([await ask(1, 1), await ask(1, 2), await ask(2, 5), await ask(3, 1)], [
        "PT451",
        "accepted",
        "PT451",
        "accepted",
      ]);
      assert.deepEqual([await view(1, 1), await view(1, 2), await view(2, 5)], [[0, true], [1, false], [0, true]]);
      assert.equal(
        await outcome(
          queue.rpc("enqueue_videos", {
            videos: [{ mal_id: 2, episode: 1, provider: "animasu", video_url: "https://a.test/" }],
          }),
        ),
        "PT451",
      );
      assert.deepEqual([await lift(1, 1, true), await lift(1, 2, true), await ask(1, 1)], [true, false, "PT451"]);
      assert.deepEqual([await lift(1, 2), await lift(2, 5), await lift(1, 1), await lift(2, null)], [
        false,
        false,
        true,
        true,
      ]);
      assert.deepEqual([await ask(1, 1), await ask(2, 5)], ["accepted", "accepted"]);
      assert.deepEqual(await view(1, 1), [1, false]);
      const audit = await queue.sql`select kind, detail from keepstream.events where queue_id is null order by id`;
      assert.deepEqual(audit.map((event) => [event["kind"], event["detail"]]), [
        ["taken_down", { mal_id: 1, episode: 1 }],
        ["taken_down", { mal_id: 1, episode: 1 }],
        ["taken_down", { mal_id: 2, episode: null }],
        ["takedown_lifted", { mal_id: 1, episode: 1 }],
        ["takedown_lifted", { mal_id: 2, episode: null }],
      ]);
    },
  },
  {
    name: "a job held while it is taken down → its holder hears 404 or 409, nothing comes back",
    async run(queue) {
      const job = await queue.uploading();
      await queue.rpc("takedown", { mal_id: 55825 });
      assert.equal(
        await queue.refusal("update_video_queue_status", {
          id: job.id,
          status: "failed",
          lease_token: job.lease_token,
        }),
        "PT404",
      );
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job)), "PT404");
      assert.equal(
        (await queue.rpc("extend_video_lease", { ids: [job.id], lease_tokens: [job.lease_token] }))[0]!["lost"],
        true,
      );
      assert.equal(await outcome(queue.enqueue({ episode: 1 })), "PT451");
    },
  },
  {
    name: "a heartbeat of copies that share their job's token → a row for each one named, and no other is extended",
    async run(queue) {
      const job = await queue.uploading();
      const [copy] = archiveOf(job)["replicas"] as Row[];
      const replicas = [copy, ...["hf-2", "hf-3"].map((target) => ({ target, state: "uploading" }))];
      await queue.rpc("upsert_video_store", archiveOf(job, { replicas }));
      const held = () =>
        queue.sql<{ id: string; lease_expires_at: Date }[]>`
          select id, lease_expires_at from public.video_replicas where lease_token is not null order by target`;
      const before = await held();
      const beat = (ids: readonly string[]) =>
        queue.rpc("extend_replica_lease", { ids, lease_tokens: ids.map(() => job.lease_token), lease_seconds: 3600 });
      const [one, other] = before;
      assert.deepEqual((await beat([one!.id])).map((row) => [row["id"], row["lost"]]), [[one!.id, false]]);
      const [extended, untouched] = await held();
      assert.ok(extended!.lease_expires_at > one!.lease_expires_at);
      assert.deepEqual(untouched, other);
      const ids = [other!.id, one!.id];
      assert.deepEqual((await beat(ids)).map((row) => [row["id"], row["lost"]]), ids.map((id) => [id, false]));
    },
  },
];
