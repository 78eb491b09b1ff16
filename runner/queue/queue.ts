/**
 * The runner's calls of the queue. A lost lease throws LeaseLost; every other failure is an RpcError, whose `isUnavailable` tells whether
 * the call may be repeated. Example: `const jobs = await queue.claim(2)`.
 */
import { z } from "zod";
import { RpcError } from "../../core/rpc_error.ts";
import { parseQualities, type QualityPolicy } from "../download/quality_policy.ts";
import { type ArgsOf, createDatabase, type DatabaseClient, dataOf, RPC_TIMEOUT_MS } from "./database.ts";
import { describedSource } from "./described_source.ts";
import {
  type ArchiveRow,
  type Failure,
  type Job,
  jobSchema,
  LeaseLost,
  type LeaseState,
  leaseStateSchema,
} from "./job.ts";
import { mediaRow } from "./media_row.ts";

/** A stopping runner waits for these. */
const SHORT_TIMEOUT_MS = 3000;
/** pg_cron sweeps every 30 s: two runs were missed. */
const SWEEP_OVERDUE_SECONDS = 75;
/** Below the timeout of a monitor's request. */
const COUNTS_TIMEOUT_MS = 4000;

const idRow = z.object({ id: z.string() });

export type Queue = ReturnType<typeof createQueue>;

export function createQueue(options: { url: string; key: string; worker: string; leaseSeconds: number }) {
  /** Unique per process: a restarted container has its predecessor's name. */
  const owner = `${options.worker}#${crypto.randomUUID().slice(0, 8)}`;
  const database = createDatabase(options);

  /** A write that names a lease. */
  const call: DatabaseClient["call"] = async (...args) => {
    try {
      return await database.call(...args);
    } catch (error) {
      const lost = error instanceof RpcError && (error.status === 409 || error.isMissingRow);
      throw lost ? new LeaseLost(error.message, { cause: error }) : error;
    }
  };

  return {
    async claim(limit: number): Promise<Job[]> {
      const rows = await call("claim_pending_videos", { limit, worker: owner, lease_seconds: options.leaseSeconds });
      return z.array(jobSchema).parse(rows);
    },

    /** The largest waiting height of a job's source, which this runner holds; null if none waits. */
    async claimHeight(mainId: string): Promise<Job | null> {
      const rows = await call("claim_height", {
        heights_of: mainId,
        worker: owner,
        lease_seconds: options.leaseSeconds,
      });
      return z.array(jobSchema).parse(rows)[0] ?? null;
    },

    /** Enqueues further heights of the job's source, held for this runner. Returns how many are unfinished. */
    async enqueueHeights(job: Job, heights: readonly number[]): Promise<number> {
      const unfinished = await call("enqueue_heights", {
        id: job.id,
        lease_token: job.leaseToken,
        heights,
        hold_seconds: options.leaseSeconds,
      });
      return z.number().parse(unfinished);
    },

    /** `isOver`: other runners may have the waiting heights now. */
    async holdHeights(mainId: string, { isOver }: { isOver: boolean }): Promise<void> {
      const seconds = isOver ? 0 : options.leaseSeconds;
      await database.call("hold_heights", { id: mainId, hold_seconds: seconds }, SHORT_TIMEOUT_MS);
    },

    /** Whether another height of the source is unfinished, so that its shared segments are still needed. */
    async hasOtherHeights({ id, heightOf }: Pick<Job, "id" | "heightOf">): Promise<boolean> {
      const query = database.from("video_queue").select("id").eq("height_of", heightOf ?? id).neq("id", id)
        .neq("status", "ready").is("terminal_at", null).limit(1).abortSignal(AbortSignal.timeout(SHORT_TIMEOUT_MS));
      return (await database.rows("video_queue", idRow, query)).length > 0;
    },

    /** Which heights of the provider's sources are archived; `label` if the database lacks the function. */
    async qualities(provider: string): Promise<QualityPolicy> {
      const text = await database.call("read_qualities", { provider }).catch((error) => {
        if (isUnavailable(error)) throw error;
        return null;
      });
      return parseQualities(z.string().nullable().catch(null).parse(text));
    },

    /**
     * Releases leases that this process owns and does not have a job for: the response to a claim was lost, or the claim was sent twice
     * (Deno 2.9 repeats a POST when a kept-alive connection breaks; so do some proxies). Call it only while no claim is under way.
     * Returns how many.
     */
    async releaseUnknownLeases(known: readonly Job[]): Promise<number> {
      const leased = dataOf(
        "leased_videos",
        await database.rpc("leased_videos").eq("lease_owner", owner).select("id,lease_token"),
      );
      const tokens = new Set(known.map((job) => job.leaseToken));
      const unknown = z.array(z.object({ id: z.string(), lease_token: z.string() })).parse(leased)
        .filter((row) => !tokens.has(row.lease_token));
      for (const row of unknown) {
        await call("update_video_queue_status", {
          ...row,
          status: "pending",
          error: "the response to the claim was lost",
          error_class: "shutdown",
        });
      }
      return unknown.length;
    },

    /** `progress` by job id; jobs that are left out keep their last progress. */
    async heartbeat(jobs: readonly Job[], progress: Readonly<Record<string, unknown>>): Promise<LeaseState[]> {
      const rows = await call("extend_video_lease", {
        ids: jobs.map((job) => job.id),
        lease_tokens: jobs.map((job) => job.leaseToken),
        lease_seconds: options.leaseSeconds,
        progress,
      });
      return z.array(leaseStateSchema).parse(rows);
    },

    /** Returns the resulting status: after a cancel it is `failed`, whatever was reported. */
    async report(job: Job, status: "uploading" | "failed" | "pending", failure?: Failure): Promise<string> {
      const row = await call("update_video_queue_status", {
        id: job.id,
        status,
        lease_token: job.leaseToken,
        ...(failure === undefined ? {} : {
          error: failure.message,
          error_class: failure.code,
          retry_after_seconds: failure.retryAfterSeconds ?? null,
          candidate_id: failure.candidateId,
        }),
      });
      return z.object({ status: z.string() }).parse(row).status;
    },

    /** Makes the job ready. Returns the replica ids by target. */
    async commitArchive(job: Job, archive: ArchiveRow): Promise<ReadonlyMap<string, string>> {
      const primary = archive.replicas.find((replica) => replica.state === "verified")!;
      const row = await call("upsert_video_store", {
        mal_id: job.malId,
        episode: job.episode,
        provider: job.provider,
        resolution: job.resolution,
        file_key: archive.fileKey,
        hf_account: primary.account,
        hf_repo: primary.repo,
        hf_path: primary.path,
        hf_direct_url: primary.direct_url,
        stream_url: null,
        lease_token: job.leaseToken,
        sha256: archive.sha256,
        size_bytes: archive.sizeBytes,
        duration_seconds: archive.durationSeconds,
        replicas: archive.replicas,
        ...mediaRow(archive.media),
      });
      const { id } = idRow.parse(row);
      const replicas = await database.rows(
        "video_replicas",
        idRow.extend({ target: z.string() }),
        database.from("video_replicas").select("id,target").eq("store_id", id),
      );
      return new Map(replicas.map((replica) => [replica.target, replica.id]));
    },

    /** Whether this token still holds all of them. */
    async extendReplicas(ids: readonly string[], leaseToken: string): Promise<boolean> {
      const rows = await call("extend_replica_lease", { ids, lease_tokens: ids.map(() => leaseToken) });
      return z.array(z.object({ lost: z.boolean() })).parse(rows).every((row) => !row.lost);
    },

    /** false after a takedown, which deletes the row. */
    async hasReplica(id: string): Promise<boolean> {
      const rows = await database.rows(
        "video_replicas",
        idRow,
        database.from("video_replicas").select("id").eq("id", id),
      );
      return rows.length > 0;
    },

    /** Copies of the archive that the job replaces; empty if there is none. */
    async recordedCopies(
      jobId: string,
    ): Promise<readonly { target: string; repo: string | null; path: string | null }[]> {
      const stores = await database.rows(
        "video_store",
        idRow,
        database.from("video_store").select("id").eq("queue_id", jobId),
      );
      if (stores.length === 0) return [];
      return await database.rows(
        "video_replicas",
        z.object({ target: z.string(), repo: z.string().nullable(), path: z.string().nullable() }),
        database.from("video_replicas").select("target,repo,path").in("store_id", stores.map(({ id }) => id)),
      );
    },

    /** false after a takedown, which deletes the row. */
    async hasJob(id: string): Promise<boolean> {
      const query = database.from("video_queue").select("id").eq("id", id)
        .abortSignal(AbortSignal.timeout(SHORT_TIMEOUT_MS));
      return (await database.rows("video_queue", idRow, query)).length > 0;
    },

    async completeReplica(id: string, leaseToken: string, outcome: Record<string, unknown>): Promise<void> {
      await call("complete_replica", { id, lease_token: leaseToken, ...outcome });
    },

    /** What the operator declared about a video. */
    async describeSource(video: { malId: number; episode: number; provider: string }) {
      const { malId, episode, provider } = video;
      return describedSource.parse(await call("describe_source", { mal_id: malId, episode, provider }));
    },

    /** Serialises commits per repository across runners. null: another runner holds the lock. */
    async lockResource(resource: string, seconds: number): Promise<{ slot: number; epoch: number } | null> {
      const rows = await call("acquire_resource_lease", { resource, holder: owner, lease_seconds: seconds });
      const [row] = z.array(z.object({ slot: z.number(), epoch: z.number() })).parse(rows);
      return row ?? null;
    },

    async unlockResource(resource: string, lock: { slot: number; epoch: number }): Promise<void> {
      await call("release_resource_lease", { resource, slot: lock.slot, epoch: lock.epoch });
    },

    async enqueue(video: ArgsOf<"enqueue_video">): Promise<{ id: string; status: string }> {
      return z.object({ id: z.string(), status: z.string() }).parse(await call("enqueue_video", video));
    },

    /** Those that are archived, dead letters, or deleted, and whose further heights are, too. */
    async finishedJobIds(ids: readonly string[]): Promise<ReadonlySet<string>> {
      const list = ids.join(",");
      const query = database.from("video_queue").select("id,height_of").or(`id.in.(${list}),height_of.in.(${list})`)
        .neq("status", "ready").is("terminal_at", null).abortSignal(AbortSignal.timeout(RPC_TIMEOUT_MS));
      const rows = await database.rows("video_queue", idRow.extend({ height_of: z.string().nullable() }), query);
      const open = new Set(rows.flatMap((row) => [row.id, row.height_of]));
      return new Set(ids.filter((id) => !open.has(id)));
    },

    /** Archives (by store id) without a copy to repair, or that are deleted. */
    async finishedRepairIds(storeIds: readonly string[]): Promise<ReadonlySet<string>> {
      const query = database.from("video_replicas").select("store_id").in("store_id", [...storeIds])
        .neq("state", "verified").abortSignal(AbortSignal.timeout(RPC_TIMEOUT_MS));
      const rows = await database.rows("video_replicas", z.object({ store_id: z.string() }), query);
      const open = new Set(rows.map((row) => row.store_id));
      return new Set(storeIds.filter((id) => !open.has(id)));
    },

    /** Sweeps if pg_cron does not. Returns the number of rescued leases; null if a sweep was recent or another runner does it. */
    async sweepIfOverdue(): Promise<number | null> {
      const swept = await call("sweep_if_overdue", { seconds: SWEEP_OVERDUE_SECONDS });
      return z.object({ rescued: z.number() }).nullable().parse(swept)?.rescued ?? null;
    },

    async counts(): Promise<Readonly<Record<string, unknown>>> {
      return z.record(z.string(), z.unknown()).parse(await call("queue_counts", {}, COUNTS_TIMEOUT_MS));
    },
  };
}

/** Whether the call may be repeated: no response, or one of an overloaded server. */
export function isUnavailable(error: unknown): error is RpcError {
  return error instanceof RpcError && error.isUnavailable;
}
