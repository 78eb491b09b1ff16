/** Only one process upgrades an archive at a time, on any machine. Example: `await using lease = await holdUpgrade(storeId, tools)`. */
import { KeepstreamError } from "../../core/errors.ts";
import { linkedAbort } from "../transfer/fetch_once.ts";
import type { ArchiveStore } from "./archive_store.ts";

const LEASE_SECONDS = 300;
const RENEW_EVERY_MS = 60_000;

export interface UpgradeLease extends AsyncDisposable {
  /** Aborts if the lease is lost. */
  readonly signal: AbortSignal;
}

/** null: another process holds it. */
export async function holdUpgrade(
  storeId: string,
  { store, signal }: { store: ArchiveStore; signal?: AbortSignal },
): Promise<UpgradeLease | null> {
  const resource = `upgrade:${storeId}`;
  const lock = await store.lockResource(resource, LEASE_SECONDS);
  if (lock === null) return null;
  const abort = linkedAbort(signal);
  const renewal = setInterval(async () => {
    const isHeld = await store.renewResource(resource, lock, LEASE_SECONDS).catch(() => true); // repeated before it expires
    if (!isHeld) abort.abort(new KeepstreamError("lease_expired", "another process upgrades the archive"));
  }, RENEW_EVERY_MS);
  return {
    signal: abort.signal,
    async [Symbol.asyncDispose]() {
      clearInterval(renewal);
      abort[Symbol.dispose]();
      await store.unlockResource(resource, lock).catch(() => {}); // it expires
    },
  };
}
