// Reads recorded copies back and hashes them; what is gone or holds other bytes becomes repair work, and a hash that no row knows yet
// is written down.
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

/** hashed: no hash was recorded, the size fitted, and what was read is recorded now. */
export type Verdict = "sound" | "hashed" | "missing" | "damaged" | "unreachable" | "unknown-target";

export async function verifyCopies(tools: VerifyTools): Promise<Record<Verdict, number>> {
  const counts: Record<Verdict, number> = {
    sound: 0,
    hashed: 0,
    missing: 0,
    damaged: 0,
    unreachable: 0,
    "unknown-target": 0,
  };
  for await (const copy of tools.store.verifiedCopies()) {
    tools.signal?.throwIfAborted();
    if (tools.random() >= tools.share) continue;
    const target = tools.targets.find((candidate) => candidate.name === copy.target);
    const verdict = target ? await verdictOn(copy, target, tools) : "unknown-target";
    // The last copy is never touched: bytes that differ may still be better than none, and a person has to look. Nor is one
    // without a hash of its own: nobody knows then which of two copies is the right one.
    if (verdict === "damaged" && copy.sha256 !== null && await tools.store.countOthers(copy) > 0) {
      await target!.remove(copy.address, { signal: tools.signal }); // or a put would take it for done
      await tools.store.reportMissing(copy.id, "verify: damaged");
    }
    if (verdict === "missing") await tools.store.reportMissing(copy.id, "verify: missing");
    counts[verdict]++;
    tools.onCopy?.(copy, verdict);
  }
  return counts;
}

async function verdictOn(copy: RecordedCopy, target: StorageTarget, { store, signal }: VerifyTools): Promise<Verdict> {
  let held: { sha256: string; sizeBytes: number };
  try {
    held = await hashOf(await target.read(copy.address, { signal }), copy.sizeBytes ?? Infinity);
  } catch (error) {
    signal?.throwIfAborted();
    return error instanceof StorageError && error.problem === "missing" ? "missing" : "unreachable";
  }
  if (copy.sizeBytes !== null && held.sizeBytes !== copy.sizeBytes) return "damaged";
  if (copy.sha256 !== null) return held.sha256 === copy.sha256 ? "sound" : "damaged";
  return await store.recordHash(copy.id, held) ? "hashed" : "damaged";
}

/** Of a longer file only that it is longer: nobody reads on for the rest. */
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
