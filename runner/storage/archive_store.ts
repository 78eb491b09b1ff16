// The rows of archives and their copies, as maintenance needs them: claim what is to be repaired, tell what is missing, take down.
// Example: `const repairs = await store.claimRepairs(4)`. Runs on: Deno.

import { createClient } from "@supabase/supabase-js";
import { z } from "zod";
import { redactText } from "../../core/redact.ts";

const RPC_TIMEOUT_MS = 15_000;
const PAGE_ROWS = 500;
const PLAN_AT_ONCE = 1000;

const source = z.object({ id: z.string(), target: z.string(), repo: z.string(), path: z.string() });
const repairRows = z.array(
  z.object({
    id: z.string(),
    store_id: z.string(),
    target: z.string(),
    lease_token: z.string(),
    mal_id: z.number(),
    episode: z.number(),
    file_key: z.string(),
    sha256: z.string().nullable(),
    size_bytes: z.number().nullable(),
    sources: z.array(source).nullable(),
  }).transform((row) => ({
    id: row.id,
    storeId: row.store_id,
    target: row.target,
    leaseToken: row.lease_token,
    archive: { malId: row.mal_id, episode: row.episode, fileKey: row.file_key },
    sha256: row.sha256,
    sizeBytes: row.size_bytes,
    sources: row.sources ?? [],
  })),
);
const copyRows = z.array(
  source.extend({ store_id: z.string(), sha256: z.string().nullable(), size_bytes: z.number().nullable() }).transform((
    row,
  ) => ({
    id: row.id,
    storeId: row.store_id,
    target: row.target,
    address: { repo: row.repo, path: row.path },
    sha256: row.sha256,
    sizeBytes: row.size_bytes,
  })),
);
const obsoleteRows = z.array(
  z.object({ id: z.string(), target: z.string(), repo: z.string(), path: z.string() }).transform((row) => ({
    id: row.id,
    target: row.target,
    address: { repo: row.repo, path: row.path },
  })),
);
const takedownAnswer = z.object({
  jobs: z.number(),
  copies: z.array(z.object({ target: z.string(), repo: z.string(), path: z.string() })),
});

export type Repair = z.output<typeof repairRows>[number];
export type RecordedCopy = z.output<typeof copyRows>[number];
export type ObsoleteCopy = z.output<typeof obsoleteRows>[number];
export type TakenDown = z.output<typeof takedownAnswer>;

export type RepairOutcome =
  | {
    readonly state: "verified";
    readonly repo: string;
    readonly path: string;
    readonly commit_oid: string | null;
    readonly direct_url: string;
    readonly account: number;
    readonly sha256: string;
    readonly size_bytes: number;
  }
  | {
    readonly state: "failed" | "pending";
    readonly error?: string;
    readonly error_class?: string;
    readonly retry_after_seconds?: number;
  };

class RpcError extends Error {
  readonly status: number;
  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

export type ArchiveStore = ReturnType<typeof createArchiveStore>;

export function createArchiveStore(options: { url: string; key: string; worker: string }) {
  const client = createClient(options.url, options.key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });

  async function call(name: string, args: Record<string, unknown>): Promise<unknown> {
    const { data, error, status } = await client.rpc(name, args).abortSignal(AbortSignal.timeout(RPC_TIMEOUT_MS));
    if (error) throw new RpcError(`${name}: ${redactText(error.message)}`, status);
    return data;
  }

  return {
    /** Adds repair work for every archive that lacks a copy on one of these targets; returns how many. */
    async planRepairs(targets: readonly string[]): Promise<number> {
      for (let planned = 0;;) {
        const more = z.number().parse(await call("plan_replica_repairs", { targets, limit: PLAN_AT_ONCE }));
        planned += more;
        if (more < PLAN_AT_ONCE) return planned;
      }
    },

    async claimRepairs(limit: number): Promise<Repair[]> {
      return repairRows.parse(await call("claim_replica_repairs", { limit, worker: options.worker }));
    },

    /** Ids whose lease is lost: stop working on them. */
    async extendRepairs(repairs: readonly Repair[]): Promise<string[]> {
      const rows = await call("extend_replica_lease", {
        ids: repairs.map((repair) => repair.id),
        lease_tokens: repairs.map((repair) => repair.leaseToken),
      });
      return z.array(z.object({ id: z.string(), lost: z.boolean() })).parse(rows)
        .filter((row) => row.lost).map((row) => row.id);
    },

    /** "lost": another runner has it. "gone": its archive is no more, by a takedown or because its last copy was lost. */
    async completeRepair(repair: Repair, outcome: RepairOutcome): Promise<"done" | "lost" | "gone"> {
      try {
        await call("complete_replica", { id: repair.id, lease_token: repair.leaseToken, ...outcome });
        return "done";
      } catch (error) {
        if (error instanceof RpcError && error.status === 404) return "gone";
        if (error instanceof RpcError && error.status === 409) return "lost";
        throw error;
      }
    },

    /** Copies that a new archive has replaced and that nothing refers to any more. */
    async claimObsolete(targets: readonly string[]): Promise<ObsoleteCopy[]> {
      return obsoleteRows.parse(await call("claim_obsolete_copies", { targets }));
    },

    async forgetObsolete(id: string): Promise<void> {
      await call("forget_obsolete_copy", { id });
    },

    /** How many sound copies an archive has besides this one. */
    async countOthers(copy: RecordedCopy): Promise<number> {
      const { count, error } = await client.from("video_replicas").select("id", { count: "exact", head: true })
        .eq("store_id", copy.storeId).eq("state", "verified").neq("id", copy.id);
      if (error) throw new Error(`video_replicas: ${redactText(error.message)}`);
      return count ?? 0;
    },

    async reportMissing(copyId: string, error: string): Promise<void> {
      await call("report_replica_missing", { replica_id: copyId, error });
    },

    /** Writes down what a copy without a recorded hash holds; false when the archive is known to be something else. */
    async recordHash(copyId: string, held: { sha256: string; sizeBytes: number }): Promise<boolean> {
      const args = { replica_id: copyId, sha256: held.sha256, size_bytes: held.sizeBytes };
      return z.boolean().parse(await call("record_replica_hash", args));
    },

    async takeDown(malId: number, episode?: number): Promise<TakenDown> {
      return takedownAnswer.parse(await call("takedown", { mal_id: malId, episode: episode ?? null }));
    },

    /** False when it was not taken down; a dry run only tells. */
    async liftTakedown(title: { malId: number; episode?: number }, options: { dryRun: boolean }): Promise<boolean> {
      const args = { mal_id: title.malId, episode: title.episode ?? null, dry_run: options.dryRun };
      return z.boolean().parse(await call("lift_takedown", args));
    },

    /** Every copy that is recorded as verified, page by page. */
    async *verifiedCopies(): AsyncGenerator<RecordedCopy> {
      for (let after = "";;) {
        const query = client.from("video_replicas").select("id,store_id,target,repo,path,sha256,size_bytes")
          .eq("state", "verified").order("id").limit(PAGE_ROWS);
        const { data, error } = await (after === "" ? query : query.gt("id", after));
        if (error) throw new Error(`video_replicas: ${redactText(error.message)}`);
        const rows = copyRows.parse(data);
        yield* rows;
        if (rows.length < PAGE_ROWS) return;
        after = rows.at(-1)!.id;
      }
    },
  };
}
