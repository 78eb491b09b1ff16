/** What a move leaves behind in columns that no other scenario looks at, and that a question about one video is not answered with another's. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome, type Row, SHA256 } from "../fixture/rpc.ts";

export const DERIVED: readonly Scenario[] = [
  {
    name: "finished – archived, cancelled, ended by hand – → no addresses, no progress, and when",
    async run(queue) {
      const job = await queue.uploading();
      await queue.update(job, "uploading", { progress: { bytes_done: 1 } });
      await queue.rpc("upsert_video_store", archiveOf(job));
      const ready = await queue.row(job.id);
      assert.deepEqual([ready["candidates"], ready["progress"], ready["updated_at"]], [
        null,
        null,
        ready["finished_at"],
      ]);
      const failed = await queue.downloading();
      await queue.update(failed, "failed", { error_class: "network" });
      await queue.rpc("cancel_video", { id: failed.id });
      assert.equal((await queue.row(failed.id))["candidates"], null);
      const byHand = await queue.downloading();
      await queue.update(byHand, "downloading", { progress: { bytes_done: 1 } });
      await queue.sql`update public.video_queue set status = 'failed', terminal_at = now() where id = ${byHand.id}`;
      const dead = await queue.row(byHand.id);
      assert.deepEqual([dead["candidates"], dead["progress"], dead["lease_token"]], [null, null, null]);
      assert.ok(dead["finished_at"]);
    },
  },
  {
    name: "moves by hand → the event says which, and of a revival alone whether attempts were reset",
    async run(queue) {
      const job = await queue.downloading();
      const move = (status: string) => queue.sql`update public.video_queue set status = ${status} where id = ${job.id}`;
      const last = async () => {
        const [event] = await queue.sql`
          select kind, to_status, detail from keepstream.events where queue_id = ${job.id} order by id desc limit 1`;
        return { ...event };
      };
      await move("uploading");
      assert.deepEqual(await last(), { kind: "uploading", to_status: "uploading", detail: null });
      await move("pending");
      assert.deepEqual(await last(), { kind: "released", to_status: "pending", detail: null });
      await queue.claimOne();
      await move("pending");
      assert.equal((await queue.row(job.id))["attempts"], 0);
      await queue.claimOne();
      await move("failed");
      assert.deepEqual([(await last()).kind, (await last()).detail.terminal], ["failed", false]);
      assert.equal((await queue.row(job.id))["retry_count"], 1);
      await move("pending");
      assert.deepEqual(await last(), { kind: "revived", to_status: "pending", detail: { reset: false } });
      await queue.claimOne();
      await move("uploading");
      await move("failed");
      assert.equal((await queue.row(job.id))["retry_count"], 2);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
      await queue.travel(3600);
      await queue.claimOne();
      await queue.travel(121);
      await move("failed");
      assert.equal((await last()).kind, "rescued", "its lease had run out");
    },
  },
  {
    name: "a re-archive of a video that had failed once → attempts and failures start over",
    async run(queue) {
      const job = await queue.downloading();
      await queue.update(job, "failed", { error_class: "network" });
      await queue.travel(31);
      const again = await queue.claimOne();
      await queue.update(again, "uploading");
      await queue.rpc("upsert_video_store", archiveOf(again));
      await queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      const row = await queue.row(job.id);
      assert.deepEqual([row["attempts"], row["retry_count"]], [0, 0]);
    },
  },
  {
    name: "an archive without a copy → 422 though another archive has one; under a cancel → 409 and still uploading",
    async run(queue) {
      await queue.archived();
      const job = await queue.uploading();
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job, { replicas: [] })), "PT422");
      await queue.rpc("cancel_video", { id: job.id });
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job)), "PT409");
      assert.equal((await queue.row(job.id))["status"], "uploading");
    },
  },
  {
    name: "a failure that blames no address → the job's own addresses stay; Retry-After: 0 is none, 1 second is one",
    async run(queue) {
      const job = await queue.downloading({ embed_url: "https://e.test/1" });
      const row = await queue.update(job, "failed", { error_class: "disk_full" });
      assert.deepEqual([row["embed_url"], row["video_url"]], ["https://e.test/1", "https://a.test/v.mp4"]);
      const other = await queue.downloading();
      await queue.update(other, "pending", { retry_after_seconds: 0 });
      assert.equal((await queue.claimOne()).id, other.id);
      const third = await queue.downloading();
      await queue.update(third, "pending", { retry_after_seconds: 1 });
      const [later] = await queue.sql`
        select run_at - updated_at >= interval '1 second' as later from public.video_queue where id = ${third.id}`;
      assert.equal(later!["later"], true);
      const fourth = await queue.downloading();
      await queue.update(fourth, "failed", { error_class: "network", retry_after_seconds: 1 });
      const [soon] = await queue.sql`
        select run_at - updated_at < interval '10 seconds' as soon from public.video_queue where id = ${fourth.id}`;
      assert.equal(soon!["soon"], true);
    },
  },
  {
    name: "a failure of an address that was dead already → the one still alive is next; a cancel → the row says so",
    async run(queue) {
      await queue.enqueue({ episode: 1, video_url: "https://a.test/1" });
      await queue.enqueue({ episode: 1, video_url: "https://a.test/2" });
      const first = await queue.claimOne();
      await queue.update(first, "failed", { error_class: "drm" });
      const second = await queue.claimOne();
      const row = await queue.update(second, "failed", { error_class: "drm", candidate_id: first.candidates[0]!.id });
      assert.deepEqual([row["terminal_at"], row["video_url"]], [null, "https://a.test/2"]);
      const third = await queue.claimOne();
      await queue.rpc("cancel_video", { id: third.id });
      const ended = await queue.update(third, "failed", { error_class: "network", error: "reset" });
      assert.equal(ended["error_message"], "cancelled");
    },
  },
  {
    name: "a new address for what waits → when; headers of 8192 bytes → kept, of 8193 → 400",
    async run(queue) {
      const job = await queue.enqueue({ episode: 1 });
      await queue.sql`update public.video_queue set updated_at = now() - interval '1 day' where true`;
      const again = await queue.enqueue({ episode: 1, video_url: "https://b.test/v.mp4" });
      assert.equal(again["id"], job["id"]);
      assert.ok((again["updated_at"] as Date).getTime() > Date.now() - 3_600_000);
      const headers = (bytes: number) => ({ a: "x".repeat(bytes - '{"a": ""}'.length) });
      await queue.enqueue({ headers: headers(8192) });
      const more = { mal_id: 1, episode: 1, provider: "animasu", video_url: "https://a.test/", headers: headers(8193) };
      assert.equal(await queue.refusal("enqueue_video", more), "PT400");
    },
  },
  {
    name: "read_episode and save_sources → the lists, archives and jobs of that episode of that title alone",
    async run(queue) {
      for (const [mal_id, episode] of [[1, 1], [1, 2], [2, 1]]) {
        const servers = [{ video_url: "https://a.test/v.mp4", resolution: "480p" }];
        const [saved] = await queue.rpc<{ save_sources: { queue: Row[] } }>("save_sources", {
          mal_id,
          episode,
          lists: { [`p${mal_id}${episode}`]: { state: "ok", servers: [] }, animasu: { state: "ok", servers } },
        });
        assert.equal(saved!.save_sources.queue.length, 1);
        const job = await queue.claimOne();
        await queue.update(job, "uploading");
        await queue.rpc("upsert_video_store", archiveOf(job));
      }
      const [row] = await queue.rpc<{ read_episode: Record<string, Row | Row[]> }>("read_episode", {
        mal_id: 1,
        episode: 1,
      });
      const { source_lists, store, queue: jobs } = row!.read_episode;
      assert.deepEqual(Object.keys(source_lists!).sort(), ["animasu", "p11"]);
      assert.equal((store as Row[]).length, 1);
      assert.equal((jobs as Row[]).length, 1);
    },
  },
  {
    name: "save_sources: a direct address of 4096 bytes → asked for, of 4097 → left out",
    async run(queue) {
      const address = (bytes: number) => `https://a.test/${"x".repeat(bytes - "https://a.test/".length)}`;
      const servers = [
        { resolution: "720p", video_url: address(4096) },
        { resolution: "480p", video_url: address(4097) },
      ];
      await queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { animasu: { state: "ok", servers } } });
      const rows = await queue.sql`select resolution from public.video_queue`;
      assert.deepEqual(rows.map((row) => row["resolution"]), ["720p"]);
    },
  },
  {
    name: "rights withdrawn → the row says why; a catalogue entry's new title → kept",
    async run(queue) {
      const job = await queue.enqueue();
      await queue.rpc("apply_providers", { entries: [], dry_run: false });
      assert.match(String((await queue.row(job["id"]))["error_message"]), /no archiving rights/);
      const title = async (text: string) => {
        const entries = [{ mal_id: 1, episode: 1, title: text, sources: [], rights: "own work" }];
        await queue.rpc("import_catalogue", { entries, dry_run: false });
        return (await queue.sql`select title from public.catalogue`)[0]!["title"];
      };
      assert.deepEqual([await title("first"), await title("second")], ["first", "second"]);
    },
  },
  {
    name: "redact looks at 8192 characters",
    async run(queue) {
      const text = `https://a.test/?${"x".repeat(8192 - "https://a.test/?".length)} tail`;
      const [row] = await queue.sql`select keepstream.redact(${text}) as message`;
      assert.equal(row!["message"], "https://a.test/?…");
    },
  },
  {
    name: "copies whose maker fell silent → failed, due in 5 to 30 seconds, and then the sweep notifies the runner",
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
    name: "record_replica_hash of a copy without one → copy and archive hold it, and an event says so; of none → 404",
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
      const nobody = { ...args, replica_id: crypto.randomUUID() };
      assert.equal(await outcome(queue.rpc("record_replica_hash", nobody)), "PT404");
    },
  },
  {
    name: "takedown → names the title's own copies that are somewhere; an archive without an account → 0",
    async run(queue) {
      const other = await queue.archived({ mal_id: 2, episode: 1 });
      const job = await queue.uploading({ mal_id: 1, episode: 1 });
      await queue.rpc("upsert_video_store", archiveOf(job, { hf_account: null }));
      const stores = await queue.sql`select mal_id, hf_account from public.video_store order by mal_id`;
      assert.deepEqual(stores.map((row) => [row["mal_id"], row["hf_account"]]), [[1, 0], [2, 1]]);
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const [taken] = await queue.rpc<{ takedown: { copies: Row[] } }>("takedown", { mal_id: 1 });
      assert.deepEqual(taken!.takedown.copies, [
        { target: "hf-1", account: 1, repo: "user-1/media", path: archiveOf(job)["hf_path"] },
      ]);
      assert.equal((await queue.row(other.job.id))["status"], "ready");
    },
  },
  {
    name: "ended by hand while nothing declares a right → for the reason that the hand gave",
    async run(queue) {
      const job = await queue.downloading();
      await queue.sql`update public.providers set rights = null where true`;
      await queue.sql`
        update public.video_queue set status = 'failed', error_class = 'drm', terminal_at = now() where id = ${job.id}`;
      assert.equal((await queue.row(job.id))["error_class"], "drm");
    },
  },
  {
    name: "a claim, a move to uploading and a move by hand say when",
    async run(queue) {
      const { id } = await queue.enqueue();
      const isNew = async (move: () => Promise<unknown>) => {
        await queue.sql`update public.video_queue set updated_at = now() - interval '1 hour' where true`;
        await move();
        assert.ok(((await queue.row(id))["updated_at"] as Date).getTime() > Date.now() - 1_800_000);
      };
      await isNew(() => queue.claim());
      await isNew(async () => queue.update(await queue.row(id), "uploading"));
      await isNew(() => queue.sql`update public.video_queue set status = 'pending' where true`);
    },
  },
  {
    name:
      "import_catalogue of what is there → unchanged, in a dry run too, where the last of two equal keys is the one",
    async run(queue) {
      const sources = (url: string) => [{ url: `https://o.test/${url}` }];
      const entry = (title: string) => ({ mal_id: 1, episode: 1, title, sources: sources(title), rights: "CC BY" });
      const imported = async (titles: readonly string[], dry_run: boolean) => {
        const [row] = await queue.rpc("import_catalogue", { entries: titles.map(entry), dry_run });
        const { changed, unchanged } = row!["import_catalogue"] as Row;
        return [changed, unchanged];
      };
      await imported(["B"], false);
      for (const dry_run of [true, false]) {
        assert.deepEqual(await imported(["A", "B"], dry_run), [0, 1]);
        assert.deepEqual(await imported(["B", "A"], true), [1, 0]);
      }
      await imported(["C"], false);
      const [row] = await queue.sql`select title, sources from public.catalogue`;
      assert.deepEqual({ ...row }, { title: "C", sources: sources("C") });
    },
  },
  {
    name: "a job and its addresses begin where they should: priority 1, ranks from 0, no progress of an earlier run",
    async run(queue) {
      const job = await queue.enqueue();
      assert.equal(job["priority"], 1);
      await queue.enqueue({ episode: job["episode"], video_url: "https://b.test/v.mp4" });
      const ranks = await queue.sql`select rank from public.video_candidates order by rank`;
      assert.deepEqual(ranks.map((row) => row["rank"]), [0, 1]);
      await queue.sql`update public.video_queue set progress = '{"phase": "upload"}' where true`;
      await queue.claimOne();
      assert.equal((await queue.row(job["id"]))["progress"], null);
    },
  },
  {
    name: "a repair that failed and then succeeds → due when the target said, then no word of the failure is left",
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
  {
    name: "a copy that is missing and was not served first → repaired from the start, and what is served stays",
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
  {
    name: "the documented retry by hand of a job that is held → given back, and its failures stay counted",
    async run(queue) {
      const { id } = await queue.downloading();
      await queue.update(await queue.row(id), "failed", { error_class: "network" });
      await queue.travel(3600);
      for (const status of ["downloading", "uploading"]) {
        await queue.claimOne();
        await queue.update(await queue.row(id), status);
        await queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where id = ${id}`;
        const row = await queue.row(id);
        assert.deepEqual([row["status"], row["attempts"], row["retry_count"]], ["pending", 1, 1]);
        assert.deepEqual(await brokenInvariants(queue.sql), []);
      }
    },
  },
  {
    name:
      "an address that is the last and expires → its class stands at it, the row keeps it; a cancel's event has its class",
    async run(queue) {
      const job = await queue.downloading({ embed_url: "https://e.test/1" });
      await queue.sql`update public.video_queue set updated_at = now() - interval '1 hour' where true`;
      const row = await queue.update(job, "failed", { error_class: "source_expired" });
      assert.equal(row["embed_url"], "https://e.test/1");
      assert.ok((row["updated_at"] as Date).getTime() > Date.now() - 1_800_000);
      const [address] = await queue.sql`select last_error_class from public.video_candidates`;
      assert.equal(address!["last_error_class"], "source_expired");
      assert.deepEqual([row["attempts"], row["retry_count"]], [1, 1]);
      await queue.sql`update public.video_queue set status = 'pending' where true`;
      assert.deepEqual(await brokenInvariants(queue.sql), []);
      await queue.rpc("cancel_video", { id: job.id });
      const [event] = await queue.sql`select error_class from keepstream.events where kind = 'cancelled'`;
      assert.equal(event!["error_class"], "cancelled");
    },
  },
  {
    name: "retry_videos of one that waits for its back-off → due now, its attempts and failures start over",
    async run(queue) {
      const job = await queue.downloading();
      await queue.update(job, "failed", { error_class: "network" });
      assert.equal((await queue.rpc("retry_videos", { ids: [job.id] }))[0]!["retry_videos"], 1);
      const row = await queue.row(job.id);
      assert.deepEqual([row["status"], row["attempts"], row["retry_count"]], ["pending", 0, 0]);
      assert.equal((await queue.claimOne()).id, job.id);
    },
  },
];
