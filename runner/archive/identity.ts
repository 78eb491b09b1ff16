// Makes sure that a target is the one whose copies are recorded, before anything on it is believed to be missing and before anything is
// put on it or removed from it: an empty folder in the place of a disk looks like a disk that lost everything. Runs on: Deno.
// Example: `identified(target, { store, now: Date.now })` throws problem `identity` where the plain target would say "not there".

import { KeepstreamError } from "../../core/errors.ts";
import type { ArchiveStore } from "./archive_store.ts";
import { markerText, parseMarker } from "../targets/marker.ts";
import { StorageError } from "../transfer/storage_error.ts";
import type { StorageTarget } from "../targets/target.ts";

/** Over a network the marker is read once in this time; a folder's every time. */
const REMEMBERED_MS = 60_000;

/** known: the recorded target. new: no copy is recorded on it, and a put gives it an identity. */
export type Identity = "known" | "new";

interface IdentifyOptions {
  readonly signal?: AbortSignal;
  /** Whatever was seen a moment ago. */
  readonly now?: boolean;
}

/** A target whose "not there" counts: it is said only while the target's marker is there. */
export interface IdentifiedTarget extends StorageTarget {
  /** Throws a StorageError of problem `identity` when it is not the recorded target, and any other when that cannot be seen. */
  identify(options?: IdentifyOptions): Promise<Identity>;
  /** Makes what is there now the recorded target, whatever was recorded before. */
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
    // What was known stays known while the database is away.
    const verdict = id !== null && id === knownId ? "known" : await asked(() => store.checkTarget(target.name, id));
    if (verdict === "new") return verdict;
    if (verdict !== "known") throw stranger(target, WHY[verdict]);
    knownId = id;
    seenAt = now();
    return verdict;
  }

  /** A new target gets the id that the database holds for it, so that two runners that meet here write the same. */
  async function register(replace: boolean, { signal }: { signal?: AbortSignal }): Promise<void> {
    const found = await readId({ signal }).catch((error) => {
      if (replace && error instanceof StorageError && error.problem === "identity") return null; // damaged: written anew
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
  gone: "its .keepstream-target is gone: it is not mounted, was emptied, or the token cannot see it",
  other: "its .keepstream-target is another target's: another disk, bucket or account is in its place",
  unregistered: "copies are recorded there, but no identity is",
};

function stranger(target: StorageTarget, why: string): StorageError {
  const advice = `if this is the right place, run: deno task storage init ${target.name}`;
  return new StorageError("identity", `${target.name}: ${why} (${advice})`, { code: "storage_unidentified" });
}

/** The database's failure says nothing about the target. */
async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeepstreamError("network", `the identity of a storage target cannot be checked: ${reason}`, { cause });
  }
}
