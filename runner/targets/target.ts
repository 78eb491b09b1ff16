/**
 * A storage target: an account, a bucket or a folder that keeps copies of archived episodes.
 * Example: `await target.put(file, target.locationOf({ malId: 55825, episode: 1, fileKey }), { signal, semaphore })`.
 */

import type { ArchiveLocation } from "../../core/archive_location.ts";
import type { Semaphore } from "../transfer/semaphore.ts";
import type { StagedFile } from "../transfer/staged_file.ts";
import { StorageError } from "../transfer/storage_error.ts";

/** Identifies an archive. Every target maps it to a location. */
export interface Archive {
  readonly malId: number;
  readonly episode: number;
  readonly fileKey: string;
}

export interface Title {
  readonly malId: number;
  /** All episodes if undefined. */
  readonly episode?: number;
}

/** A copy whose size and sha-256 the target has confirmed. */
export interface StoredCopy {
  readonly target: string;
  readonly account: number;
  readonly repo: string;
  readonly path: string;
  /** null if the target has no commits. */
  readonly commitOid: string | null;
  readonly sha256: string;
  readonly sizeBytes: number;
  /** URL without secrets, for cf-proxy. */
  readonly directUrl: string;
  /** Nothing was uploaded. */
  readonly alreadyThere: boolean;
}

export interface FoundCopy {
  readonly sha256: string | null;
  readonly sizeBytes: number;
  readonly commitOid: string | null;
}

/** A small file beside a copy: `{fileKey}{ending}` in the same directory. */
export interface Sidecar {
  /** Matches SIDECAR_ENDING (core/presentation.ts). */
  readonly ending: string;
  readonly file: StagedFile;
}

export interface PutOptions {
  readonly signal?: AbortSignal;
  /** Limits the parallel parts of all targets of the process. */
  readonly semaphore: Semaphore;
  /** Bytes that are stored or being sent. Called often. */
  readonly onProgress?: (bytes: number) => void;
  /** Called before the change becomes visible. Throw to stop it, for example if the lease is lost. */
  readonly beforeCommit?: () => Promise<void>;
  /**
   * Makes the sidecars. Called once, when the put starts, and awaited before the commit: they become visible with the file, or before it.
   * A copy that exists gets those it lacks, and those that differ.
   */
  readonly beside?: () => Promise<readonly Sidecar[]>;
  /** Serialises commits to the same repository. Held only during the commit. */
  readonly lockRepo?: LockRepo;
}

export type LockRepo = (repo: string, signal: AbortSignal | undefined) => Promise<AsyncDisposable>;

export interface TargetUse {
  /** null if unknown. */
  readonly usedBytes: number | null;
}

export interface StorageTarget {
  /** Unique and stable, e.g. `hub:alice`: it is stored in rows. */
  readonly name: string;
  readonly kind: "hub" | "s3" | "folder";
  /** 1…N, by the order of the configuration. */
  readonly account: number;
  locationOf(archive: Archive): ArchiveLocation;
  /** Stores the file with its sidecars unless they exist, and returns once the target has confirmed it. */
  put(file: StagedFile, location: ArchiveLocation, options: PutOptions): Promise<StoredCopy>;
  /** Reads the metadata of the file. */
  find(location: ArchiveLocation, options?: { signal?: AbortSignal }): Promise<FoundCopy | null>;
  /** The record of a copy that `find` returned. */
  copyAt(location: ArchiveLocation, found: FoundCopy & { sha256: string }): StoredCopy;
  /** The stored bytes. */
  read(location: ArchiveLocation, options?: { signal?: AbortSignal }): Promise<ReadableStream<Uint8Array>>;
  /** Endings of the sidecars that are stored beside the file, whether the file exists or not. */
  sidecarsOf(location: ArchiveLocation, options?: { signal?: AbortSignal }): Promise<string[]>;
  /** Removes the file, its sidecars and all stored versions of their bytes. "absent": there was none of them. */
  remove(location: ArchiveLocation, options?: { signal?: AbortSignal }): Promise<"removed" | "absent">;
  /** Removes every file of a title or episode, whatever its name. Returns how many. */
  removeTitle(title: Title, options?: { signal?: AbortSignal }): Promise<number>;
  /** The text of the identity file (marker.ts); null if it does not exist. */
  readMarker(options?: { signal?: AbortSignal }): Promise<string | null>;
  writeMarker(text: string, options?: { signal?: AbortSignal }): Promise<void>;
  /** A cheap call that fails if a put would fail: wrong token, disabled account. */
  probe(options?: { signal?: AbortSignal }): Promise<TargetUse>;
}

/** The repository and directory of a title or episode (core/archive_location.ts). */
export function directoryOf(target: StorageTarget, title: Title): { repo: string; directory: string } {
  const { repo } = target.locationOf({ malId: title.malId, episode: 1, fileKey: "0" });
  const directory = title.episode === undefined ? `${title.malId}/` : `${title.malId}/ep${title.episode}/`;
  return { repo, directory };
}

/** Throws if the location is outside of the owner: rows are not trusted to name a place outside of the target. */
export function assertInside(location: ArchiveLocation, owner: string): void {
  const [first, name = "", ...rest] = location.repo.split("/");
  const repoIsPlain = first === owner && rest.length === 0 && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name);
  // deno-lint-ignore no-control-regex -- not allowed in file names
  const pathIsPlain = location.path.split("/").every((step) => !/^\.*$|[\\\u0000-\u001f\u007f]/.test(step));
  if (repoIsPlain && pathIsPlain) return;
  throw new StorageError("refused", `${location.repo}/${location.path} is not a location of ${owner}`, {
    code: "invalid_input",
  });
}
