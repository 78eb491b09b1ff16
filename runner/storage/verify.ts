// Reads recorded copies back and hashes them; what is gone or holds other bytes becomes repair work.
// A copy that cannot be reached now (refused token, network) is told as unreachable, never as missing. Runs on: Deno.

import { createHash } from "node:crypto";
import type { ArchiveStore, RecordedCopy } from "./archive_store.ts";
import { StorageError } from "./storage_error.ts";
import type { StorageTarget } from "./target.ts";

export interface VerifyTools {
  readonly store: ArchiveStore;
  readonly targets: readonly StorageTarget[];
  /** 1 reads all copies, 0.05 a twentieth of them. */
  readonly share: number;
  readonly random: () => number;
  readonly signal?: AbortSignal;
  readonly onCopy?: (copy: RecordedCopy, verdict: Verdict) => void;
}

export type Verdict = "sound" | "missing" | "damaged" | "unreachable" | "unknown-target";

export async function verifyCopies(tools: VerifyTools): Promise<Record<Verdict, number>> {
  const counts: Record<Verdict, number> = { sound: 0, missing: 0, damaged: 0, unreachable: 0, "unknown-target": 0 };
  for await (const copy of tools.store.verifiedCopies()) {
    tools.signal?.throwIfAborted();
    if (tools.random() >= tools.share) continue;
    const target = tools.targets.find((candidate) => candidate.name === copy.target);
    const verdict = target ? await verdictOn(copy, target, tools.signal) : "unknown-target";
    // The last copy is never touched: bytes that differ may still be better than none, and a person has to look.
    if (verdict === "damaged" && await tools.store.countOthers(copy) > 0) {
      await target!.remove(copy.address, { signal: tools.signal }); // or a put would take it for done
      await tools.store.reportMissing(copy.id, "verify: damaged");
    }
    if (verdict === "missing") await tools.store.reportMissing(copy.id, "verify: missing");
    counts[verdict]++;
    tools.onCopy?.(copy, verdict);
  }
  return counts;
}

async function verdictOn(
  copy: RecordedCopy,
  target: StorageTarget,
  signal: AbortSignal | undefined,
): Promise<Verdict> {
  try {
    const hash = createHash("sha256");
    let sizeBytes = 0;
    for await (const chunk of await target.read(copy.address, { signal })) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
    }
    const sameHash = copy.sha256 === null || hash.digest("hex") === copy.sha256; // an old row may know no hash
    return sameHash && (copy.sizeBytes === null || sizeBytes === copy.sizeBytes) ? "sound" : "damaged";
  } catch (error) {
    signal?.throwIfAborted();
    return error instanceof StorageError && error.problem === "missing" ? "missing" : "unreachable";
  }
}
