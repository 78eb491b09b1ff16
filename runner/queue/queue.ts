/**
 * The queue as the runner sees it: supabase-js RPCs with their answers parsed, a lost lease told apart from a queue that is away.
 * Example: `const jobs = await queue.claim(2)`. Runs on: Deno.
 */
import { createClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { ErrorClass } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";

const RPC_TIMEOUT_MS = 15_000;
/** For a question whose answer a stopping runner waits for. */
const LOOK_TIMEOUT_MS = 3000;
/** pg_cron sweeps every 30 s; two runs that were missed are one too many. */
const SWEEP_OVERDUE_SECONDS = 75;
/** A monitor that asks for them waits no longer than that. */
const COUNTS_TIMEOUT_MS = 4000;

const headers = z.record(z.string(), z.string()).catch({});

const candidateSchema = z.object({
  id: z.string().nullish(),
  embed_url: z.string().nullable(),
  video_url: z.string().nullable(),
  kind: z.string().nullable(),
  headers: headers.nullish(),
}).transform((row) => ({
  id: row.id ?? null,
  embedUrl: row.embed_url,
  videoUrl: row.video_url,
  kind: row.kind,
  headers: row.headers ?? {},
}));

const jobSchema = z.object({
  id: z.uuid(), // names a directory
  mal_id: z.number(),
  episode: z.number(),
  provider: z.string(),
  resolution: z.string().nullable(),
  lease_token: z.string(),
  attempts: z.number(),
  max_attempts: z.number(),
  candidates: z.array(candidateSchema).min(1),
}).transform((row) => ({
  id: row.id,
  malId: row.mal_id,
  episode: row.episode,
  provider: row.provider,
  resolution: row.resolution,
  leaseToken: row.lease_token,
  attempt: row.attempts,
  maxAttempts: row.max_attempts,
  candidates: row.candidates,
}));

const leaseSchema = z.object({ id: z.string(), cancel_requested: z.boolean(), lost: z.boolean() });

export type Candidate = z.output<typeof candidateSchema>;
export type Job = z.output<typeof jobSchema>;
export type LeaseState = z.output<typeof leaseSchema>;

export type Failure = {
  readonly code: ErrorClass;
  readonly message: string;
  readonly retryAfterSeconds?: number | undefined;
  readonly candidateId: string | null;
};

export type ReplicaRow = {
  readonly target: string;
  readonly account: number | null;
  readonly repo: string | null;
  readonly path: string | null;
  readonly direct_url: string | null;
  readonly commit_oid: string | null;
  readonly sha256: string | null;
  readonly size_bytes: number | null;
  readonly state: "verified" | "uploading" | "failed";
};

export type ArchiveRow = {
  readonly fileKey: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly durationSeconds: number;
  readonly replicas: readonly ReplicaRow[];
};

/** Somebody else holds the job now, or it was finished: stop, and change nothing. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
}

/** The queue could not be asked; what was asked may or may not have happened. */
export class QueueUnavailable extends Error {
  override readonly name = "QueueUnavailable";
}

export type Queue = ReturnType<typeof createQueue>;

export function createQueue(options: { url: string; key: string; worker: string; leaseSeconds: number }) {
  /** This process and no other: a restarted container has its predecessor's name. */
  const owner = `${options.worker}#${crypto.randomUUID().slice(0, 8)}`;
  const client = createClient(options.url, options.key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });

  async function call(name: string, args: Record<string, unknown>, ms = RPC_TIMEOUT_MS): Promise<unknown> {
    const { data, error, status } = await client.rpc(name, args).abortSignal(AbortSignal.timeout(ms));
    if (error === null) return data;
    throw rpcError(name, { status, message: error.message, code: error.code });
  }

  return {
    async claim(limit: number): Promise<Job[]> {
      const rows = await call("claim_pending_videos", { limit, worker: owner, lease_seconds: options.leaseSeconds });
      return z.array(jobSchema).parse(rows);
    },

    /**
     * Gives back the leases that were handed to this process and that it does not know: the answer to a claim was lost, or fetch sent
     * it twice (Deno 2.9 does, POST too, when a kept connection breaks under it), or a proxy did. Only while no claim is under way.
     * Answers how many.
     */
    async giveBackStrays(known: readonly Job[]): Promise<number> {
      const { data, error, status } = await client.rpc("leased_videos").eq("lease_owner", owner).select(
        "id,lease_token",
      );
      if (error !== null) throw rpcError("leased_videos", { status, message: error.message, code: error.code });
      const tokens = new Set(known.map((job) => job.leaseToken));
      const strays = z.array(z.object({ id: z.string(), lease_token: z.string() })).parse(data)
        .filter((row) => !tokens.has(row.lease_token));
      for (const stray of strays) {
        await call("update_video_queue_status", {
          ...stray,
          status: "pending",
          error: "claimed, but the answer never arrived",
          error_class: "shutdown",
        });
      }
      return strays.length;
    },

    /** `progress` by job id; jobs left out keep theirs. */
    async heartbeat(jobs: readonly Job[], progress: Readonly<Record<string, unknown>>): Promise<LeaseState[]> {
      const rows = await call("extend_video_lease", {
        ids: jobs.map((job) => job.id),
        lease_tokens: jobs.map((job) => job.leaseToken),
        lease_seconds: options.leaseSeconds,
        progress,
      });
      return z.array(leaseSchema).parse(rows);
    },

    /** Answers the status the row has now: a cancel turns any move into failed. */
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

    /** Makes the job ready. Answers the ids of the replicas by target. */
    async record(job: Job, archive: ArchiveRow): Promise<ReadonlyMap<string, string>> {
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
      });
      const { id } = z.object({ id: z.string() }).parse(row);
      const { data, error, status } = await client.from("video_replicas").select("id,target").eq("store_id", id);
      if (error !== null) throw rpcError("video_replicas", { status, message: error.message, code: error.code });
      const rows = z.array(z.object({ id: z.string(), target: z.string() })).parse(data);
      return new Map(rows.map((replica) => [replica.target, replica.id]));
    },

    /** Whether all of them are still held by this token. */
    async extendReplicas(ids: readonly string[], leaseToken: string): Promise<boolean> {
      const rows = await call("extend_replica_lease", { ids, lease_tokens: ids.map(() => leaseToken) });
      return z.array(z.object({ lost: z.boolean() })).parse(rows).every((row) => !row.lost);
    },

    /** Whether the copy is still to be kept: a takedown removes its row. */
    async hasReplica(id: string): Promise<boolean> {
      const { data, error, status } = await client.from("video_replicas").select("id").eq("id", id);
      if (error !== null) throw rpcError("video_replicas", { status, message: error.message, code: error.code });
      return z.array(z.unknown()).parse(data).length > 0;
    },

    /** Where the archive that a job is to replace has copies; none when there is no archive. */
    async recordedCopies(
      jobId: string,
    ): Promise<readonly { target: string; repo: string | null; path: string | null }[]> {
      const store = await client.from("video_store").select("id").eq("queue_id", jobId);
      if (store.error !== null) throw rpcError("video_store", { status: store.status, ...store.error });
      const ids = z.array(z.object({ id: z.string() })).parse(store.data).map((row) => row.id);
      if (ids.length === 0) return [];
      const { data, error, status } = await client.from("video_replicas").select("target,repo,path").in(
        "store_id",
        ids,
      );
      if (error !== null) throw rpcError("video_replicas", { status, message: error.message, code: error.code });
      return z.array(z.object({ target: z.string(), repo: z.string().nullable(), path: z.string().nullable() })).parse(
        data,
      );
    },

    /** Whether there still is such a job: a takedown removes its row. */
    async hasJob(id: string): Promise<boolean> {
      const { data, error, status } = await client.from("video_queue").select("id").eq("id", id)
        .abortSignal(AbortSignal.timeout(LOOK_TIMEOUT_MS));
      if (error !== null) throw rpcError("video_queue", { status, message: error.message, code: error.code });
      return z.array(z.unknown()).parse(data).length > 0;
    },

    async completeReplica(id: string, leaseToken: string, outcome: Record<string, unknown>): Promise<void> {
      await call("complete_replica", { id, lease_token: leaseToken, ...outcome });
    },

    /** One commit at a time per repository, across runners. null: somebody else is at it. */
    async lockResource(resource: string, seconds: number): Promise<{ slot: number; epoch: number } | null> {
      const rows = await call("acquire_resource_lease", { resource, holder: owner, lease_seconds: seconds });
      const [row] = z.array(z.object({ slot: z.number(), epoch: z.number() })).parse(rows);
      return row ?? null;
    },

    async unlockResource(resource: string, lock: { slot: number; epoch: number }): Promise<void> {
      await call("release_resource_lease", { resource, slot: lock.slot, epoch: lock.epoch });
    },

    async enqueue(video: Record<string, unknown>): Promise<{ id: string; status: string }> {
      return z.object({ id: z.string(), status: z.string() }).parse(await call("enqueue_video", video));
    },

    /** Which of these jobs nobody will work on again, as things are: archived, dead or gone. */
    async overJobs(ids: readonly string[]): Promise<ReadonlySet<string>> {
      const { data, error, status } = await client.from("video_queue").select("id").in("id", [...ids])
        .neq("status", "ready").is("terminal_at", null).abortSignal(AbortSignal.timeout(RPC_TIMEOUT_MS));
      if (error !== null) throw rpcError("video_queue", { status, message: error.message, code: error.code });
      const alive = new Set(z.array(z.object({ id: z.string() })).parse(data).map((row) => row.id));
      return new Set(ids.filter((id) => !alive.has(id)));
    },

    /** Which of these archives have all their copies, or are gone: nothing is left to repair. */
    async overRepairs(storeIds: readonly string[]): Promise<ReadonlySet<string>> {
      const { data, error, status } = await client.from("video_replicas").select("store_id").in("store_id", [
        ...storeIds,
      ])
        .neq("state", "verified").abortSignal(AbortSignal.timeout(RPC_TIMEOUT_MS));
      if (error !== null) throw rpcError("video_replicas", { status, message: error.message, code: error.code });
      const open = new Set(z.array(z.object({ store_id: z.string() })).parse(data).map((row) => row.store_id));
      return new Set(storeIds.filter((id) => !open.has(id)));
    },

    /** Does what pg_cron should. Answers how many leases were reclaimed; null: the last sweep is recent, or another runner is at it. */
    async sweepIfOverdue(): Promise<number | null> {
      const swept = await call("sweep_if_overdue", { seconds: SWEEP_OVERDUE_SECONDS });
      return z.object({ rescued: z.number() }).nullable().parse(swept)?.rescued ?? null;
    },

    async counts(): Promise<Readonly<Record<string, unknown>>> {
      return z.record(z.string(), z.unknown()).parse(await call("queue_counts", {}, COUNTS_TIMEOUT_MS));
    },
  };
}

/** A refusal that the queue put into words for whoever called: not a lost lease, not an outage. */
export class QueueRefusal extends Error {
  override readonly name = "QueueRefusal";
  readonly status: number;
  readonly code: string | undefined;
  constructor(status: number, message: string, code?: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** What stands between runner and queue answers as it likes: an error of a proxy has no code. */
function rpcError(name: string, answer: { status: number; message: string; code?: string | undefined }): Error {
  const message = `${name}: ${redactText(answer.message)}`;
  const missingFunction = answer.code?.startsWith("PGRST") ?? false;
  if (answer.status === 409 || (answer.status === 404 && !missingFunction)) return new LeaseLost(message);
  if (answer.status === 0 || answer.status >= 500 || answer.status === 429) return new QueueUnavailable(message);
  return new QueueRefusal(answer.status, message, answer.code);
}
