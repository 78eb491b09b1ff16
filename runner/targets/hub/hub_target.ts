/**
 * An account of the Hugging Face Hub as a storage target: read the file's metadata, upload, commit, read the metadata again.
 * Every step can be repeated: after a failure that may hide a success, the metadata is read before anything is sent again.
 */

import { type ArchiveLocation, archiveLocation } from "../../../core/archive_location.ts";
import { createHubApi, type HubApi } from "./hub_api.ts";
import { commit, filesBeside, type HubFile, isStored, lastCommitOf } from "./hub_commit.ts";
import type { RemoteFile } from "./hub_responses.ts";
import { type HubParts, upload, uploadSmall } from "./hub_upload.ts";
import { retry as repeat } from "../../../core/retry.ts";
import { MAX_UPLOAD_PLANS } from "../../retry_policies.ts";
import { MARKER_NAME, readMarkerText } from "../marker.ts";
import { sidecarEnding, startBeside } from "../sidecars.ts";
import type { RetryParts } from "../../transfer/retry.ts";
import { StorageError } from "../../transfer/storage_error.ts";
import { assertInside, directoryOf, type StorageTarget, type StoredCopy } from "../target.ts";
import { openJournal } from "../../transfer/upload_journal.ts";
import { keptPlan } from "../../transfer/upload_plan.ts";

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
    file: { sha256: string; sizeBytes: number; commitOid: string | null },
    alreadyThere: boolean,
  ): StoredCopy {
    const path = location.path.split("/").map(encodeURIComponent).join("/");
    return {
      target: name,
      account: options.account,
      ...location,
      commitOid: file.commitOid,
      sha256: file.sha256,
      sizeBytes: file.sizeBytes,
      directUrl: `${endpoint}/datasets/${location.repo}/resolve/${file.commitOid ?? "main"}/${path}`,
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
      const making = startBeside(put);
      const video: HubFile = { path: location.path, file, content: null };
      const parts = { api, put, retry, name };
      let remote = await api.stat(location, put);
      const putOnce = async () => {
        const isThere = isStored(remote, video);
        if (!isThere) {
          if (remote.kind === "no-repo") await api.createRepo(location.repo, put);
          await upload(file, location.repo, { ...parts, journal });
        }
        put.onProgress?.(file.sizeBytes);
        const present = [video, ...await filesBeside(location, await making)];
        const found = new Map<string, RemoteFile>([[location.path, remote]]);
        if (isThere && present.length > 1) {
          const paths = present.map(({ path }) => path);
          for (const [path, entry] of await api.statAll(location.repo, paths, put) ?? []) found.set(path, entry);
        }
        const files = present.filter((each) => !isStored(found.get(each.path), each));
        const commitOid = files.length === 0
          ? lastCommitOf([...found.values()].filter((each) => each.kind === "file"))
          : await uploadAndCommit(location, { files, present }, parts);
        await journal.remove();
        return copyOf(location, { ...file, commitOid }, files.length === 0);
      };
      return await repeat(putOnce, { attempts: MAX_UPLOAD_PLANS, delayMs: 0 }, {
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

    copyAt: (location, found) => copyOf(location, found, true),

    read: (location, read) => api.read(location, read),

    async sidecarsOf(location, options) {
      assertInside(location, username);
      const directory = location.path.slice(0, location.path.lastIndexOf("/"));
      try {
        const paths = await api.livePaths(location.repo, { ...options, directory });
        return [...paths.keys()].map((path) => sidecarEnding(location, path)).filter((ending) => ending !== null);
      } catch (error) {
        if (error instanceof StorageError && error.problem === "missing") return [];
        throw error;
      }
    },

    async remove(location, remove) {
      const remote = await api.stat(location, remove);
      if (remote.kind === "no-repo") return "absent";
      const isOwn = (path: string | null) =>
        path !== null && (path === location.path || sidecarEnding(location, path) !== null);
      const own = [...await api.livePaths(location.repo, remove)].filter(([path]) => isOwn(path));
      if (own.length > 0) await api.deleteFiles(location.repo, own.map(([path]) => path), remove);
      const objects = new Set(own.map(([, sha256]) => sha256));
      const gone = await deleteUnnamed(location.repo, {
        api,
        remove,
        mayGo: ({ path, sha256 }) => isOwn(path) || objects.has(sha256),
      });
      return own.length > 0 || gone > 0 ? "removed" : "absent";
    },

    async removeTitle(title, remove) {
      const { repo, directory } = directoryOf(target, title);
      if ((await api.stat({ repo, path: directory.slice(0, -1) }, remove)).kind === "no-repo") return 0;
      const paths = [...(await api.livePaths(repo, remove)).keys()];
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
  const live = new Set((await api.livePaths(repo, remove)).values());
  const gone = (await api.storedObjects(repo, remove)).filter((object) => mayGo(object) && !live.has(object.sha256));
  await api.deleteObjects(repo, gone.map(({ sha256 }) => sha256), remove);
  return gone.length;
}

async function uploadAndCommit(
  location: ArchiveLocation,
  change: { files: readonly HubFile[]; present: readonly HubFile[] },
  parts: HubParts,
): Promise<string | null> {
  const objects = change.files.filter(({ path, content }) => path !== location.path && content === null);
  await uploadSmall(objects.map(({ file }) => file), location.repo, parts);
  const isNew = change.files.some(({ path }) => path === location.path);
  const summary = isNew ? `Archive ${location.path}` : `Add ${change.files.length} files beside ${location.path}`;
  return await commit(location.repo, { summary, ...change }, parts);
}
