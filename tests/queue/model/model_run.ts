/** One run of random operations: each is compared with the reference, then all invariants are checked. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type { QueueFixture } from "../fixture/queue_fixture.ts";
import { archiveOf, type ClaimedJob, outcome, type Row } from "../fixture/rpc.ts";
import {
  CLASSES,
  EPISODES,
  HEIGHTS,
  type Operation,
  OPERATIONS,
  REPORTS,
  RESOLUTIONS,
  TRAVELS,
  URLS,
} from "./choices.ts";
import { brokenInvariants } from "./invariants.ts";
import * as model from "./queue_model.ts";
import type { Random } from "./random.ts";

interface Seen extends Row {
  readonly id: string;
  readonly due: boolean;
  readonly expired: boolean;
  /** Too close to a deadline to predict the next call. */
  readonly unclear: boolean;
  readonly run_at: Date;
  readonly lease_expires_at: Date | null;
}

export class ModelRun {
  readonly summary: Record<string, number> = {};
  readonly anon: Sql;
  operation = "";
  private readonly jobs = new Map<string, model.ModelJob>();
  private readonly keys = new Map<string, model.ModelJob>();
  private seen = new Map<string, Seen>();

  constructor(private readonly queue: QueueFixture, private readonly random: Random) {
    this.anon = queue.connect("anon");
  }

  async step(): Promise<string> {
    await this.observe();
    let operation: Operation = this.random.weighted(OPERATIONS);
    if ([...this.seen.values()].some((row) => row.unclear)) operation = "travel";
    this.operation = operation;
    const said = await this[operation]();
    await this.compare();
    this.count(operation);
    return `${operation} ${said ?? ""}`;
  }

  /** Without faults, every job becomes ready or a dead letter. */
  async drain(): Promise<void> {
    const open = () => this.queue.sql`select from public.video_queue where status <> 'ready' and terminal_at is null`;
    for (let round = 0; round < 40 && (await open()).length > 0; round++) {
      await this.queue.travel(30_000);
      await this.queue.rpc("sweep");
      for (const job of await this.queue.claim(50, "drain")) {
        await this.queue.update(job, "uploading");
        await this.queue.rpc("upsert_video_store", archiveOf(job));
      }
    }
    assert.equal((await open()).length, 0, "jobs are left that are neither ready nor dead letters");
    assert.deepEqual(await brokenInvariants(this.queue.sql), []);
  }

  private count(name: string) {
    this.summary[name] = (this.summary[name] ?? 0) + 1;
  }

  private async observe(): Promise<void> {
    const rows = await this.queue.sql<Seen[]>`
      select *, run_at <= clock_timestamp() as due, coalesce(lease_expires_at <= clock_timestamp(), false) as expired,
        (status in ('pending', 'failed') and terminal_at is null and run_at between clock_timestamp() and clock_timestamp() + interval '2 seconds')
        or coalesce(lease_expires_at between clock_timestamp() and clock_timestamp() + interval '2 seconds', false)
        or coalesce(abs(extract(epoch from clock_timestamp() - revived_at) - 86400) < 3, false) as unclear,
        revived_at is null or revived_at < clock_timestamp() - interval '1 day' as may_revive
      from public.video_queue`;
    this.seen = new Map(rows.map((row) => [row.id, row]));
  }

  /** Compares the whole queue with the model, then checks the invariants. */
  private async compare(): Promise<void> {
    const before = this.seen;
    await this.observe();
    assert.equal(this.seen.size, this.keys.size, "one row per key");
    const candidates = await this.queue.sql<Row[]>`select * from public.video_candidates order by queue_id, rank`;
    for (const row of this.seen.values()) {
      const job = this.jobs.get(row.id);
      assert.ok(job, "a row that was not enqueued");
      assert.deepEqual(
        {
          status: row["status"],
          attempts: row["attempts"],
          retryCount: row["retry_count"],
          epoch: row["lease_epoch"],
          terminal: row["terminal_at"] !== null,
          errorClass: row["error_class"],
          token: row["lease_token"],
          cancelRequested: row["cancel_requested_at"] !== null,
        },
        {
          status: job.status,
          attempts: job.attempts,
          retryCount: job.retryCount,
          epoch: job.epoch,
          terminal: job.terminal,
          errorClass: job.errorClass,
          token: job.token,
          cancelRequested: job.cancelRequested,
        },
        job.key,
      );
      assert.deepEqual(
        candidates.filter((candidate) => candidate["queue_id"] === row.id).map((
          candidate,
        ) => [candidate["rank"], candidate["video_url"], candidate["state"], candidate["fails"]]),
        job.candidates.map((candidate) => [candidate.rank, candidate.url, candidate.state, candidate.fails]),
        `candidates of ${job.key}`,
      );
      const was = before.get(row.id);
      if (was) assert.ok((row["lease_epoch"] as number) >= (was["lease_epoch"] as number), "the epoch decreased");
    }
    assert.deepEqual(await brokenInvariants(this.queue.sql), []);
  }

  private async call(name: string, args: Row): Promise<string> {
    const code = await this.queue.refusal(name, args); // a refusal changes nothing
    this.count(`${name}:${code}`);
    return code;
  }

  private anyJob(): model.ModelJob | undefined {
    return this.jobs.size === 0 ? undefined : this.random.pick([...this.jobs.values()]);
  }

  private preferred(wanted: (job: model.ModelJob) => boolean): model.ModelJob | undefined {
    const jobs = [...this.jobs.values()].filter(wanted);
    return jobs.length > 0 && this.random.chance(0.85) ? this.random.pick(jobs) : this.anyJob();
  }

  /** Usually the current token, otherwise an old, foreign or missing one. */
  private tokenFor(job: model.ModelJob): string | null {
    if (job.token !== null && this.random.chance(0.85)) return job.token;
    const all = [...this.jobs.values()].flatMap((other) => other.tokens);
    return this.random.pick([
      null,
      crypto.randomUUID(),
      ...(job.tokens.length > 0 ? job.tokens : [null]),
      ...(all.length > 0 ? [this.random.pick(all)] : []),
    ]);
  }

  private video() {
    const episode = this.random.pick(EPISODES);
    const resolution = this.random.pick(RESOLUTIONS);
    return {
      mal_id: 55825,
      episode,
      provider: "animasu",
      resolution,
      video_url: this.random.pick(URLS),
      priority: episode % 4,
    };
  }

  private noteEnqueue(video: ReturnType<ModelRun["video"]>, row: Row): boolean {
    const key = `${video.episode}/${video.resolution}`;
    const known = this.keys.get(key);
    if (known) {
      assert.equal(row["id"], known.id, "the same key, another row");
      const isNew = !known.candidates.some(({ url }) => url === video.video_url);
      const heights = [...this.jobs.values()].filter((job) =>
        isNew && job.heightOf === known.id && job.status !== "ready"
      );
      const changed = [known, ...heights].map((job) => {
        const mayRevive = this.seen.get(job.id)?.["may_revive"] !== false;
        return model.enqueueAgain(job, video.video_url, mayRevive);
      });
      return changed.some((one) => one);
    }
    const job = model.newJob(row["id"] as string, key, { priority: video.priority, url: video.video_url });
    this.keys.set(key, job);
    this.jobs.set(job.id, job);
    return true;
  }

  private async enqueue(): Promise<string> {
    const video = this.video();
    const before = await this.queue.digest();
    const [row] = await this.queue.rpc("enqueue_video", video);
    const changed = this.noteEnqueue(video, row!);
    if (!changed) assert.equal(await this.queue.digest(), before, "a known url changed something");
    return `${video.episode}/${video.resolution} ${video.video_url}${changed ? "" : " (known)"}`;
  }

  private async enqueueBatch(): Promise<void> {
    const videos = [this.video(), this.video(), this.video()];
    const rows = await this.queue.rpc("enqueue_videos", { videos });
    const order = (video: { episode: number; resolution: string | null }) =>
      `${video.episode}/${video.resolution ?? "~"}`;
    const sorted = videos.map((video, place) => ({ video, place })).sort((a, b) =>
      order(a.video) < order(b.video) ? -1 : order(a.video) > order(b.video) ? 1 : a.place - b.place
    );
    sorted.forEach(({ video }, index) => this.noteEnqueue(video, rows[index]!));
  }

  private async claim(): Promise<string> {
    const limit = this.random.pick([0, 1, 1, 2, 3, 50]);
    const due = [...this.jobs.values()].filter((job) => model.isClaimable(job) && this.seen.get(job.id)!.due).sort(
      (a, b) => {
        const [left, right] = [this.seen.get(a.id)!, this.seen.get(b.id)!];
        return a.priority - b.priority || left.run_at.getTime() - right.run_at.getTime();
      },
    );
    const claimed = await this.queue.claim(limit, this.random.pick(["runner-a", "runner-b"]));
    assert.ok(claimed.length <= limit, "more than the limit");
    assert.equal(claimed.length, Math.min(limit, due.length), "all due jobs, and no others");
    // postgres.js rounds times to milliseconds, so rows with equal times may come in any order:
    // compare priorities and membership only.
    assert.deepEqual(claimed.map((job) => job["priority"]), due.slice(0, claimed.length).map((job) => job.priority));
    for (const row of claimed) {
      const job = this.jobs.get(row.id)!;
      assert.ok(due.includes(job), "the job was not claimable");
      assert.ok(job.revivable, "a dead letter without a new url or operator");
      assert.equal(row.lease_epoch, job.epoch + 1, "the epoch increases by one");
      assert.ok(!job.tokens.includes(row.lease_token), "a token was reused");
      assert.deepEqual(
        row.candidates.map((candidate) => candidate.video_url),
        model.liveCandidates(job).map((candidate) => candidate.url),
      );
      model.claim(job, row.lease_token);
    }
    return claimed.map((job) => this.jobs.get(job.id)!.key).join(", ");
  }

  private async enqueueHeights(): Promise<string | undefined> {
    const job = this.preferred(model.isActive);
    if (!job) return;
    const token = this.tokenFor(job);
    const expected = model.mayEnqueueHeights(job, { token, expired: this.seen.get(job.id)!.expired });
    const code = await this.call("enqueue_heights", {
      id: job.id,
      lease_token: token,
      heights: HEIGHTS,
      hold_seconds: 60,
    });
    assert.equal(code, expected, `heights of ${job.key}`);
    if (code !== "accepted" || job.cancelRequested) return `${job.key} → ${code}`;
    const rows = await this.queue.sql<Row[]>`
      select id, episode, resolution from public.video_queue where height_of = ${job.id}`;
    const episode = job.key.split("/")[0];
    const missing = HEIGHTS.map((height) => `${episode}/${height}p`).filter((key) => !this.keys.has(key));
    for (const row of rows) {
      const key = `${row["episode"]}/${row["resolution"]}`;
      if (!missing.includes(key)) continue;
      const options = { priority: Math.min(job.priority + 1, 3), url: job.inUse!, heightOf: job.id };
      const height = model.newJob(row["id"] as string, key, options);
      this.keys.set(key, height);
      this.jobs.set(height.id, height);
    }
    assert.deepEqual(missing.filter((key) => !this.keys.has(key)), [], "a height was not enqueued");
    return `${job.key} → ${missing.length}`;
  }

  private async claimHeight(): Promise<string | undefined> {
    const job = this.preferred((other) => model.waitingHeights([...this.jobs.values()], other.id).length > 0);
    if (!job) return;
    const [expected] = model.waitingHeights([...this.jobs.values()], job.id);
    const [row] = await this.queue.rpc<ClaimedJob>("claim_height", { heights_of: job.id, worker: "runner-a" });
    assert.equal(row?.id, expected?.id, `the next height of ${job.key}`);
    if (row === undefined) return `${job.key}: none`;
    assert.equal(row.lease_epoch, expected!.epoch + 1);
    model.claim(expected!, row.lease_token);
    return expected!.key;
  }

  private async holdHeights(): Promise<string | undefined> {
    const job = this.anyJob();
    if (!job) return;
    const seconds = this.random.pick([0, 60, 600]);
    const [row] = await this.queue.rpc("hold_heights", { id: job.id, hold_seconds: seconds });
    assert.equal(row!["hold_heights"], model.waitingHeights([...this.jobs.values()], job.id).length);
    return `${job.key} for ${seconds} s`;
  }

  private async report(): Promise<string | undefined> {
    const job = this.preferred(model.isActive);
    if (!job) return;
    const token = this.tokenFor(job);
    const status = this.random.weighted(REPORTS);
    const errorClass = status === "failed" || this.random.chance(0.1) ? this.random.weighted(CLASSES) : null;
    const expected = model.report(job, { token, status, errorClass, expired: this.seen.get(job.id)!.expired });
    const code = await this.call("update_video_queue_status", {
      id: job.id,
      status,
      lease_token: token,
      error_class: errorClass,
      error: this.random.chance(0.5) ? "text" : null,
      progress: this.random.chance(0.3) ? { bytes_done: 1 } : null,
    });
    assert.equal(code, expected, `${status} of ${job.key}`);
    return `${job.key} ${status} ${errorClass ?? ""} → ${code}`;
  }

  private async complete(): Promise<string | undefined> {
    const job = this.preferred((other) => other.status === "uploading");
    if (!job) return;
    const token = this.tokenFor(job);
    const sha256 = "ab".repeat(32);
    const expected = model.complete(job, { token, sha256, expired: this.seen.get(job.id)!.expired });
    const code = await this.call("upsert_video_store", this.archive(job, token, sha256));
    assert.equal(code, expected, `completion of ${job.key}`);
    return `${job.key} → ${code}`;
  }

  private archive(job: model.ModelJob, token: string | null, sha256: string): Row {
    const row = this.seen.get(job.id)!;
    const args = archiveOf({ ...row, lease_token: token }, { sha256 });
    const [copy] = args["replicas"] as Row[];
    const replicas = [{ ...copy, sha256 }, { ...copy, target: "hf-2", repo: "user-2/media", sha256 }];
    return { ...args, replicas };
  }

  private async replay(): Promise<string | undefined> {
    const job = this.preferred((other) => other.status === "ready");
    if (!job?.archive || job.status !== "ready") return;
    const before = await this.queue.digest();
    const code = await this.call("upsert_video_store", this.archive(job, job.archive.token, job.archive.sha256));
    assert.equal(code, "accepted", "a repeated call was refused");
    assert.equal(await this.queue.digest(), before, "a repeated call changed something");
    return job.key;
  }

  private async extend(): Promise<void> {
    const jobs = [...this.jobs.values()].filter(() => this.random.chance(0.7));
    const tokens = jobs.map((job) => this.tokenFor(job) ?? crypto.randomUUID());
    const seconds = this.random.pick([10, 60, 120, 600]);
    const rows = await this.queue.rpc("extend_video_lease", {
      ids: jobs.map((job) => job.id),
      lease_tokens: tokens,
      lease_seconds: seconds,
    });
    rows.forEach((row, index) => {
      const job = jobs[index]!;
      const was = this.seen.get(job.id)!;
      assert.equal(row["lost"], job.token !== tokens[index] || was.expired, `heartbeat of ${job.key}`);
      if (row["lost"]) return;
      assert.equal(row["cancel_requested"], job.cancelRequested);
      assert.ok((row["lease_expires_at"] as Date).getTime() >= was.lease_expires_at!.getTime(), "shortened");
    });
  }

  private async cancel(): Promise<string | undefined> {
    const job = this.anyJob();
    if (!job) return;
    const expected = model.cancel(job);
    assert.equal(await this.call("cancel_video", { id: job.id }), expected);
    return job.key;
  }

  private async sweep(): Promise<string> {
    const [{ sweep } = {}] = await this.queue.rpc<{ sweep: Row }>("sweep");
    const expired = [...this.jobs.values()].filter((job) => this.seen.get(job.id)!.expired);
    assert.equal(sweep!["rescued"], expired.length);
    for (const job of expired) model.rescue(job);
    return expired.map((job) => job.key).join(", ");
  }

  private async travel(): Promise<string> {
    const seconds = this.random.pick(TRAVELS);
    await this.queue.travel(seconds);
    return `${seconds} s`;
  }

  private async retryByOperator(): Promise<void> {
    await this.queue.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
    for (const job of this.jobs.values()) model.retryByOperator(job);
  }

  private async rearchive(): Promise<string | undefined> {
    const job = [...this.jobs.values()].find((other) => other.status === "ready");
    if (!job) return;
    await this.queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
    model.rearchive(job);
    return job.key;
  }

  private async loseCopy(): Promise<string | undefined> {
    const job = this.preferred((other) => other.archive !== null);
    if (!job?.archive) return;
    if (this.random.chance(0.1)) {
      await this.queue.sql`delete from public.video_store where queue_id = ${job.id}`;
      model.loseArchive(job);
      return `${job.key}, all of them`;
    }
    const copiesThatAre = (state: string) =>
      this.queue.sql<{ id: string }[]>`
        select r.id from public.video_replicas r join public.video_store s on s.id = r.store_id
        where s.queue_id = ${job.id} and r.state = ${state} order by r.target`;
    const copies = await copiesThatAre("verified");
    assert.equal(copies.length, job.archive.copies);
    if (copies.length > 0) {
      await this.queue.rpc("report_replica_missing", { replica_id: this.random.pick(copies).id });
      model.reportMissing(job);
    }
    const missing = await copiesThatAre("missing");
    if (missing.length === 0 || this.random.chance(0.4)) return `${job.key} missing`;
    await this.queue.rpc("confirm_replica_missing", { replica_id: this.random.pick(missing).id });
    model.confirmMissing(job);
    return `${job.key} lost`;
  }

  private async repair(): Promise<string | undefined> {
    const [repair] = await this.queue.rpc("claim_replica_repairs", { limit: 1, worker: "repair" });
    if (!repair) return;
    const job = this.keys.get(`${repair["episode"]}/${repair["resolution"]}`)!;
    if (this.random.chance(0.3)) {
      await this.queue.rpc("complete_replica", {
        id: repair["id"],
        lease_token: repair["lease_token"],
        state: "failed",
        error_class: "storage_conflict",
      });
      return `${job.key} failed`;
    }
    const [{ missing } = {}] = await this.queue.sql`
      select missing_since is not null as missing from public.video_replicas where id = ${repair["id"] as string}`;
    await this.queue.rpc("complete_replica", {
      id: repair["id"],
      lease_token: repair["lease_token"],
      sha256: repair["sha256"],
      size_bytes: repair["size_bytes"],
    });
    model.repairCopy(job, missing as boolean);
    return job.key;
  }

  /** anon is refused everything. */
  private async asAnon(): Promise<void> {
    for (
      const attempt of [
        "select * from public.claim_pending_videos(1)",
        "select * from public.video_queue",
        "update public.video_queue set status = 'pending' where true",
        "select public.sweep()",
      ]
    ) assert.equal(await outcome(this.anon.unsafe(attempt)), "42501", "anon was accepted");
  }
}
