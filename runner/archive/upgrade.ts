/**
 * Rewrites archives in the plain form: the new file is stored under a name of its own beside every copy, which is served until all new
 * copies are verified. Then one transaction changes the archive and all its copies, and the old ones are deleted a day later. A process
 * that is killed anywhere leaves the old archive or the new one; the next run continues.
 * Example: `await upgradeArchives({ limit: 10 }, tools)`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { rewrittenKey } from "../../core/file_key.ts";
import type { MediaReport } from "../../core/media_report.ts";
import type { Presentation } from "../../core/presentation.ts";
import { redactText } from "../../core/redact.ts";
import { RpcError } from "../../core/rpc_error.ts";
import { VERSION } from "../../core/version.ts";
import { mediaRow } from "../queue/media_row.ts";
import { sidecarMaker } from "../sidecars/make_sidecars.ts";
import type { Rewrite } from "../sidecars/rewrite.ts";
import type { Sidecar, StorageTarget, StoredCopy } from "../targets/target.ts";
import type { StagedFile } from "../transfer/staged_file.ts";
import { openRepairDir, type RepairDir } from "../work_dir/work_dir.ts";
import type { Upgradable } from "./archive_store.ts";
import { fetchCopy } from "./fetch_copy.ts";
import type { RepairTools } from "./repair.ts";
import { holdUpgrade } from "./upgrade_lease.ts";
import { chaptersOf } from "./stored_chapters.ts";

/** The new file, and what is read again while it is verified. */
const SPACE_FACTOR = 2.1;

export interface UpgradeTools extends Omit<RepairTools, "onOutcome"> {
  readonly rewrite: Rewrite;
  /** Duration and tracks of the rewritten file, whose packets were counted. Throws if it is damaged. */
  readonly probe: (path: string, signal: AbortSignal) => Promise<ProbedFile>;
  readonly pictures: boolean;
  readonly fileSalt: string;
  readonly onUpgrade?: (archive: Upgradable, outcome: UpgradeOutcome) => void;
}

export interface ProbedFile {
  readonly durationSeconds: number;
  readonly media: MediaReport;
}

export interface UpgradeBudget {
  /** Only archives with a verified copy there. @default all */
  readonly target?: string;
  /** Archives. @default all */
  readonly limit?: number;
  /** Bytes to download. The first archive that does not fit ends the run. @default unlimited */
  readonly maxBytes?: number;
  /** How long the old copies are kept for links that were handed out. @default a day */
  readonly keepSeconds?: number;
  readonly dryRun?: boolean;
}

/** plain: the archive has to stay as it is, which is recorded. waiting: it can be tried again later. */
export type UpgradeOutcome =
  | { readonly state: "hybrid"; readonly bytes: number }
  | { readonly state: "plain" | "waiting" | "failed"; readonly reason: string }
  | { readonly state: "due" };

export type UpgradeCounts = Record<UpgradeOutcome["state"], number> & { bytes: number };

export async function upgradeArchives(budget: UpgradeBudget, tools: UpgradeTools): Promise<UpgradeCounts> {
  const counts: UpgradeCounts = { hybrid: 0, plain: 0, waiting: 0, failed: 0, due: 0, bytes: 0 };
  let left = budget.limit ?? Infinity;
  const upgradable = tools.store.upgradable({ release: VERSION, ...(budget.target && { target: budget.target }) });
  for await (const archive of upgradable) {
    const bytes = archive.sizeBytes ?? 0;
    if (left-- <= 0 || counts.bytes + bytes > (budget.maxBytes ?? Infinity)) break;
    counts.bytes += bytes;
    const outcome: UpgradeOutcome = budget.dryRun ? { state: "due" } : await upgradeOne(archive, budget, tools);
    counts[outcome.state]++;
    tools.onUpgrade?.(archive, outcome);
  }
  return counts;
}

async function upgradeOne(archive: Upgradable, budget: UpgradeBudget, tools: UpgradeTools): Promise<UpgradeOutcome> {
  const obstacle = obstacleTo(archive, tools);
  if (obstacle !== null) return { state: "waiting", reason: obstacle };
  try {
    await using lease = await holdUpgrade(archive.id, tools);
    if (lease === null) return { state: "waiting", reason: "another process upgrades it" };
    await using dir = await openRepairDir(tools.workDir, archive.id);
    return await upgrade(archive, { budget, dir, tools: { ...tools, signal: lease.signal } });
  } catch (error) {
    tools.signal?.throwIfAborted();
    const reason = redactText(error instanceof Error ? error.message : String(error));
    const isEarly = error instanceof RpcError && error.status === 409 ||
      error instanceof KeepstreamError && error.code === "shutdown";
    return { state: isEarly ? "waiting" : "failed", reason };
  }
}

/** Why the archive cannot be upgraded now: all its copies have to change together. */
function obstacleTo({ sha256, copies }: Upgradable, { targets, breaker }: UpgradeTools): string | null {
  if (sha256 === null) return "its hash is not recorded: run storage verify";
  const verified = copies.filter(({ state }) => state === "verified");
  if (verified.length === 0) return "no copy is verified: run storage verify";
  if (copies.some(({ state }) => state === "uploading")) return "a copy is being repaired";
  for (const { target } of verified) {
    if (!targets.some(({ name }) => name === target)) return `${target} has a copy and is not configured here`;
    const closed = breaker.openReason(target);
    if (closed) return closed.message;
  }
  return null;
}

interface Upgrading {
  readonly budget: UpgradeBudget;
  readonly dir: RepairDir;
  readonly tools: UpgradeTools & { readonly signal: AbortSignal };
}

async function upgrade(archive: Upgradable, { budget, dir, tools }: Upgrading): Promise<UpgradeOutcome> {
  const sizeBytes = archive.sizeBytes ?? 0;
  using space = await tools.disk.reserve(Math.ceil(sizeBytes * SPACE_FACTOR));
  const verified = archive.copies.filter(({ state }) => state === "verified");
  const sources = verified.map((copy) => ({ ...copy, repo: copy.repo!, path: copy.path! }));
  const old = await fetchCopy({ ...archive, sources }, { ...tools, path: `${dir.path}/copy.mp4`, space });
  const targets = tools.targets.filter(({ name }) => verified.some(({ target }) => target === name));
  const fileKey = await rewrittenKey({ salt: tools.fileSalt, key: archive.archive.fileKey });
  const written = await tools.rewrite(old.path, { output: `${dir.path}/new.mp4`, fileKey, signal: tools.signal });
  const isHybrid = written.kind === "done" && written.presentation.form === "hybrid";
  const kept = isHybrid ? { file: written.file, fileKey, texts: written.texts } : {
    file: old,
    fileKey: archive.archive.fileKey,
    texts: new Map<string, string>(),
  };
  const probed = await tools.probe(kept.file.path, tools.signal);
  const presentation: Presentation = isHybrid ? written.presentation : {
    ...(written.kind === "done" ? written.presentation : { form: "plain", segments: 0, tracks: [] }),
    plain_because: written.kind === "done" ? written.presentation.plain_because : written.reason,
    duration: probed.durationSeconds,
  };
  const what: NewArchive = { archive, ...kept, presentation, probed };
  const beside = await besideOf(what, { dir, tools });
  const copies = await storeCopies(what, { beside, targets, tools });
  const sidecars = (await beside()).map(({ ending }) => ending);
  await tools.store.finishUpgrade({
    store_id: archive.id,
    from_sha256: old.sha256,
    file_key: what.fileKey,
    sha256: what.file.sha256,
    size_bytes: what.file.sizeBytes,
    duration_seconds: probed.durationSeconds,
    ...mediaRow({ ...probed.media, ...archive.media, presentation, sidecars } as MediaReport),
    copies: copies.map((copy) => ({
      target: copy.target,
      account: copy.account,
      repo: copy.repo,
      path: copy.path,
      direct_url: copy.directUrl,
      commit_oid: copy.commitOid,
    })),
    release: isHybrid ? null : VERSION,
    keep_seconds: budget.keepSeconds ?? null,
  });
  dir.discard();
  return isHybrid
    ? { state: "hybrid", bytes: what.file.sizeBytes }
    : { state: "plain", reason: presentation.plain_because ?? "" };
}

interface NewArchive {
  readonly archive: Upgradable;
  readonly file: Pick<StagedFile, "path" | "sha256" | "sizeBytes">;
  readonly fileKey: string;
  readonly texts: ReadonlyMap<string, string>;
  readonly presentation: Presentation;
  readonly probed: ProbedFile;
}

async function besideOf(
  what: NewArchive,
  { dir, tools }: Pick<Upgrading, "dir" | "tools">,
): Promise<() => Promise<readonly Sidecar[]>> {
  const { archive, file, fileKey, probed } = what;
  const declared = await tools.store.describeSource({ ...archive.archive, provider: archive.provider });
  return sidecarMaker({
    path: file.path,
    texts: what.texts,
    fileKey,
    durationSeconds: probed.durationSeconds,
    hasVideo: probed.media.width !== null,
    describe: () =>
      Promise.resolve({
        ...archive.archive,
        ...declared,
        durationSeconds: probed.durationSeconds,
        width: probed.media.width,
        height: probed.media.height,
        provider: archive.provider,
        resolution: archive.resolution,
        fileKey,
        file,
        presentation: what.presentation,
        chapters: [...chaptersOf(archive.media)],
        page: archive.page,
        kind: null,
        archivedAt: archive.archivedAt,
      }),
  }, {
    dir: dir.path,
    signal: tools.signal,
    pictures: tools.pictures,
    key: tools.manifestKeys[0]!,
    onFailure: () => {}, // a copy without pictures is complete
  });
}

/** On all targets of the archive, or an error: then nothing changes. */
async function storeCopies(
  { archive, file, fileKey }: NewArchive,
  { beside, targets, tools }: {
    beside: () => Promise<readonly Sidecar[]>;
    targets: readonly StorageTarget[];
    tools: Upgrading["tools"];
  },
): Promise<StoredCopy[]> {
  const sha256 = archive.sha256!;
  const locations = targets.map((target) => ({
    target,
    location: target.locationOf({ ...archive.archive, fileKey }),
  }));
  const announce = () =>
    tools.store.beginUpgrade(
      { id: archive.id, sha256 },
      locations.map(({ target, location }) => ({ target: target.name, account: target.account, ...location })),
    );
  await announce();
  const staged = { ...file, modifiedAtMs: (await Deno.stat(file.path)).mtime?.getTime() };
  const settled = await Promise.allSettled(
    locations.map(async ({ target, location }) =>
      await target.put(staged, location, {
        signal: tools.signal,
        semaphore: tools.semaphore,
        beside,
        beforeCommit: announce, // fails if the archive was taken down or replaced
        ...(tools.lockRepo && { lockRepo: tools.lockRepo }),
      })
    ),
  );
  const failed = settled.find((each) => each.status === "rejected");
  if (failed) throw failed.reason;
  return settled.map((each) => (each as PromiseFulfilledResult<StoredCopy>).value);
}
