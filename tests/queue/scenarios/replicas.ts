/** Copies are created, repaired and promoted. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archivedWith, copyOn, replicaOn } from "../fixture/replicas.ts";
import { archiveOf, outcome, type Row, SHA256 } from "../fixture/rpc.ts";

export const REPLICAS: readonly Scenario[] = [
  {
    name: "repairs: claimed with their sources → complete_replica ends them",
    async run(queue) {
      const { store, job } = await archivedWith(queue, [
        copyOn("hf-2", { state: "pending", sha256: null, size_bytes: null }),
        copyOn("hf-3"),
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
    name: "repairs: a failure → backoff by class; given back → due at once",
    async run(queue) {
      await archivedWith(queue, [copyOn("hf-2", { state: "failed", sha256: null, size_bytes: null })]);
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
      assert.equal(still!["events"], 1, "giving back is not a failure");
      const third = (await claim())!;
      const [shut] = await end(third, { state: "failed", error_class: "shutdown" });
      assert.equal(shut!["attempts"], 1);
      await queue.travel(2);
      const fourth = (await claim())!;
      const [limited] = await end(fourth, { state: "failed", error_class: "rate_limited", retry_after_seconds: 50 });
      assert.equal(limited!["error_class"], "rate_limited");
      await queue.travel(49);
      assert.equal(await claim(), undefined);
      await queue.travel(2);
      const zero = (await claim())!;
      await end(zero, { state: "failed", error_class: "rate_limited", retry_after_seconds: 0 });
      await queue.travel(140);
      assert.equal(await claim(), undefined, "0 means no Retry-After");
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
    name: "claim_replica_repairs: limit null, 0, -1 → nothing; 1000 → 50",
    async run(queue) {
      await archivedWith(queue, Array.from({ length: 60 }, (_, n) => copyOn(`hf-${n + 2}`, { state: "pending" })));
      for (const limit of [null, 0, -1]) assert.equal((await queue.rpc("claim_replica_repairs", { limit })).length, 0);
      await queue.sql`update public.video_replicas set run_at = now() - interval '1 day' where target = 'hf-40'`;
      const rows = await queue.rpc("claim_replica_repairs", { limit: 1000 });
      assert.equal(rows.length, 50);
      assert.equal(rows[0]!["target"], "hf-40");
    },
  },
  {
    name: "extend_replica_lease: in time → extended; expired and swept → lost",
    async run(queue) {
      await archivedWith(queue, [copyOn("hf-2", { state: "pending" })]);
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
      assert.equal((await replicaOn(queue, "hf-2"))["state"], "uploading");
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
      const row = await replicaOn(queue, "hf-2");
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
    name: "repairs: a copy uploading at the archive → under the same lease",
    async run(queue) {
      const { job } = await archivedWith(queue, [
        copyOn("hf-2", { state: "uploading", sha256: null, size_bytes: null }),
      ]);
      const row = await replicaOn(queue, "hf-2");
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
    name: "promote_replica: verified → primary; unknown → 404; others → 422",
    async run(queue) {
      const { store } = await archivedWith(queue, [
        copyOn("hf-2", { direct_url: null, account: null }),
        copyOn("hf-3", { state: "pending" }),
      ]);
      const [row] = await queue.rpc("promote_replica", {
        replica_id: (await replicaOn(queue, "hf-2"))["id"],
        stream_url: "https://w.test/p",
      });
      assert.deepEqual(
        [row!["id"], row!["hf_repo"], row!["hf_account"], row!["hf_direct_url"], row!["stream_url"]],
        [store["id"], "user-2/media", 1, store["hf_direct_url"], "https://w.test/p"],
      );
      assert.equal(
        await queue.refusal("promote_replica", { replica_id: (await replicaOn(queue, "hf-3"))["id"] }),
        "PT422",
      );
      assert.equal(await queue.refusal("promote_replica", { replica_id: crypto.randomUUID() }), "PT404");
    },
  },
  {
    name: "plan_replica_repairs: a new target → one pending copy per archive",
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
    name: "extend_replica_lease: a shared token → only the named copies",
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
  {
    name: "repairs: no heartbeat → failed, due in 5 to 30 s, then notified",
    async run(queue) {
      await queue.archived();
      const targets = Array.from({ length: 50 }, (_, n) => `t-${n}`);
      await queue.rpc("plan_replica_repairs", { targets });
      await queue.rpc("claim_replica_repairs", { limit: 50, lease_seconds: 60 });
      await queue.travel(61);
      const sweep = async () => (await queue.rpc<{ sweep: Row }>("sweep"))[0]!.sweep;
      assert.equal((await sweep())["replicas_rescued"], 50);
      const [delays] = await queue.sql`
        select min(run_at - updated_at) >= interval '5 seconds' and max(run_at - updated_at) <= interval '30 seconds' as fit
        from public.video_replicas where state = 'failed'`;
      assert.equal(delays!["fit"], true);
      assert.equal((await sweep())["notified"], false);
      await queue.travel(31);
      assert.equal((await sweep())["notified"], true);
    },
  },
  {
    name: "record_replica_hash: no hash known → archive, copy and event",
    async run(queue) {
      const { job } = await queue.archived();
      const other = await queue.archived();
      await queue
        .sql`update public.video_replicas set sha256 = null, size_bytes = null, target = 'hf-' || id where true`;
      await queue.sql`update public.video_store set sha256 = null, size_bytes = null where true`;
      const [copy] = await queue.sql<{ id: string; target: string }[]>`
        select r.id, r.target from public.video_replicas r join public.video_store s on s.id = r.store_id
        where s.queue_id = ${job.id}`;
      const args = { replica_id: copy!.id, sha256: SHA256.toUpperCase(), size_bytes: 4 };
      assert.equal((await queue.rpc("record_replica_hash", args))[0]!["record_replica_hash"], true);
      const rows = await queue.sql`
        select s.queue_id, s.sha256, s.size_bytes::int, r.sha256 as copy_sha256, r.size_bytes::int as copy_bytes
        from public.video_store s join public.video_replicas r on r.store_id = s.id order by s.queue_id = ${job.id} desc`;
      assert.deepEqual(rows.map((row) => ({ ...row })), [
        { queue_id: job.id, sha256: SHA256, size_bytes: 4, copy_sha256: SHA256, copy_bytes: 4 },
        { queue_id: other.job.id, sha256: null, size_bytes: null, copy_sha256: null, copy_bytes: null },
      ]);
      const noted = await queue.sql`select queue_id, detail from keepstream.events where kind = 'replica_hashed'`;
      assert.deepEqual(noted.map((event) => ({ ...event })), [{ queue_id: job.id, detail: { target: copy!.target } }]);
      const unknown = { ...args, replica_id: crypto.randomUUID() };
      assert.equal(await outcome(queue.rpc("record_replica_hash", unknown)), "PT404");
    },
  },
  {
    name: "repairs: failed, then verified → no error is left",
    async run(queue) {
      await queue.archived();
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const end = async (more: Row) => {
        const [{ id, lease_token } = {}] = await queue.rpc("claim_replica_repairs", { limit: 1 });
        return (await queue.rpc("complete_replica", { id, lease_token, ...more }))[0]!;
      };
      const failed = await end({ state: "failed", error: "no", error_class: "storage_5xx", retry_after_seconds: 1 });
      assert.equal(failed["error_message"], "no");
      assert.equal((failed["run_at"] as Date).getTime() - (failed["updated_at"] as Date).getTime(), 1000);
      await queue.travel(2);
      const place = { repo: "user-2/media", path: "p.mp4", commit_oid: "c", account: 2 };
      const done = await end({ state: "verified", ...place, sha256: SHA256, size_bytes: 4 });
      assert.deepEqual(
        [done["state"], done["account"], Number(done["size_bytes"]), done["error_message"], done["error_class"]],
        ["verified", 2, 4, null, null],
      );
    },
  },
];
