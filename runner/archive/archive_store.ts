// The database calls of archive maintenance: claim repairs, report missing copies, take down titles.
// Example: `const repairs = await store.claimRepairs(4)`.

import { z } from "zod";
import type { ErrorClass } from "../../core/errors.ts";
import { RpcError } from "../../core/rpc_error.ts";
import { createDatabase, dataOf } from "../queue/database.ts";
import type { Title } from "../targets/target.ts";

const PAGE_ROWS = 500;
const REPAIRS_PER_PLAN = 1000;

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
const copyRow = source.extend({
  state: z.enum(["verified", "missing"]),
  sha256: z.string().nullable(),
  size_bytes: z.number().nullable(),
}).transform((row) => ({
  id: row.id,
  target: row.target,
  state: row.state,
  location: { repo: row.repo, path: row.path },
  sha256: row.sha256,
  sizeBytes: row.size_bytes,
}));
const obsoleteRows = z.array(
  z.object({ id: z.string(), target: z.string(), repo: z.string(), path: z.string() }).transform((row) => ({
    id: row.id,
    target: row.target,
    location: { repo: row.repo, path: row.path },
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
export type RecordedCopy = z.output<typeof copyRow>;
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

export type ArchiveStore = ReturnType<typeof createArchiveStore>;

export function createArchiveStore(options: { url: string; key: string; worker: string }) {
  const { call, rows, from } = createDatabase(options);

  /** null if the copy's row was deleted, by a takedown or a new archive. */
  const callForCopy: typeof call = async (...args) => {
    try {
      return await call(...args);
    } catch (error) {
      if (error instanceof RpcError && error.status === 404) return null;
      throw error;
    }
  };

  return {
    /** Adds a repair for every archive without a copy on one of these targets. Returns how many. */
    async planRepairs(targets: readonly string[]): Promise<number> {
      for (let planned = 0;;) {
        const more = z.number().parse(await call("plan_replica_repairs", { targets, limit: REPAIRS_PER_PLAN }));
        planned += more;
        if (more < REPAIRS_PER_PLAN) return planned;
      }
    },

    async claimRepairs(limit: number): Promise<Repair[]> {
      return repairRows.parse(await call("claim_replica_repairs", { limit, worker: options.worker }));
    },

    /** Returns the ids whose lease is lost. */
    async extendRepairs(repairs: readonly Repair[]): Promise<string[]> {
      const rows = await call("extend_replica_lease", {
        ids: repairs.map((repair) => repair.id),
        lease_tokens: repairs.map((repair) => repair.leaseToken),
      });
      return z.array(z.object({ id: z.string(), lost: z.boolean() })).parse(rows)
        .filter((row) => row.lost).map((row) => row.id);
    },

    /** "lost": another runner has the repair. "gone": the archive was deleted, by a takedown or with its last copy. */
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

    /** Copies that a new archive replaced and that no row refers to. */
    async claimObsolete(targets: readonly string[]): Promise<ObsoleteCopy[]> {
      return obsoleteRows.parse(await call("claim_obsolete_copies", { targets }));
    },

    async forgetObsolete(id: string): Promise<void> {
      await call("forget_obsolete_copy", { id });
    },

    /** The copy was not found. Verifications on three different days confirm it as missing. */
    async reportMissing(copyId: string, report: { error: string; verification?: boolean }): Promise<void> {
      await callForCopy("report_replica_missing", { replica_id: copyId, verification: false, ...report });
    },

    /** The copy has other bytes than were archived. It is kept until a correct one replaces it. */
    async reportDamaged(copyId: string, report: { error: string }): Promise<void> {
      await callForCopy("report_replica_missing", { replica_id: copyId, damaged: true, ...report });
    },

    async confirmMissing(copyId: string): Promise<void> {
      await callForCopy("confirm_replica_missing", { replica_id: copyId });
    },

    /** false: the bytes are not those that were archived. */
    async reportFound(copyId: string, held: { sha256: string; sizeBytes: number }): Promise<boolean> {
      const args = { replica_id: copyId, sha256: held.sha256, size_bytes: held.sizeBytes };
      return z.boolean().nullable().parse(await callForCopy("report_replica_found", args)) ?? true;
    },

    /** Compares the id stored on a target with the registered one. */
    async checkTarget(target: string, id: string | null) {
      return targetVerdict.parse(await call("check_storage_target", { target, id }));
    },

    /** Returns the registered id: the first one, unless it is replaced. */
    async registerTarget(target: string, id: string, options: { replace: boolean }): Promise<string> {
      return z.uuid().parse(await call("register_storage_target", { target, id, ...options }));
    },

    /** Stores the hash of a copy that has none; false if the archive has another hash. */
    async recordHash(copyId: string, held: { sha256: string; sizeBytes: number }): Promise<boolean> {
      const args = { replica_id: copyId, sha256: held.sha256, size_bytes: held.sizeBytes };
      return z.boolean().parse(await call("record_replica_hash", args));
    },

    /** Returns the copies to remove, of this takedown and unfinished earlier ones; `targets` stay pending until `finishTakedown`. */
    async takeDown(title: Title, targets: readonly string[] = []): Promise<TakenDown> {
      return takedownSchema.parse(await call("takedown", { ...keyOf(title), targets }));
    },

    /** Everything of the title was removed from the target. */
    async finishTakedown(title: Title, target: string): Promise<void> {
      await call("finish_takedown", { ...keyOf(title), target });
    },

    /** false: the title was not taken down. */
    async liftTakedown(title: Title, options: { dryRun: boolean }): Promise<boolean> {
      return z.boolean().parse(await call("lift_takedown", { ...keyOf(title), dry_run: options.dryRun }));
    },

    /** How many copies `recordedCopies` yields. */
    async countRecorded(target?: string): Promise<number> {
      const query = from("video_replicas").select("id", { count: "exact", head: true }).in("state", RECORDED);
      const response = await (target === undefined ? query : query.eq("target", target));
      dataOf("video_replicas", response as never);
      return response.count ?? 0;
    },

    /** Copies whose state is verified or missing, page by page. */
    async *recordedCopies(target?: string): AsyncGenerator<RecordedCopy> {
      for (let after = "";;) {
        let query = from("video_replicas").select("id,target,state,repo,path,sha256,size_bytes")
          .in("state", RECORDED).order("id").limit(PAGE_ROWS);
        if (target !== undefined) query = query.eq("target", target);
        const page = await rows("video_replicas", copyRow, after === "" ? query : query.gt("id", after));
        yield* page;
        if (page.length < PAGE_ROWS) return;
        after = page.at(-1)!.id;
      }
    },
  };
}
