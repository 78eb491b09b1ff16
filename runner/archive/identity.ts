/**
 * Checks that a target is the registered one before a file counts as missing, and before writes and removals: an empty folder in place of
 * an unmounted disk looks like a disk that lost all files.
 * Example: `identified(target, { store, now: Date.now })` throws problem `identity` instead of reporting a missing file.
 */

import { KeepstreamError } from "../../core/errors.ts";
import type { ArchiveStore } from "./archive_store.ts";
import { markerText, parseMarker } from "../targets/marker.ts";
import { StorageError } from "../transfer/storage_error.ts";
import type { StorageTarget } from "../targets/target.ts";

/** Markers on the network are cached for this long; a folder's is read every time. */
const REMEMBERED_MS = 60_000;

/** known: the registered target. new: no copy is recorded on it; the first put registers it. */
export type Identity = "known" | "new";

interface IdentifyOptions {
  readonly signal?: AbortSignal;
  /** Ignore the cache. */
  readonly now?: boolean;
}

/** A target that reports files as missing only if its identity was verified. */
export interface IdentifiedTarget extends StorageTarget {
  /** Throws a StorageError: problem `identity` if it is not the registered target, another one if that cannot be determined. */
  identify(options?: IdentifyOptions): Promise<Identity>;
  /** Registers the current storage, whatever was registered before. */
  initialise(options?: { signal?: AbortSignal }): Promise<void>;
}

export type IdentityStore = Pick<ArchiveStore, "checkTarget" | "registerTarget">;

export function identified(
  target: StorageTarget,
  { store, now }: { store: IdentityStore; now: () => number },
): IdentifiedTarget {
  let knownId: string | null = null;
  let seenAt = -Infinity;

  async function readId({ signal }: { signal?: AbortSignal }): Promise<string | null> {
    const text = await target.readMarker({ signal });
    if (text === null) return null;
    const id = parseMarker(text);
    if (id === null) throw stranger(target, "its .keepstream-target is damaged, or of a newer version");
    return id;
  }

  async function identify({ signal, now: atOnce = false }: IdentifyOptions = {}): Promise<Identity> {
    if (!atOnce && target.kind !== "folder" && now() - seenAt < REMEMBERED_MS) return "known";
    const id = await readId({ signal });
    // An identity verified before stays valid while the database is unavailable.
    const verdict = id !== null && id === knownId ? "known" : await asked(() => store.checkTarget(target.name, id));
    if (verdict === "new") return verdict;
    if (verdict !== "known") throw stranger(target, WHY[verdict]);
    knownId = id;
    seenAt = now();
    return verdict;
  }

  /** The database generates the id of a new target, so that concurrent runners write the same one. */
  async function register(replace: boolean, { signal }: { signal?: AbortSignal }): Promise<void> {
    const found = await readId({ signal }).catch((error) => {
      if (replace && error instanceof StorageError && error.problem === "identity") return null; // damaged: replace it
      throw error;
    });
    const id = await asked(() =>
      store.registerTarget(target.name, found ?? crypto.randomUUID(), { replace: replace || found !== null })
    );
    if (found !== id) await target.writeMarker(markerText(id), { signal });
    knownId = id;
    seenAt = now();
  }

  return {
    ...target,
    identify,
    initialise: (options = {}) => register(true, options),

    async put(file, location, put) {
      if (await identify(put) === "new") await register(false, put);
      return await target.put(file, location, {
        ...put,
        beforeCommit: async () => {
          await identify(put);
          await put.beforeCommit?.();
        },
      });
    },

    async find(location, options = {}) {
      const found = await target.find(location, options);
      if (found === null) await identify(options);
      return found;
    },

    async read(location, options = {}) {
      try {
        return await target.read(location, options);
      } catch (error) {
        if (error instanceof StorageError && error.problem === "missing") await identify({ ...options, now: true });
        throw error;
      }
    },

    async remove(location, options = {}) {
      await identify(options);
      const removed = await target.remove(location, options);
      if (removed === "absent") await identify({ ...options, now: true });
      return removed;
    },

    async removeTitle(title, options = {}) {
      await identify(options);
      const files = await target.removeTitle(title, options);
      if (files === 0) await identify({ ...options, now: true });
      return files;
    },

    async probe(options = {}) {
      await identify({ ...options, now: true });
      return await target.probe(options);
    },
  };
}

const WHY: Readonly<Record<"gone" | "other" | "unregistered", string>> = {
  gone: "its .keepstream-target is missing: it is not mounted, was emptied, or the token cannot see it",
  other: "its .keepstream-target is another target's: it is another disk, bucket or account",
  unregistered: "copies are recorded there, but no identity is",
};

function stranger(target: StorageTarget, why: string): StorageError {
  const advice = `if this is the right storage, run: deno task ks storage init ${target.name}`;
  return new StorageError("identity", `${target.name}: ${why} (${advice})`, { code: "storage_unidentified" });
}

/** The database failed; nothing follows about the target. */
async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeepstreamError("network", `the identity of a storage target cannot be checked: ${reason}`, { cause });
  }
}
