/**
 * An account of the Hugging Face Hub as a storage target: read the file's metadata, upload, commit, read the metadata again.
 * Every step can be repeated: after a failure that may hide a success, the metadata is read before anything is sent again.
 */

import { type ArchiveLocation, archiveLocation } from "../../../core/archive_location.ts";
import { createHubApi, type HubApi } from "./hub_api.ts";
import type { RemoteFile } from "./hub_responses.ts";
import { retry as repeat } from "../../../core/retry.ts";
import { MAX_UPLOAD_PLANS } from "../../retry_policies.ts";
import { MARKER_NAME, readMarkerText } from "../marker.ts";
import { sendParts, UploadExpiredError } from "../../transfer/multipart.ts";
import { type RetryParts, retryStorageCall } from "../../transfer/retry.ts";
import { assertUnchanged, type StagedFile } from "../../transfer/staged_file.ts";
import { StorageError } from "../../transfer/storage_error.ts";
import { directoryOf, type PutOptions, type StorageTarget, type StoredCopy } from "../target.ts";
import { openJournal, type UploadJournal } from "../../transfer/upload_journal.ts";
import { keptPlan, type UploadPlan } from "../../transfer/upload_plan.ts";

/** Upload URLs that expire sooner are not used. */
const MIN_URL_SECONDS = 60;
/** The account's identity file has its own repository, independent of the titles' prefix. */
const MARKER_REPO = "keepstream-target";

export interface HubTargetOptions {
  /** `https://huggingface.co`, without a trailing slash. */
  readonly endpoint: string;
  readonly username: string;
  readonly token: string;
  /** Repositories are called `{prefix}-{malId}`. */
  readonly repoPrefix: string;
  readonly account: number;
  readonly retry: RetryParts;
}

export function createHubTarget(options: HubTargetOptions): StorageTarget {
  const { endpoint, username, retry } = options;
  const api = createHubApi(options);
  const name = `hub:${username}`;
  const marker = { repo: `${username}/${MARKER_REPO}`, path: MARKER_NAME };

  function copyOf(
    location: ArchiveLocation,
    remote: Extract<RemoteFile, { kind: "file" }>,
    alreadyThere: boolean,
  ): StoredCopy {
    const path = location.path.split("/").map(encodeURIComponent).join("/");
    return {
      target: name,
      account: options.account,
      ...location,
      commitOid: remote.commitOid,
      sha256: remote.sha256 ?? "",
      sizeBytes: remote.sizeBytes,
      directUrl: `${endpoint}/datasets/${location.repo}/resolve/${remote.commitOid ?? "main"}/${path}`,
      alreadyThere,
    };
  }

  const target: StorageTarget = {
    name,
    kind: "hub",
    account: options.account,
    locationOf: (archive) => archiveLocation({ username, prefix: options.repoPrefix, ...archive }),

    async put(file, location, put) {
      const here = { sizeBytes: file.sizeBytes, endpoint };
      const journal = openJournal(file, { target: name, parsePlan: (plan) => keptPlan(plan, here) });
      let remote = await api.stat(location, put);
      const found = asCopyOf(remote, file);
      if (found) {
        put.onProgress?.(file.sizeBytes);
        await journal.remove();
        return copyOf(location, found, true);
      }
      const send = async () => {
        if (remote.kind === "no-repo") await api.createRepo(location.repo, put);
        await upload(file, location, { api, journal, put, retry, name });
        put.onProgress?.(file.sizeBytes);
        const committed = await commit(file, location, { api, put, retry, name });
        await journal.remove();
        return copyOf(location, committed, false);
      };
      return await repeat(send, { attempts: MAX_UPLOAD_PLANS, delayMs: 0 }, {
        signal: put.signal,
        // The repository or the object was deleted during the upload: start over.
        retryable: (error) => error instanceof StorageError && error.problem === "missing",
        async onRetry() {
          await journal.remove();
          remote = await api.stat(location, put);
        },
      });
    },

    async find(location, find) {
      const remote = await api.stat(location, find);
      return remote.kind === "file" ? remote : null;
    },

    copyAt: (location, found) => copyOf(location, { kind: "file", ...found }, true),

    read: (location, read) => api.read(location, read),

    async remove(location, remove) {
      const remote = await api.stat(location, remove);
      if (remote.kind === "no-repo") return "absent";
      if (remote.kind === "file") await api.deleteFiles(location.repo, [location.path], remove);
      const gone = await deleteUnnamed(location.repo, {
        api,
        remove,
        mayGo: ({ path, sha256 }) => path === location.path || (remote.kind === "file" && sha256 === remote.sha256),
      });
      return remote.kind === "file" || gone > 0 ? "removed" : "absent";
    },

    async removeTitle(title, remove) {
      const { repo, directory } = directoryOf(target, title);
      if ((await api.stat({ repo, path: directory.slice(0, -1) }, remove)).kind === "no-repo") return 0;
      const paths = [...(await api.livePaths(repo, remove)).values()].flat();
      const doomed = paths.filter((path) => path.startsWith(directory));
      if (title.episode === undefined) {
        await api.deleteRepo(repo, remove); // the repository contains only this title
        return doomed.length;
      }
      if (doomed.length > 0) await api.deleteFiles(repo, doomed, remove);
      await deleteUnnamed(repo, { api, remove, mayGo: ({ path }) => path === null || path.startsWith(directory) });
      return doomed.length;
    },

    async readMarker(read) {
      try {
        return await readMarkerText(await api.read(marker, read));
      } catch (error) {
        if (error instanceof StorageError && (error.problem === "missing" || error.problem === "invisible")) {
          return null;
        }
        throw error;
      }
    },

    async writeMarker(text, write) {
      await api.createRepo(marker.repo, { ...write, files: [{ path: marker.path, content: new Blob([text]) }] });
      if (await target.readMarker(write) !== text) await api.writeSmallFile(marker, text, write);
    },

    async probe(probe) {
      const owner = await api.whoAmI(probe);
      if (owner !== username) {
        throw new StorageError("auth", `${name}: its token belongs to ${owner}`, { code: "storage_denied" });
      }
      return { usedBytes: await api.usedBytes(probe) };
    },
  };
  return target;
}

interface StoredObject {
  readonly sha256: string;
  readonly path: string | null;
}

/** Deletes objects that main no longer refers to: a deleted path stays readable through old commits. */
async function deleteUnnamed(
  repo: string,
  options: { api: HubApi; remove?: { signal?: AbortSignal }; mayGo: (object: StoredObject) => boolean },
): Promise<number> {
  const { api, remove, mayGo } = options;
  const live = await api.livePaths(repo, remove);
  const gone = (await api.storedObjects(repo, remove)).filter((object) => mayGo(object) && !live.has(object.sha256));
  await api.deleteObjects(repo, gone.map(({ sha256 }) => sha256), remove);
  return gone.length;
}

interface Parts {
  readonly api: HubApi;
  readonly put: PutOptions;
  readonly retry: RetryParts;
  readonly name: string;
}

/** Uploads the object; resumes an interrupted upload. */
async function upload(
  file: StagedFile,
  location: ArchiveLocation,
  parts: Parts & { journal: UploadJournal<UploadPlan> },
): Promise<void> {
  const { api, journal, put, retry } = parts;
  const uploadOnce = async () => {
    let state = await journal.read();
    if (!state || !isFresh(state.plan)) {
      const plan = await api.batch(location.repo, file, put);
      if (plan === null) return;
      await journal.begin(plan);
      state = { plan, parts: new Map() };
    }
    try {
      await assertUnchanged(file);
      await send(file, state, parts);
    } catch (error) {
      put.signal?.throwIfAborted();
      if (!(error instanceof UploadExpiredError)) throw error;
      await journal.remove();
      await assertUnchanged(file);
      throw error;
    }
  };
  await retryStorageCall(uploadOnce, { ...retry, times: { ...retry.times, attempts: MAX_UPLOAD_PLANS } }, {
    signal: put.signal,
    retryable: (error) => error instanceof UploadExpiredError,
  });
}

async function send(
  file: StagedFile,
  state: { plan: UploadPlan; parts: Map<number, string> },
  { api, journal, put, retry, name }: Parts & { journal: UploadJournal<UploadPlan> },
): Promise<void> {
  const { plan, parts: done } = state;
  await sendParts({
    target: name,
    file,
    partBytes: plan.multipart?.partBytes ?? Math.max(1, file.sizeBytes),
    done,
    request: (part) =>
      Promise.resolve({
        url: plan.multipart === null ? plan.href : plan.multipart.partUrls[part]!,
        headers: plan.headers,
      }),
    onPart: (part, etag) => journal.confirm(part, etag),
    onProgress: put.onProgress ?? (() => {}),
    semaphore: put.semaphore,
    signal: put.signal,
    retry,
    etagNeeded: plan.multipart !== null,
  });
  try {
    if (plan.multipart) {
      const parts = [...done].sort(([a], [b]) => a - b).map(([partNumber, etag]) => ({ partNumber, etag }));
      await api.complete(plan.href, { oid: file.sha256, parts }, put);
    }
    if (plan.verifyHref) await api.verify(plan.verifyHref, file, put);
  } catch (error) {
    // It may have succeeded nevertheless, or the parts are wrong; the next batch call shows it.
    if (error instanceof StorageError && !["auth", "quota", "account_flagged"].includes(error.problem)) {
      throw new UploadExpiredError(error);
    }
    throw error;
  }
}

/** Commits under the repository's lock and returns the resulting metadata, which is read before every repetition. */
async function commit(
  file: StagedFile,
  location: ArchiveLocation,
  { api, put, retry, name }: Parts,
): Promise<Extract<RemoteFile, { kind: "file" }>> {
  await using _lock = await put.lockRepo?.(location.repo, put.signal) ?? nothingHeld;
  let repeatable: unknown;
  const commitOnce = async () => {
    await assertUnchanged(file);
    await put.beforeCommit?.();
    let failure: unknown;
    let committed: string | null = null;
    try {
      committed = await api.commit(location, file, put);
    } catch (error) {
      if (!(error instanceof StorageError) || !mayHaveSucceeded(error)) throw error;
      failure = error;
    }
    const found = asCopyOf(await api.stat(location, put), file);
    if (found) return { ...found, commitOid: committed ?? found.commitOid };
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

function asCopyOf(remote: RemoteFile, file: StagedFile) {
  return remote.kind === "file" && remote.sha256 === file.sha256 && remote.sizeBytes === file.sizeBytes ? remote : null;
}

function isFresh(plan: UploadPlan): boolean {
  return plan.expiresAt === null || Date.parse(plan.expiresAt) - Date.now() > MIN_URL_SECONDS * 1000;
}
