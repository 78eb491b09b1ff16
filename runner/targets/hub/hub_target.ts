// One account of the Hugging Face Hub as a storage target: look, upload what is missing, commit, look again.
// Every step can be repeated: after a failure that may hide success, the Hub is asked before anything is sent twice.
// Runs on: Deno.

import { type ArchiveLocation, archiveLocation } from "../../../core/archive_location.ts";
import { createHubApi, type HubApi, type Look } from "./hub_api.ts";
import { MARKER_NAME, readMarkerText } from "../marker.ts";
import { PlanVoidError, sendParts } from "../../transfer/multipart.ts";
import { backoff, type RetryParts } from "../../transfer/retry.ts";
import { assertUnchanged, type StagedFile } from "../../transfer/staged_file.ts";
import { StorageError } from "../../transfer/storage_error.ts";
import { directoryOf, type PutOptions, type StorageTarget, type StoredCopy } from "../target.ts";
import { openJournal, type UploadJournal } from "../../transfer/upload_journal.ts";
import { keptPlan, type UploadPlan } from "../../transfer/upload_plan.ts";

/** How often an upload starts over (addresses expired, repository gone) before the job is given back to the queue. */
const MAX_PLANS = 5;
/** An address that is about to expire is not worth starting with. */
const MIN_ADDRESS_SECONDS = 60;
/** An account's identity file has a repository of its own, whatever the prefix of the titles' is. */
const MARKER_REPO = "keepstream-target";

export interface HubTargetOptions {
  /** `https://huggingface.co`, without a slash at its end. */
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

  function copyOf(address: ArchiveLocation, look: Extract<Look, { kind: "file" }>, alreadyThere: boolean): StoredCopy {
    const path = address.path.split("/").map(encodeURIComponent).join("/");
    return {
      target: name,
      account: options.account,
      ...address,
      commitOid: look.commitOid,
      sha256: look.sha256 ?? "",
      sizeBytes: look.sizeBytes,
      directUrl: `${endpoint}/datasets/${address.repo}/resolve/${look.commitOid ?? "main"}/${path}`,
      alreadyThere,
    };
  }

  const target: StorageTarget = {
    name,
    kind: "hub",
    account: options.account,
    address: (archive) => archiveLocation({ username, prefix: options.repoPrefix, ...archive }),

    async put(file, address, put) {
      const here = { sizeBytes: file.sizeBytes, endpoint };
      const journal = openJournal(file, { target: name, parsePlan: (plan) => keptPlan(plan, here) });
      let look = await api.look(address, put);
      const found = holds(look, file);
      if (found) {
        put.onProgress?.(file.sizeBytes);
        await journal.remove();
        return copyOf(address, found, true);
      }
      for (let plan = 1;; plan++) {
        try {
          if (look.kind === "no-repo") await api.createRepo(address.repo, put);
          await upload(file, address, { api, journal, put, retry, name });
          put.onProgress?.(file.sizeBytes);
          const landed = await commit(file, address, { api, put, retry, name });
          await journal.remove();
          return copyOf(address, landed, false);
        } catch (error) {
          // The repository or its object went away under the upload: begin again with what is there now.
          if (!(error instanceof StorageError) || error.problem !== "missing" || plan >= MAX_PLANS) throw error;
          await journal.remove();
          look = await api.look(address, put);
        }
      }
    },

    async find(address, find) {
      const look = await api.look(address, find);
      return look.kind === "file" ? look : null;
    },

    copyAt: (address, found) => copyOf(address, { kind: "file", ...found }, true),

    read: (address, read) => api.read(address, read),

    async remove(address, remove) {
      const look = await api.look(address, remove);
      if (look.kind === "no-repo") return "absent";
      if (look.kind === "file") await api.deleteFiles(address.repo, [address.path], remove);
      const gone = await deleteUnnamed(address.repo, {
        api,
        remove,
        mayGo: ({ path, sha256 }) => path === address.path || (look.kind === "file" && sha256 === look.sha256),
      });
      return look.kind === "file" || gone > 0 ? "removed" : "absent";
    },

    async removeTitle(title, remove) {
      const { repo, directory } = directoryOf(target, title);
      if ((await api.look({ repo, path: directory.slice(0, -1) }, remove)).kind === "no-repo") return 0;
      const paths = [...(await api.livePaths(repo, remove)).values()].flat();
      const doomed = paths.filter((path) => path.startsWith(directory));
      if (title.episode === undefined) {
        await api.deleteRepo(repo, remove); // the repository is the title's own: its history goes with it
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

/** Deletes objects that main no longer names: a deleted path alone stays readable through its old commits. */
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

/** Brings the bytes into the repository's object store, going on from where an earlier attempt was cut off. */
async function upload(
  file: StagedFile,
  address: ArchiveLocation,
  parts: Parts & { journal: UploadJournal<UploadPlan> },
): Promise<void> {
  const { api, journal, put, retry } = parts;
  for (let attempt = 1;; attempt++) {
    let state = await journal.read();
    if (!state || !isFresh(state.plan)) {
      const plan = await api.batch(address.repo, file, put);
      if (plan === null) return;
      await journal.begin(plan);
      state = { plan, parts: new Map() };
    }
    try {
      await assertUnchanged(file);
      await send(file, state, parts);
      return;
    } catch (error) {
      put.signal?.throwIfAborted();
      if (!(error instanceof PlanVoidError)) throw error;
      await journal.remove();
      await assertUnchanged(file);
      if (attempt >= MAX_PLANS) throw error;
    }
    await retry.sleep(backoff(attempt, retry), put.signal);
  }
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
        url: plan.multipart === null ? plan.href : plan.multipart.addresses[part]!,
        headers: plan.headers,
      }),
    onPart: (part, etag) => journal.confirm(part, etag),
    onProgress: put.onProgress ?? (() => {}),
    slots: put.slots,
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
    // It may have landed all the same, or the parts are not what they should be; the next batch call tells.
    if (error instanceof StorageError && !["auth", "quota", "abuse"].includes(error.problem)) {
      throw new PlanVoidError(error);
    }
    throw error;
  }
}

/** Commits under the repository's lock and returns what the Hub then shows; looks before every repetition. */
async function commit(
  file: StagedFile,
  address: ArchiveLocation,
  { api, put, retry, name }: Parts,
): Promise<Extract<Look, { kind: "file" }>> {
  await using _lock = await put.lockRepo?.(address.repo, put.signal) ?? nothingHeld;
  for (let attempt = 1;; attempt++) {
    await assertUnchanged(file);
    await put.beforeCommit?.();
    let failure: unknown;
    let committed: string | null = null;
    try {
      committed = await api.commit(address, file, put);
    } catch (error) {
      if (!(error instanceof StorageError) || !mayPass(error)) throw error;
      failure = error;
    }
    const look = await api.look(address, put);
    const found = holds(look, file);
    if (found) return { ...found, commitOid: committed ?? found.commitOid };
    failure ??= new StorageError("slow", `${name}: the commit was accepted, but the file is not there`, {
      code: "storage_5xx",
    });
    if (attempt >= retry.times.attempts) throw failure;
    await retry.sleep(backoff(attempt, retry), put.signal);
  }
}

const nothingHeld: AsyncDisposable = { [Symbol.asyncDispose]: () => Promise.resolve() };

/** Whether a failed commit is worth a look and another attempt, with this upload. */
function mayPass(error: StorageError): boolean {
  return error.problem === "conflict" || (error.problem === "slow" && error.code !== "rate_limited");
}

function holds(look: Look, file: StagedFile) {
  return look.kind === "file" && look.sha256 === file.sha256 && look.sizeBytes === file.sizeBytes ? look : null;
}

function isFresh(plan: UploadPlan): boolean {
  return plan.expiresAt === null || Date.parse(plan.expiresAt) - Date.now() > MIN_ADDRESS_SECONDS * 1000;
}
