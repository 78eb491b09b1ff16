// The rows of archives and their copies, as maintenance needs them: claim what is to be repaired, tell what is missing, take down.
// Example: `const repairs = await store.claimRepairs(4)`. Runs on: Deno.

import { createClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { ErrorClass } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import type { Title } from "../targets/target.ts";

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
    damaged: z.boolean(),
    sources: z.array(source).nullable(),
  }).transform((row) => ({
    id: row.id,
    storeId: row.store_id,
    target: row.target,
    leaseToken: row.lease_token,
    archive: { malId: row.mal_id, episode: row.episode, fileKey: row.file_key },
    sha256: row.sha256,
    sizeBytes: row.size_bytes,
    damaged: row.damaged,
    sources: row.sources ?? [],
  })),
);
const copyRows = z.array(
  source.extend({
    state: z.enum(["verified", "missing"]),
    sha256: z.string().nullable(),
    size_bytes: z.number().nullable(),
  }).transform((row) => ({
    id: row.id,
    target: row.target,
    state: row.state,
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
const RECORDED = ["verified", "missing"];
const targetVerdict = z.enum(["known", "new", "gone", "other", "unregistered"]);
const keyOf = (title: Title) => ({ mal_id: title.malId, episode: title.episode ?? null });
const takedownSchema = z.object({
  jobs: z.number(),
  copies: z.array(z.object({ target: z.string(), repo: z.string(), path: z.string() })),
  targets: z.array(z.string()),
});

export type Repair = z.output<typeof repairRows>[number];
export type RecordedCopy = z.output<typeof copyRows>[number];
export type ObsoleteCopy = z.output<typeof obsoleteRows>[number];
export type TakenDown = z.output<typeof takedownSchema>;

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
    readonly error_class?: ErrorClass;
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

  /** Like call; null for a copy whose row is gone meanwhile, by a takedown or a new archive. */
  async function callForCopy(name: string, args: Record<string, unknown>): Promise<unknown> {
    try {
      return await call(name, args);
    } catch (error) {
      if (error instanceof RpcError && error.status === 404) return null;
      throw error;
    }
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

    /** A recorded copy is not where it should be. A verification counts: three, on three days, confirm it. */
    async reportMissing(copyId: string, report: { error: string; verification?: boolean }): Promise<void> {
      await callForCopy("report_replica_missing", { replica_id: copyId, verification: false, ...report });
    },

    /** A recorded copy holds other bytes. It stays where it is until a sound one can replace it; the last one is left alone. */
    async reportDamaged(copyId: string, report: { error: string }): Promise<void> {
      await callForCopy("report_replica_missing", { replica_id: copyId, damaged: true, ...report });
    },

    async confirmMissing(copyId: string): Promise<void> {
      await callForCopy("confirm_replica_missing", { replica_id: copyId });
    },

    /** False when what was read is not what was archived. */
    async reportFound(copyId: string, held: { sha256: string; sizeBytes: number }): Promise<boolean> {
      const args = { replica_id: copyId, sha256: held.sha256, size_bytes: held.sizeBytes };
      return z.boolean().nullable().parse(await callForCopy("report_replica_found", args)) ?? true;
    },

    /** What the id on a target, or its absence, says of the target. */
    async checkUrl(target: string, id: string | null) {
      return targetVerdict.parse(await call("check_storage_target", { target, id }));
    },

    /** The id that counts: the first one that was registered, unless it is replaced. */
    async registerTarget(target: string, id: string, options: { replace: boolean }): Promise<string> {
      return z.uuid().parse(await call("register_storage_target", { target, id, ...options }));
    },

    /** Writes down what a copy without a recorded hash holds; false when the archive is known to be something else. */
    async recordHash(copyId: string, held: { sha256: string; sizeBytes: number }): Promise<boolean> {
      const args = { replica_id: copyId, sha256: held.sha256, size_bytes: held.sizeBytes };
      return z.boolean().parse(await call("record_replica_hash", args));
    },

    /** Returns what is to be removed where, of this call and of earlier ones; `targets` are remembered until they are finished. */
    async takeDown(title: Title, targets: readonly string[] = []): Promise<TakenDown> {
      return takedownSchema.parse(await call("takedown", { ...keyOf(title), targets }));
    },

    /** Nothing of the title is left on the target. */
    async finishTakedown(title: Title, target: string): Promise<void> {
      await call("finish_takedown", { ...keyOf(title), target });
    },

    /** False when it was not taken down; a dry run only tells. */
    async liftTakedown(title: Title, options: { dryRun: boolean }): Promise<boolean> {
      return z.boolean().parse(await call("lift_takedown", { ...keyOf(title), dry_run: options.dryRun }));
    },

    /** How many copies `recordedCopies` has, of one target or of all. */
    async countRecorded(target?: string): Promise<number> {
      const query = client.from("video_replicas").select("id", { count: "exact", head: true }).in("state", RECORDED);
      const { count, error } = await (target === undefined ? query : query.eq("target", target));
      if (error) throw new Error(`video_replicas: ${redactText(error.message)}`);
      return count ?? 0;
    },

    /** Every copy that is recorded as verified or as missing, page by page. */
    async *recordedCopies(target?: string): AsyncGenerator<RecordedCopy> {
      for (let after = "";;) {
        let query = client.from("video_replicas").select("id,target,state,repo,path,sha256,size_bytes")
          .in("state", RECORDED).order("id").limit(PAGE_ROWS);
        if (target !== undefined) query = query.eq("target", target);
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
