// A storage target: one account, bucket or folder that keeps copies of archived episodes.
// Example: `await target.put(file, target.locationOf({ malId: 55825, episode: 1, fileKey }), { signal, semaphore })`. Runs on: Deno.

import type { ArchiveLocation } from "../../core/archive_location.ts";
import type { Semaphore } from "../transfer/semaphore.ts";
import type { StagedFile } from "../transfer/staged_file.ts";
import { StorageError } from "../transfer/storage_error.ts";

/** What an archived file is the archive of; every target makes its own location of it. */
export interface Archive {
  readonly malId: number;
  readonly episode: number;
  readonly fileKey: string;
}

export interface Title {
  readonly malId: number;
  /** All episodes when left out. */
  readonly episode?: number;
}

/** A copy that the target itself has confirmed: same size, same sha-256. */
export interface StoredCopy {
  readonly target: string;
  readonly account: number;
  readonly repo: string;
  readonly path: string;
  /** The commit that holds it; null where the target knows no commits. */
  readonly commitOid: string | null;
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Address without secrets that cf-proxy can read. */
  readonly directUrl: string;
  /** True when nothing had to be sent. */
  readonly alreadyThere: boolean;
}

export interface FoundCopy {
  readonly sha256: string | null;
  readonly sizeBytes: number;
  readonly commitOid: string | null;
}

export interface PutOptions {
  readonly signal?: AbortSignal;
  /** The cap on part streams, shared by all targets of the process. */
  readonly semaphore: Semaphore;
  /** Bytes of this file that the target holds or is being sent; called often. */
  readonly onProgress?: (bytes: number) => void;
  /** Runs right before the change becomes visible; throw to stop it, for example because a lease is lost. */
  readonly beforeCommit?: () => Promise<void>;
  /** Keeps other runners from committing to the same repository; held only around the commit. */
  readonly lockRepo?: LockRepo;
}

export type LockRepo = (repo: string, signal: AbortSignal | undefined) => Promise<AsyncDisposable>;

export interface TargetUse {
  /** null when the target cannot tell. */
  readonly usedBytes: number | null;
}

export interface StorageTarget {
  /** Unique and stable, e.g. `hub:alice`: it is written into rows. */
  readonly name: string;
  readonly kind: "hub" | "s3" | "folder";
  /** 1…N, the place in the configuration. */
  readonly account: number;
  locationOf(archive: Archive): ArchiveLocation;
  /** Stores the file unless it is there already, and returns once the target has confirmed it. */
  put(file: StagedFile, location: ArchiveLocation, options: PutOptions): Promise<StoredCopy>;
  /** What the target says lies at the location, without reading it. */
  find(location: ArchiveLocation, options?: { signal?: AbortSignal }): Promise<FoundCopy | null>;
  /** What to record of a copy that `find` has seen. */
  copyAt(location: ArchiveLocation, found: FoundCopy & { sha256: string }): StoredCopy;
  /** The stored bytes. */
  read(location: ArchiveLocation, options?: { signal?: AbortSignal }): Promise<ReadableStream<Uint8Array>>;
  /** Removes the file and everything that still holds its bytes. */
  remove(location: ArchiveLocation, options?: { signal?: AbortSignal }): Promise<"removed" | "absent">;
  /** Removes every file of a title, or of one of its episodes, whatever its name; returns how many there were. */
  removeTitle(title: Title, options?: { signal?: AbortSignal }): Promise<number>;
  /** The text of the identity file (marker.ts); null when there is none, or nothing to hold one. */
  readMarker(options?: { signal?: AbortSignal }): Promise<string | null>;
  writeMarker(text: string, options?: { signal?: AbortSignal }): Promise<void>;
  /** One cheap call that fails the way a put would: wrong token, dead account. */
  probe(options?: { signal?: AbortSignal }): Promise<TargetUse>;
}

/** Where all files of a title or episode lie, by the paths of core/archive_location.ts. */
export function directoryOf(target: StorageTarget, title: Title): { repo: string; directory: string } {
  const { repo } = target.locationOf({ malId: title.malId, episode: 1, fileKey: "0" });
  const directory = title.episode === undefined ? `${title.malId}/` : `${title.malId}/ep${title.episode}/`;
  return { repo, directory };
}

/** Throws for an location that does not lie below its owner: rows are believed in what they name, not in where it leads. */
export function assertInside(location: ArchiveLocation, owner: string): void {
  const [first, name = "", ...rest] = location.repo.split("/");
  const repoIsPlain = first === owner && rest.length === 0 && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name);
  // deno-lint-ignore no-control-regex -- what no file is called
  const pathIsPlain = location.path.split("/").every((step) => !/^\.*$|[\\\u0000-\u001f\u007f]/.test(step));
  if (repoIsPlain && pathIsPlain) return;
  throw new StorageError("refused", `${location.repo}/${location.path} is no location of ${owner}`, {
    code: "invalid_input",
  });
}
