/** Candidates of a job: their order, and what a failure does to them. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import type { ClaimedJob, Row } from "../fixture/rpc.ts";

const A = "https://a.test/v.mp4", B = "https://b.test/v.mp4", C = "https://c.test/v.mp4";

async function claimedWith(queue: QueueFixture, urls: readonly string[]): Promise<ClaimedJob> {
  for (const video_url of urls) await queue.enqueue({ episode: 1, video_url });
  return await queue.claimOne();
}

const urls = (job: ClaimedJob) => job.candidates.map((candidate) => candidate.video_url);

export const CANDIDATES: readonly Scenario[] = [
  {
    name: "source_expired: candidates left → the next, no attempt counted",
    async run(queue) {
      const first = await claimedWith(queue, [A, B, C]);
      assert.deepEqual(urls(first), [A, B, C]);
      const row = await queue.update(first, "failed", { error_class: "source_expired", error: "gone" });
      assert.deepEqual(
        [
          row["status"],
          row["attempts"],
          row["retry_count"],
          row["video_url"],
          row["error_class"],
          row["error_message"],
        ],
        ["pending", 0, 0, B, "source_expired", "gone"],
      );
      assert.equal((await queue.events(first.id)).at(-1), "released");
      const second = await queue.claimOne();
      assert.deepEqual(urls(second), [B, C]);
      await queue.update(second, "failed", { error_class: "source_expired" });
      const third = await queue.claimOne();
      assert.deepEqual(urls(third), [C]);
      const spent = await queue.update(third, "failed", { error_class: "source_expired" });
      assert.deepEqual([spent["status"], spent["attempts"], spent["retry_count"], spent["terminal_at"]], [
        "failed",
        1,
        1,
        null,
      ]);
      assert.equal((await queue.claim()).length, 0, "backs off");
      await queue.travel(61);
      const again = await queue.claimOne();
      assert.equal(urls(again).length, 3, "their pages may list new urls by now");
    },
  },
  {
    name: "source_expired: a named candidate → that one; a foreign one → none",
    async run(queue) {
      const job = await claimedWith(queue, [A, B]);
      const row = await queue.update(job, "failed", {
        error_class: "source_expired",
        candidate_id: job.candidates[1]!.id,
      });
      assert.equal(row["video_url"], A);
      const again = await queue.claimOne();
      assert.deepEqual(urls(again), [A]);
      const other = await queue.downloading({ episode: 2 });
      await queue.update(again, "failed", { error_class: "network", candidate_id: other.candidates[0]!.id });
      const [foreign] = await queue.sql`select fails from public.video_candidates where id = ${
        other.candidates[0]!.id
      }`;
      assert.equal(foreign!["fails"], 0);
      const [own] = await queue.sql`select fails, last_error_class from public.video_candidates where id = ${
        again.candidates[0]!.id
      }`;
      assert.deepEqual({ ...own }, { fails: 0, last_error_class: null });
    },
  },
  {
    name: "candidates: one that fails more often → tried later",
    async run(queue) {
      const job = await claimedWith(queue, [A, B]);
      const row = await queue.update(job, "failed", { error_class: "upstream_5xx" });
      assert.equal(row["status"], "failed");
      assert.equal(row["video_url"], B);
      await queue.travel(61);
      const again = await queue.claimOne();
      assert.deepEqual(urls(again), [B, A]);
    },
  },
  {
    name: "failure not counted against the source → same candidate first",
    async run(queue) {
      for (const error_class of ["storage_5xx", "storage_denied", "storage_conflict", "disk_full", "unknown"]) {
        const job = await claimedWith(queue, [A, B]);
        const row = await queue.update(job, "failed", { error_class });
        assert.equal(row["error_class"], error_class);
        await queue.travel(700);
        const again = await queue.claimOne();
        assert.deepEqual(again.candidates, job.candidates);
        await queue.reset();
      }
    },
  },
  {
    name: "discard_source: the candidate is dead; the last one → dead letter",
    async run(queue) {
      const job = await claimedWith(queue, [A, B]);
      const row = await queue.update(job, "failed", { error_class: "drm" });
      assert.deepEqual([row["status"], row["terminal_at"], row["attempts"], row["video_url"]], ["failed", null, 1, B]);
      const again = await queue.claimOne();
      assert.deepEqual(urls(again), [B]);
      const dead = await queue.update(again, "failed", { error_class: "unsupported" });
      assert.ok(dead["terminal_at"]);
      assert.equal(dead["error_class"], "unsupported");
      await queue.enqueue({ episode: 1, video_url: A });
      await queue.enqueue({ episode: 1, video_url: B });
      assert.ok((await queue.row(job.id))["terminal_at"], "both candidates are dead");
    },
  },
  {
    name: "expired candidates: after the backoff → live; dead ones stay dead",
    async run(queue) {
      const job = await claimedWith(queue, [A, B]);
      await queue.update(job, "failed", { error_class: "drm" });
      const again = await queue.claimOne();
      await queue.update(again, "failed", { error_class: "source_expired" });
      await queue.travel(200);
      assert.deepEqual(urls(await queue.claimOne()), [B]);
    },
  },
  {
    name: "retry by an operator: all candidates dead → all live again",
    async run(queue) {
      const job = await claimedWith(queue, [A, B]);
      await queue.update(job, "failed", { error_class: "drm" });
      await queue.update(await queue.claimOne(), "failed", { error_class: "drm" });
      const retry = () =>
        queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
      await retry();
      const again = await queue.claimOne();
      assert.deepEqual(urls(again), [A, B]);
      await queue.update(again, "failed", { error_class: "drm" });
      await retry();
      assert.deepEqual(urls(await queue.claimOne()), [B]);
    },
  },
  {
    name: "candidates: over the limit → the worst one is replaced",
    async run(queue) {
      const job = await claimedWith(queue, Array.from({ length: 16 }, (_, n) => `https://a.test/${n}`));
      await queue.update(job, "failed", { error_class: "network", candidate_id: job.candidates[3]!.id });
      await queue.enqueue({ episode: 1, video_url: "https://a.test/16" });
      const rows = await queue.sql`select video_url from public.video_candidates order by rank`;
      assert.equal(rows.length, 16);
      assert.ok(!rows.some((row) => row["video_url"] === "https://a.test/3"));
      assert.equal(rows.at(-1)!["video_url"], "https://a.test/16");
    },
  },
  {
    name: "candidates: the failed one was replaced → no other is charged",
    async run(queue) {
      const urls = Array.from({ length: 16 }, (_, n) => `https://a.test/${n}`);
      const job = await claimedWith(queue, urls);
      await queue.enqueue({ episode: 1, video_url: "https://a.test/16" });
      const left = await queue.sql`select video_url from public.video_candidates order by rank`;
      assert.deepEqual(left.map((row) => row["video_url"]), [...urls.slice(0, 15), "https://a.test/16"]);
      await queue.update(job, "failed", { error_class: "unsupported", candidate_id: job.candidates[15]!.id });
      const states = await queue.sql`select distinct state, fails from public.video_candidates`;
      assert.deepEqual(states.map((row) => ({ ...row })), [{ state: "live", fails: 0 }]);
    },
  },
  {
    name: "candidate in use: over the limit → kept, and stays first",
    async run(queue) {
      await claimedWith(queue, [A]).then((job) => queue.update(job, "failed", { error_class: "network" }));
      await queue.travel(61);
      const job = await queue.claimOne();
      for (let n = 0; n < 40; n++) await queue.enqueue({ episode: 1, video_url: `https://new.test/${n}` });
      const known = await queue.sql`select video_url, fails from public.video_candidates order by rank`;
      assert.equal(known.length, 16);
      assert.deepEqual({ ...known[0] }, { video_url: A, fails: 1 });
      assert.equal(known.at(-1)!["video_url"], "https://new.test/39");
      await queue.update(job, "pending");
      const again = await queue.claimOne();
      assert.deepEqual(urls(again).slice(0, 2), [A, "https://new.test/0"], "the candidate in use stays first");
      await queue.update(again, "failed", { error_class: "network" });
      const [blamed] = await queue.sql`select fails from public.video_candidates where video_url = ${A}`;
      assert.equal(blamed!["fails"], 2, "no other one, although none was named");
      await queue.travel(200);
      assert.equal(urls(await queue.claimOne())[0], "https://new.test/0");
    },
  },
  {
    name: "candidate of a job without a lease: over the limit → replaceable",
    async run(queue) {
      const job = await claimedWith(queue, [A]);
      await queue.update(job, "failed", { error_class: "network" });
      for (let n = 0; n < 16; n++) await queue.enqueue({ episode: 1, video_url: `https://new.test/${n}` });
      assert.equal((await queue.sql`select from public.video_candidates where video_url = ${A}`).length, 0);
      await queue.enqueue({ episode: 2 });
      for (let n = 0; n < 16; n++) await queue.enqueue({ episode: 2, video_url: `https://new.test/${n}` });
      const [first] = await queue.sql`
        select q.candidates -> 0 ->> 'video_url' as url from public.video_queue q where q.episode = 2`;
      assert.equal(first!["url"], A, "none failed: the last one is replaced");
    },
  },
  {
    name: "new url for a leased job without candidates → its own one first",
    async run(queue) {
      const byHand = async (episode: number, embed_url: string | null) => {
        await queue.sql`
          insert into public.video_queue (mal_id, episode, provider, video_url, embed_url) values (1, ${episode}, 'animasu', ${A}, ${embed_url})`;
        return await queue.claimOne();
      };
      const add = (episode: number, candidate: Row) =>
        queue.enqueue({ mal_id: 1, episode, resolution: null, ...candidate });
      for (const [episode, page] of [[1, null], [2, "https://own.test/"]] as const) {
        const job = await byHand(episode, page);
        await add(episode, { video_url: B });
        assert.deepEqual(await brokenInvariants(queue.sql), []);
        const row = await queue.update(job, "failed", { error_class: "unsupported" });
        assert.equal(row["terminal_at"], null, "the new url was not tried");
        assert.deepEqual(urls(await queue.claimOne()), [B]);
        const known = await queue.sql`
          select video_url, embed_url, state, rank from public.video_candidates where queue_id = ${job.id} order by rank`;
        assert.deepEqual(known.map((one) => ({ ...one })), [
          { video_url: A, embed_url: page, state: "dead", rank: 0 },
          { video_url: B, embed_url: null, state: "live", rank: 1 },
        ]);
      }
      const again = await byHand(3, null);
      await add(3, { video_url: A });
      assert.deepEqual(await brokenInvariants(queue.sql), []);
      const row = await queue.update(again, "failed", { error_class: "unsupported" });
      assert.ok(row["terminal_at"], "its own url is the only one");
    },
  },
  {
    name: "job inserted by hand: no candidates → claimed with its own url",
    async run(queue) {
      await queue
        .sql`insert into public.video_queue (mal_id, episode, provider, video_url, embed_url) values (1, 1, 'animasu', ${A}, ${B})`;
      const job = await queue.claimOne();
      assert.deepEqual(job.candidates, [
        { id: null, rank: 0, video_url: A, embed_url: B, kind: null, headers: {}, expires_at: null, fails: 0 },
      ] as unknown[]);
      const row = await queue.update(job, "failed", { error_class: "source_expired" });
      assert.equal(row["status"], "failed");
    },
  },
];
