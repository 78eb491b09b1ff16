/**
 * Adds the sidecars that a verified copy lacks, from the other copies or from its file. The copy is served meanwhile.
 * Example: `while (await repairSidecars(tools) > 0);`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { ManifestKey } from "../../core/manifest/sealing.ts";
import { type Place, readSidecars } from "../sidecars/stored_sidecars.ts";
import { remakeSidecars } from "../sidecars/remake_sidecars.ts";
import type { Rewrite } from "../sidecars/rewrite.ts";
import type { Sidecar, StorageTarget } from "../targets/target.ts";
import type { StagedFile } from "../transfer/staged_file.ts";
import { openRepairDir } from "../work_dir/work_dir.ts";
import type { SidecarRepair } from "./archive_store.ts";
import { fetchCopy } from "./fetch_copy.ts";
import type { RepairTools } from "./repair.ts";

export interface SidecarRepairTools extends RepairTools {
  readonly rewrite: Rewrite;
  readonly pictures: boolean;
  readonly onSidecars?: (repair: SidecarRepair, error: string | null) => void;
}

/** Returns how many copies have their sidecars again. Those that failed are claimed again later. */
export async function repairSidecars(tools: SidecarRepairTools): Promise<number> {
  let repaired = 0;
  for (const repair of await tools.store.claimSidecarRepairs(tools.targets.map((target) => target.name))) {
    tools.signal?.throwIfAborted();
    let failure: string | null = null;
    try {
      await repairCopy(repair, tools);
      repaired++;
    } catch (error) {
      tools.signal?.throwIfAborted();
      failure = error instanceof Error ? error.message : String(error);
    }
    tools.onSidecars?.(repair, failure);
  }
  return repaired;
}

async function repairCopy(repair: SidecarRepair, tools: SidecarRepairTools): Promise<void> {
  const target = tools.targets.find(({ name }) => name === repair.target)!;
  const { sha256, sizeBytes } = repair;
  if (sha256 === null || sizeBytes === null) throw new KeepstreamError("invalid_input", "the archive has no hash");
  await using dir = await openRepairDir(tools.workDir, repair.storeId);
  const file = { path: `${dir.path}/copy.mp4`, sha256, sizeBytes };
  const sidecars = await sidecarsFor(repair, { file, dir: dir.path, tools });
  const copy = await target.put(file, target.locationOf(repair.archive), {
    semaphore: tools.semaphore,
    ...(tools.signal && { signal: tools.signal }),
    ...(tools.lockRepo && { lockRepo: tools.lockRepo }),
    beside: () => Promise.resolve(sidecars),
    async beforeCommit() {
      if (await tools.store.isCopyOf(repair.id, sha256)) return;
      throw new KeepstreamError("lease_expired", "the copy was taken down or replaced meanwhile");
    },
  });
  await tools.store.completeSidecarRepair(repair.id, copy);
  dir.discard();
}

async function sidecarsFor(
  repair: SidecarRepair,
  { file, dir, tools }: { file: StagedFile; dir: string; tools: SidecarRepairTools },
): Promise<readonly Sidecar[]> {
  const places = repair.sources.flatMap(({ target: name, repo, path }): Place[] => {
    const target: StorageTarget | undefined = tools.targets.find((candidate) => candidate.name === name);
    return target && !tools.breaker.openReason(name) ? [{ target, location: { repo, path } }] : [];
  });
  const signal = tools.signal ?? new AbortController().signal;
  const archive = { ...repair.archive, sha256: file.sha256, sizeBytes: file.sizeBytes };
  const { manifest, sidecars: found, lacking } = await readSidecars(places, {
    archive,
    keys: tools.manifestKeys,
    dir,
    signal,
  });
  if (manifest !== null && lacking.length === 0) return found;
  const described = manifest ?? await tools.store.describeArchive(repair.storeId);
  using space = await tools.disk.reserve(2 * file.sizeBytes);
  const copy = await fetchCopy(repair, { ...tools, path: file.path, space });
  const key: ManifestKey = tools.manifestKeys[0]!;
  const remade = await remakeSidecars(copy, {
    ...{ archive: described, found, key, dir, signal },
    lacking: manifest === null ? [".m3u8", ".poster.jpg"] : lacking,
    pictures: tools.pictures,
    rewrite: tools.rewrite,
  });
  const needed = manifest === null && described.presentation?.form === "hybrid" ? [".m3u8"] : lacking;
  const still = needed.filter((ending) => !remade.some((sidecar) => sidecar.ending === ending));
  if (still.length === 0) return remade;
  throw new KeepstreamError(
    "storage_missing",
    `no copy has ${still.join(", ")}, and it cannot be made again from the file`,
  );
}
