/**
 * Reads copies and compares their hashes, and those of their sidecars with the manifest. Damaged copies are repaired later; missing hashes
 * are recorded. A copy counts as missing only if the target's identity was verified. If more than a few are missing on one target, nothing
 * is recorded until an operator confirms it. Copies that cannot be read (refused token, network, another disk) are unreachable, not missing.
 */

import { createHash } from "node:crypto";
import type { ManifestKey } from "../../core/manifest/sealing.ts";
import { sidecarProblem } from "../sidecars/stored_sidecars.ts";
import type { ArchiveStore, RecordedCopy } from "./archive_store.ts";
import type { IdentifiedTarget } from "./identity.ts";
import { type PublicProblem, publicProblem, StorageError } from "../transfer/storage_error.ts";

/** If more than this share, and at least two copies, are missing on a target, verification of the target stops. */
const MAX_MISSING_SHARE = 0.05;

export interface VerifyTools {
  readonly store: ArchiveStore;
  readonly targets: readonly IdentifiedTarget[];
  /** Share of the copies to read: 1 all, 0.05 a twentieth. */
  readonly share: number;
  /** The operator confirms that all missing copies are lost. */
  readonly confirmMissing: boolean;
  readonly random: () => number;
  readonly manifestKeys: readonly ManifestKey[];
  /** Sidecars are written to it while they are checked. */
  readonly workDir: string;
  readonly signal?: AbortSignal;
  /** Name of the only target to verify. @default all */
  readonly only?: string;
  /** Called with every target's state before copies are read. */
  readonly onTarget?: (target: TargetReport) => void;
  /** Called for every copy, whether it is in the share or not. */
  readonly onRead?: () => void;
  readonly onCopy?: (copy: RecordedCopy, verdict: Verdict) => void;
}

/**
 * incomplete: the file is sound, but a sidecar is missing or damaged. hashed: the copy had no hash, its size was right, and its hash was
 * recorded. found: it was reported missing before. unchecked: too many copies were missing on its target.
 */
export type Verdict =
  | "sound"
  | "incomplete"
  | "hashed"
  | "found"
  | "missing"
  | "damaged"
  | "unreachable"
  | "unchecked"
  | "unknown-target";

export interface TargetReport {
  readonly target: string;
  /** stopped: too many copies are missing; none was recorded as missing. */
  state: "ok" | "new" | "unknown" | "stopped" | PublicProblem;
  message: string | null;
  checked: number;
  missing: number;
}

export interface Verification {
  readonly targets: readonly TargetReport[];
  readonly counts: Readonly<Record<Verdict, number>>;
}

export async function verifyCopies(tools: VerifyTools): Promise<Verification> {
  const reports = new Map<string, TargetReport>();
  for (const target of tools.targets) {
    const report = await reportOn(target, tools);
    reports.set(target.name, report);
    tools.onTarget?.(report);
  }
  const recorded = new Map<string, number>();
  for (const { name } of tools.targets) recorded.set(name, await tools.store.countRecorded(name));
  const suspects = new Map<string, RecordedCopy[]>(tools.targets.map((target) => [target.name, []]));
  const counts: Record<Verdict, number> = {
    sound: 0,
    incomplete: 0,
    hashed: 0,
    found: 0,
    missing: 0,
    damaged: 0,
    unreachable: 0,
    unchecked: 0,
    "unknown-target": 0,
  };
  const count = (copy: RecordedCopy, verdict: Verdict) => {
    counts[verdict]++;
    tools.onCopy?.(copy, verdict);
  };

  await using dir = await openTempDir(tools.workDir);
  for await (const copy of tools.store.recordedCopies(tools.only)) {
    tools.signal?.throwIfAborted();
    tools.onRead?.();
    if (tools.random() >= tools.share) continue;
    const target = tools.targets.find((candidate) => candidate.name === copy.target);
    const report = reports.get(copy.target) ?? unknownTarget(copy.target);
    reports.set(copy.target, report);
    if (!target) {
      count(copy, "unknown-target");
    } else if (report.state !== "ok") {
      count(copy, report.state === "stopped" ? "unchecked" : "unreachable");
    } else {
      const verdict = await withSidecars(await verdictOn(copy, target, tools), { copy, target, dir: dir.path, tools });
      if (verdict === "missing") {
        suspects.get(target.name)!.push(copy);
        report.missing++;
        if (isTooMuch({ ...report, checked: recorded.get(target.name)! }) && !tools.confirmMissing) {
          report.state = "stopped";
        }
      } else {
        count(copy, verdict);
        // Of two copies without a hash, which one is right is unknown: an operator has to decide.
        if (verdict === "damaged" && copy.sha256 !== null) {
          await tools.store.reportDamaged(copy.id, { error: "verify: other bytes than were archived" });
        }
      }
      if (verdict !== "unreachable") report.checked++;
    }
  }
  for (const target of tools.targets) {
    await reportSuspects(target, suspects.get(target.name)!, { tools, report: reports.get(target.name)!, count });
  }
  return { targets: [...reports.values()], counts };
}

async function reportOn(target: IdentifiedTarget, { signal }: VerifyTools): Promise<TargetReport> {
  const none = { target: target.name, checked: 0, missing: 0 };
  try {
    const identity = await target.identify({ signal, now: true });
    return { ...none, state: identity === "known" ? "ok" : "new", message: null };
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof StorageError)) throw error; // the database is unavailable
    return { ...none, state: publicProblem(error.problem), message: error.message };
  }
}

function unknownTarget(target: string): TargetReport {
  return {
    target,
    state: "unknown",
    message: "copies are recorded there, but it is not configured",
    checked: 0,
    missing: 0,
  };
}

function isTooMuch({ checked, missing }: { checked: number; missing: number }): boolean {
  return missing > 0 && (missing === checked || (missing >= 2 && missing > checked * MAX_MISSING_SHARE));
}

/** Reads each suspect and the target's identity once more before reporting: hours may have passed. */
async function reportSuspects(
  target: IdentifiedTarget,
  suspects: readonly RecordedCopy[],
  { tools, report, count }: {
    tools: VerifyTools;
    report: TargetReport;
    count: (copy: RecordedCopy, verdict: Verdict) => void;
  },
): Promise<void> {
  if (isTooMuch(report) && !tools.confirmMissing) report.state = "stopped";
  if (report.state === "stopped") {
    report.message =
      `${report.missing} of ${report.checked} copies that were checked are missing: nothing was recorded. If they are gone ` +
      `for good, run: deno task ks storage verify --confirm-missing`;
    for (const copy of suspects) count(copy, "missing");
    return;
  }
  for (const copy of suspects) {
    const verdict = await verdictOn(copy, target, tools);
    if (verdict === "missing") {
      await tools.store.reportMissing(copy.id, { error: "verify: the copy is missing", verification: true });
      if (tools.confirmMissing) await tools.store.confirmMissing(copy.id);
    }
    count(copy, verdict);
  }
}

async function verdictOn(
  copy: RecordedCopy,
  target: IdentifiedTarget,
  { store, signal, confirmMissing, only }: VerifyTools,
): Promise<Verdict> {
  let held: { sha256: string; sizeBytes: number };
  try {
    held = await hashOf(await target.read(copy.location, { signal }), copy.sizeBytes ?? Infinity);
  } catch (error) {
    signal?.throwIfAborted();
    const problem = error instanceof StorageError ? error.problem : "transient";
    // An invisible repository proves nothing, unless the operator confirms this target.
    const isConfirmed = confirmMissing && only !== undefined;
    return problem === "missing" || (problem === "invisible" && isConfirmed) ? "missing" : "unreachable";
  }
  if (copy.state === "missing") return await store.reportFound(copy.id, held) ? "found" : "damaged";
  if (copy.sizeBytes !== null && held.sizeBytes !== copy.sizeBytes) return "damaged";
  if (copy.sha256 !== null) return held.sha256 === copy.sha256 ? "sound" : "damaged";
  return await store.recordHash(copy.id, held) ? "hashed" : "damaged";
}

/** Sidecars of a sound copy are checked, and reported to be added again. */
async function withSidecars(
  verdict: Verdict,
  { copy, target, dir, tools }: { copy: RecordedCopy; target: IdentifiedTarget; dir: string; tools: VerifyTools },
): Promise<Verdict> {
  const fileKey = /([0-9a-f]{16,64})\.mp4$/.exec(copy.location.path)?.[1];
  if (verdict !== "sound" || fileKey === undefined) return verdict;
  try {
    const problem = await sidecarProblem({ target, location: copy.location }, {
      archive: { fileKey, sha256: copy.sha256, sizeBytes: copy.sizeBytes },
      keys: tools.manifestKeys,
      manifestNeeded: async () => (await tools.store.storesWithManifest([copy.storeId])).size > 0,
      dir,
      ...(tools.signal && { signal: tools.signal }),
    });
    if (problem === null) return verdict;
    await tools.store.reportSidecars(copy.id, { error: `verify: ${problem}` });
    return "incomplete";
  } catch (error) {
    tools.signal?.throwIfAborted();
    if (error instanceof StorageError) return "unreachable";
    throw error; // the database is unavailable
  }
}

async function openTempDir(root: string): Promise<AsyncDisposable & { readonly path: string }> {
  await Deno.mkdir(root, { recursive: true });
  const path = await Deno.makeTempDir({ dir: root, prefix: "verify-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** Stops reading after `maxBytes`. */
async function hashOf(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of body) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) break;
  }
  return { sha256: hash.digest("hex"), sizeBytes };
}
