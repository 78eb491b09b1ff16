/** A video that is archived again: the old archive is served and repaired until the new one replaces it. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { copyOn } from "../fixture/replicas.ts";
import { archiveOf, type Arguments, type ClaimedJob, outcome, type Row, SHA256 } from "../fixture/rpc.ts";

const NEW_SHA = "ab".repeat(32);

const copy = (target: string, more: Row = {}): Row => copyOn(target, { path: "55825/ep1/old.mp4", ...more });

/** A video with copies on hf-1 and hf-2 that an operator has set to be archived again. */
async function toBeArchivedAgain(queue: QueueFixture): Promise<{ job: ClaimedJob; store: Row }> {
  const job = await queue.uploading({ mal_id: 55825, episode: 1 });
  const [first] = archiveOf(job)["replicas"] as Row[];
  const [store] = await queue.rpc("upsert_video_store", archiveOf(job, { replicas: [first, copy("hf-2")] }));
  await queue.sql`update public.video_queue set status = 'pending' where status = 'ready'`;
  return { job, store: store! };
}

/** What a request finds. */
async function served(queue: QueueFixture): Promise<unknown> {
  const [row] = await queue.rpc<{ read_episode: { store: Row[] } }>("read_episode", { mal_id: 55825, episode: 1 });
  return row!.read_episode.store.map((one) => [
    one["sha256"],
    (one["replicas"] as Row[]).map((replica) => [replica["target"], replica["path"]]).sort(),
  ]);
}

const PATH = "55825/ep1/0123456789abcdef0123456789abcdef.mp4";
const OLD = [[SHA256, [["hf-1", PATH], ["hf-2", "55825/ep1/old.mp4"]]]];

function newArchive(job: Row, overrides: Arguments = {}): Arguments {
  const args = archiveOf(job, { sha256: NEW_SHA, size_bytes: 5 });
  const [first] = args["replicas"] as Row[];
  return { ...args, replicas: [{ ...first, sha256: NEW_SHA, size_bytes: 5 }], ...overrides };
}

const obsolete = async (queue: QueueFixture) =>
  (await queue.sql`select target, repo, path from keepstream.obsolete_copies order by target, path`).map((row) => ({
    ...row,
  }));

export const REARCHIVE: readonly Scenario[] = [
  {
    name: "re-archive: served until the new archive replaces it",
    async run(queue) {
      const { job, store } = await toBeArchivedAgain(queue);
      const row = await queue.row(job.id);
      assert.deepEqual([row["status"], row["attempts"], row["retry_count"], row["finished_at"]], [
        "pending",
        0,
        0,
        null,
      ]);
      assert.equal((await queue.events(job.id)).at(-1), "rearchived");
      assert.deepEqual(await served(queue), OLD);
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      assert.deepEqual(await served(queue), OLD);
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(again, { replicas: [] })), "PT422");
      assert.deepEqual(await served(queue), OLD, "a refused archive does not replace the old one");

      const [replaced] = await queue.rpc("upsert_video_store", newArchive(again));
      assert.equal(replaced!["id"], store["id"]);
      assert.ok((replaced!["created_at"] as Date) > (store["created_at"] as Date));
      assert.deepEqual(await served(queue), [[NEW_SHA, [["hf-1", PATH]]]]);
      assert.equal((await queue.row(job.id))["status"], "ready");
      assert.deepEqual(await obsolete(queue), [{ target: "hf-2", repo: "user-2/media", path: "55825/ep1/old.mp4" }]);
      const before = await queue.digest();
      await queue.rpc("upsert_video_store", newArchive(again));
      assert.equal(await queue.digest(), before, "a repeated call changes nothing");
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "re-archive: a copy pending → the old one there is not removed",
    async run(queue) {
      await toBeArchivedAgain(queue);
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      const args = newArchive(again);
      const second = copy("hf-2", { state: "uploading", sha256: null, size_bytes: null });
      await queue.rpc("upsert_video_store", { ...args, replicas: [...args["replicas"] as Row[], second] });
      assert.deepEqual(await served(queue), [[NEW_SHA, [["hf-1", PATH]]]]);
      assert.deepEqual(await obsolete(queue), [], "its location is used again");
    },
  },
  {
    name: "replaced copy: no new copy is readable → not removed",
    async run(queue) {
      await toBeArchivedAgain(queue);
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      await queue.rpc("upsert_video_store", newArchive(again));
      const [copy] = await queue.sql`select id as replica_id from public.video_replicas`;
      const handedOut = async () => {
        await queue.sql`update keepstream.obsolete_copies set run_at = now() - interval '1 hour'`;
        return (await queue.rpc("claim_obsolete_copies", { targets: ["hf-1", "hf-2"] })).length;
      };
      await queue.rpc("report_replica_missing", { ...copy });
      assert.equal(await handedOut(), 0, "it may be the only copy of the video");
      await queue.rpc("report_replica_found", { ...copy, sha256: NEW_SHA, size_bytes: 5 });
      assert.equal(await handedOut(), 1);
      await queue.rpc("report_replica_missing", { ...copy });
      await queue.rpc("confirm_replica_missing", { ...copy });
      assert.equal(await handedOut(), 0, "nor after the new archive is lost");
    },
  },
  {
    name: "re-archive: all copies were missing → verified, none missing",
    async run(queue) {
      await toBeArchivedAgain(queue);
      for (const { id } of await queue.sql`select id from public.video_replicas`) {
        await queue.rpc("report_replica_missing", { replica_id: id, verification: true });
      }
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      const args = newArchive(again);
      const second = copy("hf-2", { state: "uploading", sha256: null, size_bytes: null });
      await queue.rpc("upsert_video_store", { ...args, replicas: [...args["replicas"] as Row[], second] });
      const rows = await queue.sql`
        select target, state, missing_since, missing_days, missing_on from public.video_replicas order by target`;
      assert.deepEqual(rows.map((row) => Object.values(row)), [
        ["hf-1", "verified", null, 0, null],
        ["hf-2", "uploading", null, 0, null],
      ]);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "re-archive: fails in any way → the old archive is served",
    async run(queue) {
      const { job } = await toBeArchivedAgain(queue);
      const says = async (what: string, dead: boolean) => {
        const row = await queue.row(job.id);
        assert.deepEqual([row["status"], row["terminal_at"] !== null], ["failed", dead]);
        assert.equal(row["error_message"], `the old archive stays: ${what}`);
        assert.deepEqual(await served(queue), OLD);
        assert.deepEqual(await brokenInvariants(queue.sql), []);
      };
      const again = async () => {
        await queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
        assert.equal((await queue.row(job.id))["error_message"], null);
        return await queue.claimOne();
      };
      await queue.update(await queue.claimOne(), "failed", { error_class: "network", error: "reset" });
      await says("reset", false);
      await queue.travel(60);
      await queue.update(await queue.claimOne(), "failed", { error_class: "network" });
      await says("connection refused, reset or not resolved", false);
      await queue.rpc("cancel_video", { id: job.id });
      await says("cancelled", true);
      await queue.update(await again(), "failed", { error_class: "drm", error: "protected" });
      await says("protected", true);
      await again();
      await queue.travel(121);
      await queue.rpc("sweep");
      await says("no heartbeat from runner-a", false);
      await again();
      await queue.sql`update public.video_queue set status = 'failed' where id = ${job.id}`;
      assert.match((await queue.row(job.id))["error_message"] as string, /^the old archive stays: /);
      await queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
      await queue.rpc("cancel_video", { id: job.id });
      await says("cancelled", true);
      const given = await again();
      await queue.update(given, "pending");
      assert.equal((await queue.row(job.id))["error_message"], null);
      assert.deepEqual(await served(queue), OLD);
    },
  },
  {
    name: "re-archive: failed, then rights withdrawn → the old archive stays",
    async run(queue) {
      const { job } = await toBeArchivedAgain(queue);
      await queue.update(await queue.claimOne(), "failed", { error_class: "network", error: "reset" });
      const { last_event } = await queue.row(job.id);
      const entries = [{ name: "animasu", recipe: "page", rights: null }];
      await queue.rpc("apply_providers", { entries, dry_run: false });
      const row = await queue.row(job.id);
      assert.deepEqual([row["status"], row["error_class"], row["terminal_at"] !== null], [
        "failed",
        "policy_denied",
        true,
      ]);
      assert.match(row["error_message"] as string, /^the old archive stays: no archiving rights/);
      const [event] = await queue.sql`
        select kind, error_class, detail, previous from keepstream.events where id = ${row["last_event"] as string}`;
      assert.deepEqual({ ...event }, {
        kind: "cancelled",
        error_class: "policy_denied",
        detail: { terminal: true },
        previous: last_event,
      });
      assert.deepEqual(await served(queue), OLD);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "re-archive: rights withdrawn → refused, the old archive stays",
    async run(queue) {
      const { job } = await toBeArchivedAgain(queue);
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      const declare = (rights: string | null) =>
        queue.rpc("apply_providers", { entries: [{ name: "animasu", recipe: "page", rights }], dry_run: false });
      await declare(null);
      assert.equal(await queue.refusal("upsert_video_store", newArchive(again)), "PT403");
      assert.equal((await queue.update(again, "pending"))["status"], "failed");
      const row = await queue.row(job.id);
      assert.equal(row["error_class"], "policy_denied");
      assert.match(row["error_message"] as string, /^the old archive stays: no archiving rights/);
      assert.deepEqual(await served(queue), OLD);
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      assert.equal((await queue.row(job.id))["error_class"], "policy_denied", "nor by hand");
      await declare("own work");
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      assert.equal((await queue.claimOne()).id, job.id);
    },
  },
  {
    name: "re-archive: copies → promoted, lost and repaired as before",
    async run(queue) {
      const { job, store } = await toBeArchivedAgain(queue);
      const replicas = await queue.sql<{ id: string; target: string }[]>`
        select id, target from public.video_replicas order by target`;
      await queue.rpc("promote_replica", { replica_id: replicas[1]!.id });
      await queue.rpc("report_replica_missing", { replica_id: replicas[1]!.id });
      const [row] = await queue.sql`select hf_repo from public.video_store`;
      assert.equal(row!["hf_repo"], "user-1/media");
      const [repair] = await queue.rpc("claim_replica_repairs", { limit: 5, worker: "repair" });
      assert.equal(repair!["target"], "hf-2");
      // The new archive is recorded during a repair of the old one: the repair must not count for
      // it.
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      const args = newArchive(again);
      const second = copy("hf-2", { state: "pending", sha256: null, size_bytes: null });
      await queue.rpc("upsert_video_store", { ...args, replicas: [...args["replicas"] as Row[], second] });
      const done = { id: repair!["id"], lease_token: repair!["lease_token"], sha256: SHA256, size_bytes: 4 };
      assert.equal(await outcome(queue.rpc("complete_replica", done)), "PT409");
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 5 }))[0]!["sha256"], NEW_SHA);
      assert.deepEqual((await queue.sql`select id from public.video_store`).map((one) => one["id"]), [store["id"]]);
      assert.equal((await queue.row(job.id))["status"], "ready");
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "re-archive: leased → no repair; waiting → repairs",
    async run(queue) {
      await toBeArchivedAgain(queue);
      const [lost] = await queue.sql`select id from public.video_replicas where target = 'hf-2'`;
      await queue.rpc("report_replica_missing", { replica_id: lost!["id"] });
      const again = await queue.claimOne();
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 5 })).length, 0);
      await queue.update(again, "failed", { error_class: "network" });
      assert.equal((await queue.rpc("claim_replica_repairs", { limit: 5 })).length, 1);
    },
  },
  {
    name: "re-archive failed, last copy lost → queued, unless cancelled",
    async run(queue) {
      const loseAll = () => queue.sql`delete from public.video_store where true`;
      const { job } = await toBeArchivedAgain(queue);
      await loseAll();
      assert.equal((await queue.row(job.id))["status"], "pending");
      const archive = async () => {
        const again = await queue.claimOne();
        await queue.update(again, "uploading");
        await queue.rpc("upsert_video_store", newArchive(again));
        await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      };
      await archive();
      await queue.update(await queue.claimOne(), "failed", { error_class: "drm" });
      await loseAll();
      const revived = await queue.row(job.id);
      assert.deepEqual([revived["status"], revived["attempts"], revived["error_message"]], ["pending", 0, null]);
      await archive();
      await queue.rpc("cancel_video", { id: job.id });
      await loseAll();
      const cancelled = await queue.row(job.id);
      assert.deepEqual([cancelled["status"], cancelled["error_message"]], ["failed", "cancelled"]);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "obsolete copies → for their target, unless used or written",
    async run(queue) {
      const { job } = await toBeArchivedAgain(queue);
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      await queue.rpc("upsert_video_store", newArchive(again));
      const claim = (targets: string[], limit = 10) => queue.rpc("claim_obsolete_copies", { targets, limit });
      assert.equal((await claim(["hf-1", "hf-3"])).length, 0);
      assert.equal((await claim(["hf-2"], 0)).length, 0);
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      const third = await queue.claimOne();
      assert.equal((await claim(["hf-2"])).length, 0, "a job may be writing there");
      await queue.update(third, "pending");
      const [one] = await claim(["hf-2"]);
      assert.deepEqual([one!["target"], one!["repo"], one!["path"]], ["hf-2", "user-2/media", "55825/ep1/old.mp4"]);
      assert.equal((await claim(["hf-2"])).length, 0, "another one is in progress");
      await queue.sql`update keepstream.obsolete_copies set run_at = now() where true`;
      await queue.sql`
        insert into public.video_replicas (store_id, target, repo, path)
        select id, 'hf-2', 'user-2/media', '55825/ep1/old.mp4' from public.video_store`;
      assert.equal((await claim(["hf-2"])).length, 0, "its location is used again");
      await queue.sql`delete from public.video_replicas where target = 'hf-2'`;
      assert.equal((await claim(["hf-2"])).length, 1);
      const forget = async () =>
        (await queue.rpc("forget_obsolete_copy", { id: one!["id"] }))[0]!["forget_obsolete_copy"];
      assert.deepEqual([await forget(), await forget()], [true, false]);
    },
  },
  {
    name: "takedown after a re-archive → obsolete copies are named, too",
    async run(queue) {
      await toBeArchivedAgain(queue);
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      await queue.rpc("upsert_video_store", newArchive(again));
      const [other] = await queue.rpc<{ takedown: { copies: Row[] } }>("takedown", { mal_id: 55825, episode: 2 });
      assert.deepEqual(other!.takedown.copies, []);
      const [gone] = await queue.rpc<{ takedown: { copies: Row[] } }>("takedown", { mal_id: 55825 });
      assert.deepEqual(gone!.takedown.copies.map((one) => [one["target"], one["path"]]).sort(), [
        ["hf-1", PATH],
        ["hf-2", "55825/ep1/old.mp4"],
      ]);
      assert.deepEqual(await obsolete(queue), []);
    },
  },
];
