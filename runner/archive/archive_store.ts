// The database calls of archive maintenance: claim repairs, report missing copies, take down titles.
// Example: `const repairs = await store.claimRepairs(4)`.

import { z } from "zod";
import { type ErrorClass, KeepstreamError } from "../../core/errors.ts";
import { presentationSchema } from "../../core/manifest/manifest.ts";
import { RpcError } from "../../core/rpc_error.ts";
import { createDatabase, dataOf } from "../queue/database.ts";
import { describedSource } from "../queue/described_source.ts";
import type { ArchiveDescription } from "../sidecars/manifest_of.ts";
import type { Title } from "../targets/target.ts";
import { storedChapters } from "./stored_chapters.ts";

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
  store_id: z.string(),
  state: z.enum(["verified", "missing"]),
  sha256: z.string().nullable(),
  size_bytes: z.number().nullable(),
}).transform((row) => ({
  id: row.id,
  storeId: row.store_id,
  target: row.target,
  state: row.state,
  location: { repo: row.repo, path: row.path },
  sha256: row.sha256,
  sizeBytes: row.size_bytes,
}));
const sidecarRepairRows = z.array(
  z.object({
    id: z.string(),
    store_id: z.string(),
    target: z.string(),
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
    archive: { malId: row.mal_id, episode: row.episode, fileKey: row.file_key },
    sha256: row.sha256,
    sizeBytes: row.size_bytes,
    sources: row.sources ?? [],
  })),
);
const presentationOf = z.object({ presentation: z.unknown() }).nullish();
const upgradableRows = z.array(
  z.object({
    id: z.uuid(), // names a directory
    mal_id: z.number(),
    episode: z.number(),
    provider: z.string(),
    resolution: z.string().nullable(),
    file_key: z.string(),
    sha256: z.string().nullable(),
    size_bytes: z.number().nullable(),
    duration_seconds: z.number().nullable(),
    media: z.record(z.string(), z.unknown()).nullable(),
    archived_at: z.string(),
    page: z.string().nullable(),
    copies: z.array(source.extend({ repo: z.string().nullable(), path: z.string().nullable(), state: z.string() })),
  }).transform(({ id, page, copies, resolution, provider, media, ...row }) => ({
    ...{ id, page, copies, resolution, provider, media },
    archive: { malId: row.mal_id, episode: row.episode, fileKey: row.file_key },
    sha256: row.sha256,
    sizeBytes: row.size_bytes,
    durationSeconds: row.duration_seconds,
    archivedAt: new Date(row.archived_at),
  })),
);
const describedRow = z.object({
  mal_id: z.number(),
  episode: z.number(),
  provider: z.string(),
  resolution: z.string().nullable(),
  file_key: z.string(),
  sha256: z.string(),
  size_bytes: z.number(),
  duration_seconds: z.number().nullable(),
  width: z.number().nullable(),
  height: z.number().nullable(),
  media: z.object({ presentation: presentationSchema.nullish().catch(null), chapters: storedChapters }).nullish(),
  created_at: z.string(),
}).transform((row) => ({
  malId: row.mal_id,
  episode: row.episode,
  provider: row.provider,
  resolution: row.resolution,
  fileKey: row.file_key,
  file: { sha256: row.sha256, sizeBytes: row.size_bytes },
  durationSeconds: row.duration_seconds ?? 0,
  width: row.width,
  height: row.height,
  presentation: row.media?.presentation ?? null,
  chapters: row.media?.chapters ?? [],
  page: null,
  kind: null,
  archivedAt: new Date(row.created_at),
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
export type SidecarRepair = z.output<typeof sidecarRepairRows>[number];
export type Upgradable = z.output<typeof upgradableRows>[number];
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

    /** The copy is served on, and runners add what it lacks. */
    async reportSidecars(copyId: string, report: { error: string }): Promise<void> {
      await call("report_sidecars_lacking", { replica_id: copyId, ...report });
    },

    async claimSidecarRepairs(targets: readonly string[]): Promise<SidecarRepair[]> {
      return sidecarRepairRows.parse(await call("claim_sidecar_repairs", { targets }));
    },

    /** false: it is no longer the same copy, by a takedown or a new archive. */
    async completeSidecarRepair(
      copyId: string,
      copy: { sha256: string; commitOid: string | null; directUrl: string },
    ): Promise<boolean> {
      const { sha256, commitOid, directUrl } = copy;
      const args = { replica_id: copyId, sha256, commit_oid: commitOid, direct_url: directUrl };
      return z.boolean().parse(await call("complete_sidecar_repair", args));
    },

    /** Whether the copy is recorded with this hash: not after a takedown or a new archive. */
    async isCopyOf(copyId: string, sha256: string): Promise<boolean> {
      const query = from("video_replicas").select("id").eq("id", copyId).eq("sha256", sha256);
      return (await rows("video_replicas", z.object({ id: z.string() }), query)).length > 0;
    },

    /** Those whose presentation is recorded: they have a manifest. */
    async storesWithManifest(storeIds: readonly string[]): Promise<ReadonlySet<string>> {
      const query = from("video_store").select("id,media").in("id", [...new Set(storeIds)]);
      const found = await rows("video_store", z.object({ id: z.string(), media: presentationOf }), query);
      return new Set(found.filter(({ media }) => media?.presentation != null).map(({ id }) => id));
    },

    /** Archives in the plain form that this release has not tried to rewrite, page by page. */
    async *upgradable({ release, target }: { release: string; target?: string }): AsyncGenerator<Upgradable> {
      for (let after: string | null = null;;) {
        const args = { release, target: target ?? null, after, limit: PAGE_ROWS };
        const page: Upgradable[] = upgradableRows.parse(await call("upgradable_archives", args));
        yield* page;
        if (page.length < PAGE_ROWS) return;
        after = page.at(-1)!.id;
      }
    },

    /** What the operator declared about a video. */
    async describeSource(video: { malId: number; episode: number; provider: string }) {
      const { malId, episode, provider } = video;
      return describedSource.parse(await call("describe_source", { mal_id: malId, episode, provider }));
    },

    /** What a manifest of the archive states, by its row. */
    async describeArchive(storeId: string): Promise<ArchiveDescription> {
      const columns =
        "mal_id,episode,provider,resolution,file_key,sha256,size_bytes,duration_seconds,width,height,media,created_at";
      const query = from("video_store").select(columns).eq("id", storeId);
      const [row] = await rows("video_store", describedRow, query);
      if (!row) throw new KeepstreamError("storage_missing", "the archive was taken down meanwhile");
      return { ...row, ...await this.describeSource(row) };
    },

    /** Announces the locations of the new copies. */
    async beginUpgrade(
      { id, sha256 }: { id: string; sha256: string },
      copies: readonly { target: string; account: number; repo: string; path: string }[],
    ): Promise<void> {
      await call("begin_archive_upgrade", { store_id: id, sha256, copies });
    },

    /** The archive and all its copies change at once. */
    async finishUpgrade(args: Parameters<typeof call<"finish_archive_upgrade">>[1]): Promise<void> {
      await call("finish_archive_upgrade", args);
    },

    /** null: another process holds it. */
    async lockResource(resource: string, seconds: number): Promise<{ slot: number; epoch: number } | null> {
      const taken = await call("acquire_resource_lease", { resource, holder: options.worker, lease_seconds: seconds });
      return z.array(z.object({ slot: z.number(), epoch: z.number() })).parse(taken)[0] ?? null;
    },

    /** false: the lease was lost. */
    async renewResource(resource: string, lock: { slot: number; epoch: number }, seconds: number): Promise<boolean> {
      return await call("renew_resource_lease", { resource, ...lock, lease_seconds: seconds }) !== null;
    },

    async unlockResource(resource: string, lock: { slot: number; epoch: number }): Promise<void> {
      await call("release_resource_lease", { resource, ...lock });
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
        let query = from("video_replicas").select("id,store_id,target,state,repo,path,sha256,size_bytes")
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
