/** Copies that are not found, or differ: kept, repaired, confirmed lost. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archivedWith, copyOn, replicaOn } from "../fixture/replicas.ts";
import { archiveOf, type Row, SHA256 } from "../fixture/rpc.ts";

export const MISSING_REPLICAS: readonly Scenario[] = [
  {
    name: "report_replica_missing: the primary → another is promoted",
    async run(queue) {
      const { store, job } = await archivedWith(queue, [copyOn("hf-2")]);
      await queue
        .sql`update public.video_replicas set run_at = now() + interval '1 day', attempts = 20 where target = 'hf-1'`;
      const first = await replicaOn(queue, "hf-1");
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
    name: "report_replica_missing: another copy → the primary stays",
    async run(queue) {
      const { store } = await archivedWith(queue, [copyOn("hf-2")]);
      await queue.rpc("report_replica_missing", { replica_id: (await replicaOn(queue, "hf-2"))["id"] });
      const [row] = await queue.sql<Row[]>`select hf_repo from public.video_store where id = ${store["id"] as string}`;
      assert.equal(row!["hf_repo"], "user-1/media");
    },
  },
  {
    name: "report_replica_missing: the last copy → kept until confirmed",
    async run(queue) {
      const { store, job } = await archivedWith(queue, [copyOn("hf-2")]);
      const ids = [(await replicaOn(queue, "hf-1"))["id"], (await replicaOn(queue, "hf-2"))["id"]];
      for (const replica_id of ids) await queue.rpc("report_replica_missing", { replica_id });
      assert.equal((await queue.row(job.id))["status"], "ready");
      const [kept] = await queue.sql<Row[]>`select hf_repo from public.video_store where id = ${store["id"] as string}`;
      assert.equal(kept!["hf_repo"], "user-2/media");
      const [one] = await queue.rpc("confirm_replica_missing", { replica_id: ids[0] });
      assert.deepEqual([one!["state"], one!["missing_since"], one!["verified_at"]], ["pending", null, null]);
      assert.equal((await queue.row(job.id))["status"], "ready", "the other is only missing");
      const before = await queue.digest();
      await queue.rpc("confirm_replica_missing", { replica_id: ids[0] });
      assert.equal(await queue.digest(), before, "a second report changes nothing");
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
    name: "verification: missing on three days → confirmed",
    async run(queue) {
      const { job } = await archivedWith(queue, []);
      const { id } = await replicaOn(queue, "hf-1");
      const report = async (verification: boolean) =>
        (await queue.rpc("report_replica_missing", { replica_id: id, verification }))[0]!;
      const nextDay = () => queue.sql`update public.video_replicas set missing_on = missing_on - 1 where true`;
      assert.equal((await report(false))["missing_days"], 0, "a failed read is not a verification");
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
    name: "report_replica_found: same bytes → verified; others → missing",
    async run(queue) {
      const { store, job } = await archivedWith(queue, [copyOn("hf-2")]);
      const [first, second] = [(await replicaOn(queue, "hf-1"))["id"], (await replicaOn(queue, "hf-2"))["id"]];
      for (const replica_id of [first, second]) {
        await queue.rpc("report_replica_missing", { replica_id, verification: true });
      }
      const found = async (sha256: string) =>
        (await queue.rpc("report_replica_found", { replica_id: first, sha256, size_bytes: 4 }))[0]![
          "report_replica_found"
        ];
      assert.equal(await found("0".repeat(64)), false);
      assert.equal(await found(SHA256), true);
      const row = await replicaOn(queue, "hf-1");
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
      assert.equal(await found(SHA256), false, "it is no longer missing");
      assert.equal(
        await queue.refusal("report_replica_found", { replica_id: crypto.randomUUID(), sha256: SHA256, size_bytes: 4 }),
        "PT404",
      );
    },
  },
  {
    name: "damaged copy: another verified → repaired; the last → kept",
    async run(queue) {
      await archivedWith(queue, [copyOn("hf-2")]);
      const [first, second] = [(await replicaOn(queue, "hf-1"))["id"], (await replicaOn(queue, "hf-2"))["id"]];
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
    name: "missing copy: back with other bytes → damaged",
    async run(queue) {
      await archivedWith(queue, [copyOn("hf-2")]);
      const { id } = await replicaOn(queue, "hf-1");
      await queue.rpc("report_replica_missing", { replica_id: id });
      await queue.rpc("report_replica_missing", { replica_id: id, damaged: true });
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 1 }))[0]!["damaged"], true);
    },
  },
  {
    name: "repair of a missing copy: its runner dies → missing as before",
    async run(queue) {
      const { job } = await archivedWith(queue, []);
      await queue.rpc("report_replica_missing", { replica_id: (await replicaOn(queue, "hf-1"))["id"] });
      await queue.rpc("claim_replica_repairs", { limit: 1 });
      assert.equal((await queue.row(job.id))["status"], "ready", "kept until it is confirmed");
      await queue.travel(601);
      await queue.rpc("sweep");
      assert.equal((await replicaOn(queue, "hf-1"))["state"], "missing");
      assert.equal((await queue.row(job.id))["status"], "ready");
    },
  },
  {
    name: "missing copy, not the primary → repaired from the start",
    async run(queue) {
      const job = await queue.uploading();
      const copies = ["hf-1", "hf-2", "hf-3"].map((target, n) => ({
        ...(archiveOf(job)["replicas"] as Row[])[0]!,
        target,
        repo: `user-${n + 1}/media`,
      }));
      await queue.rpc("upsert_video_store", archiveOf(job, { replicas: copies }));
      const ids = Object.fromEntries(
        (await queue.sql`select target, id from public.video_replicas`).map((row) => [row["target"], row["id"]]),
      );
      await queue.rpc("promote_replica", { replica_id: ids["hf-3"] });
      await queue.sql`update public.video_replicas set attempts = 3 where target = 'hf-2'`;
      const [missing] = await queue.rpc("report_replica_missing", { replica_id: ids["hf-2"] });
      assert.deepEqual([missing!["state"], missing!["attempts"]], ["missing", 0]);
      const [served] = await queue.sql`select hf_repo from public.video_store`;
      assert.equal(served!["hf_repo"], "user-3/media");
    },
  },
];
