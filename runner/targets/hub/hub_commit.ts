/**
 * Makes uploaded files visible, a video and its sidecars in one commit. Playlists and other descriptions are small files of the commit
 * itself. What has contents of the video (pictures, subtitles) is an object, because objects can be deleted for good: a file in git stays
 * in the repository's history.
 */

import { createHash } from "node:crypto";
import type { ArchiveLocation } from "../../../core/archive_location.ts";
import { retryStorageCall } from "../../transfer/retry.ts";
import { assertUnchanged, type StagedFile } from "../../transfer/staged_file.ts";
import { StorageError } from "../../transfer/storage_error.ts";
import { sidecarLocation } from "../sidecars.ts";
import type { Sidecar } from "../target.ts";
import type { CommitFile } from "./hub_api.ts";
import type { RemoteFile } from "./hub_responses.ts";
import type { HubParts } from "./hub_upload.ts";

/** Endings of descriptions. */
const IN_GIT = /(\.m3u8|\.manifest|\.sprite\.vtt)$/;
/** A commit's body has a limit; what does not fit is uploaded as an object. */
const MAX_GIT_BYTES = 4 * 1024 * 1024;

export type FoundFile = Extract<RemoteFile, { kind: "file" }>;

export interface HubFile {
  readonly path: string;
  readonly file: StagedFile;
  /** null: an object that has to be uploaded. */
  readonly content: Uint8Array | null;
}

export async function filesBeside(location: ArchiveLocation, sidecars: readonly Sidecar[]): Promise<HubFile[]> {
  const files: HubFile[] = [];
  let left = MAX_GIT_BYTES;
  for (const { ending, file } of sidecars) {
    const inGit = IN_GIT.test(ending) && file.sizeBytes <= left;
    if (inGit) left -= file.sizeBytes;
    const content = inGit ? await Deno.readFile(file.path) : null;
    files.push({ path: sidecarLocation(location, ending).path, file, content });
  }
  return files;
}

/** Whether the file on main has the same bytes, however it is stored. */
export function isStored(found: RemoteFile | undefined, { file, content }: HubFile): found is FoundFile {
  if (found?.kind !== "file" || found.sizeBytes !== file.sizeBytes) return false;
  if (found.sha256 !== null) return found.sha256 === file.sha256;
  return content !== null && found.gitOid === gitBlobOid(content);
}

/** The last of the commits that added the files: it has all of them. */
export function lastCommitOf(found: readonly FoundFile[]): string | null {
  const last = found.toSorted((a, b) => (a.committedAt ?? "").localeCompare(b.committedAt ?? "")).at(-1);
  return last?.commitOid ?? null;
}

/**
 * Commits the files under the repository's lock. Returns the id of a commit that has all of `present`, whose metadata is read before every
 * repetition.
 */
export async function commit(
  repo: string,
  change: { summary: string; files: readonly HubFile[]; present: readonly HubFile[] },
  { api, put, retry, name }: HubParts,
): Promise<string | null> {
  await using _lock = await put.lockRepo?.(repo, put.signal) ?? nothingHeld;
  let repeatable: unknown;
  const commitOnce = async () => {
    for (const { file } of change.files) await assertUnchanged(file);
    await put.beforeCommit?.();
    let failure: unknown;
    let committed: string | null = null;
    try {
      committed = await api.commit(repo, { summary: change.summary, files: change.files.map(asCommitFile) }, put);
    } catch (error) {
      if (!(error instanceof StorageError) || !mayHaveSucceeded(error)) throw error;
      failure = error;
    }
    const found = await api.statAll(repo, change.present.map(({ path }) => path), put) ?? new Map<string, FoundFile>();
    const stored = change.present.map((file) => [found.get(file.path), file] as const);
    if (stored.every(([remote, file]) => isStored(remote, file))) {
      return committed ?? lastCommitOf(stored.map(([remote]) => remote!));
    }
    throw repeatable = failure ?? new StorageError("transient", `${name}: the commit was accepted, but has no effect`, {
      code: "storage_5xx",
    });
  };
  const retryable = (error: unknown) => error === repeatable;
  return await retryStorageCall(commitOnce, retry, { signal: put.signal, retryable });
}

const nothingHeld: AsyncDisposable = { [Symbol.asyncDispose]: () => Promise.resolve() };

/** Whether to read the metadata and to try again with the same upload. */
function mayHaveSucceeded(error: StorageError): boolean {
  return error.problem === "conflict" || (error.problem === "transient" && error.code !== "rate_limited");
}

function asCommitFile({ path, file, content }: HubFile): CommitFile {
  return content === null ? { path, sha256: file.sha256, sizeBytes: file.sizeBytes } : { path, content };
}

function gitBlobOid(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");
}
