/**
 * A bucket of any S3-compatible store (R2, B2, MinIO, AWS) as a storage target.
 * Example: https://<account>.r2.cloudflarestorage.com/archive/archive-55825/55825/ep1/<key>.mp4.
 */
import { z } from "zod";
import { type ArchiveLocation, archiveLocation } from "../../../core/archive_location.ts";
import { MAX_UPLOAD_PLANS } from "../../retry_policies.ts";
import { partCount, sendParts, UploadExpiredError } from "../../transfer/multipart.ts";
import { retryStorageCall } from "../../transfer/retry.ts";
import { assertUnchanged, type StagedFile } from "../../transfer/staged_file.ts";
import { StorageError } from "../../transfer/storage_error.ts";
import { openJournal } from "../../transfer/upload_journal.ts";
import { contentTypeOf, sidecarEnding, sidecarLocation, startBeside, stemOf } from "../sidecars.ts";
import { MARKER_NAME, readMarkerText } from "../marker.ts";
import {
  assertInside,
  directoryOf,
  type FoundCopy,
  type PutOptions,
  type Sidecar,
  type StorageTarget,
  type StoredCopy,
} from "../target.ts";
import { createS3Api, type S3ApiOptions, type Signal } from "./s3_api.ts";
import { completionDocument, parseUploadId } from "./s3_xml.ts";

const MAX_PARTS = 10_000;
const DEFAULT_PART_BYTES = 16 * 1024 * 1024;
/** Beyond twenty pages of a thousand objects, summing up the bucket would cost too many calls. */
const MAX_USAGE_PAGES = 20;
/** S3 stores a hash only of objects sent in one request, so ours is metadata. */
const SHA256_HEADER = "x-amz-meta-sha256";

export interface S3TargetOptions extends S3ApiOptions {
  readonly repoPrefix: string;
  readonly account: number;
  /** Larger files are sent in parts of this size; real stores need at least 5 MiB. @default 16 MiB */
  readonly partBytes?: number;
}

const planSchema = z.object({ uploadId: z.string().min(1), partBytes: z.int().positive() });

export function createS3Target(options: S3TargetOptions): StorageTarget {
  const { endpoint, bucket, retry, partBytes = DEFAULT_PART_BYTES } = options;
  const name = `s3:${bucket}`;
  const markerUrl = `${endpoint}/${bucket}/${MARKER_NAME}`;
  const api = createS3Api(options);
  const urlOf = (location: ArchiveLocation, query = "") => {
    assertInside(location, bucket);
    return `${endpoint}/${location.repo}/${location.path.split("/").map(encodeURIComponent).join("/")}${query}`;
  };

  async function stat(location: ArchiveLocation, { signal }: Signal = {}): Promise<FoundCopy | null> {
    const head = { method: "HEAD", signal, safe: true, allowMissing: true };
    const response = await api.call("reading metadata", urlOf(location), head);
    if (response === null) return null;
    const size = response.headers.get("content-length");
    if (size === null) throw api.unexpected("the size of a copy is unknown (HEAD without Content-Length)");
    return { sha256: response.headers.get(SHA256_HEADER), sizeBytes: Number(size), commitOid: null };
  }

  const copyOf = (
    file: Pick<StagedFile, "sha256" | "sizeBytes">,
    location: ArchiveLocation,
    alreadyThere: boolean,
  ): StoredCopy => ({
    target: name,
    account: options.account,
    ...location,
    commitOid: null,
    sha256: file.sha256,
    sizeBytes: file.sizeBytes,
    directUrl: urlOf(location),
    alreadyThere,
  });

  const partsOptions = (file: StagedFile, put: PutOptions) => ({
    target: name,
    file,
    onProgress: put.onProgress ?? (() => {}),
    semaphore: put.semaphore,
    signal: put.signal,
    retry,
  });

  async function sendWhole(file: StagedFile, location: ArchiveLocation, put: PutOptions) {
    await put.beforeCommit?.();
    const signed = await api.sign(urlOf(location), { method: "PUT", headers: storedHeaders(file, location) });
    await sendParts({
      ...partsOptions(file, put),
      partBytes: Math.max(1, file.sizeBytes),
      done: new Map(),
      request: () => Promise.resolve({ url: signed.url, headers: signed.headers }),
      onPart: () => Promise.resolve(),
      etagNeeded: false,
    });
  }

  async function sendInParts(file: StagedFile, location: ArchiveLocation, put: PutOptions) {
    const journal = openJournal(file, { target: name, parsePlan: (plan) => planSchema.safeParse(plan).data ?? null });
    let state = await journal.read();
    if (!state) {
      const plan = { uploadId: await startUpload(file, location, put), partBytes: partBytesFor(file, partBytes) };
      await journal.begin(plan);
      state = { plan, parts: new Map() };
    }
    const { plan, parts } = state;
    const upload = `uploadId=${encodeURIComponent(plan.uploadId)}`;
    try {
      await sendParts({
        ...partsOptions(file, put),
        partBytes: plan.partBytes,
        done: parts,
        async request(part) {
          const signed = await api.sign(urlOf(location, `?partNumber=${part}&${upload}`), { method: "PUT" });
          return { url: signed.url, headers: signed.headers };
        },
        onPart: (part, etag) => journal.confirm(part, etag),
        etagNeeded: true,
      });
      await assertUnchanged(file);
      await put.beforeCommit?.();
      await complete(file, location, { ...put, upload, parts });
    } catch (error) {
      if (!(error instanceof UploadExpiredError)) throw error; // keep the journal: the next attempt resumes
      // Parts of an abandoned upload cost storage. If this call fails, the store's lifecycle rule removes them.
      await api.call("aborting the upload", urlOf(location, `?${upload}`), {
        method: "DELETE",
        signal: put.signal,
        safe: true,
        allowMissing: true,
      }).catch(() => {});
      await journal.remove();
      throw error;
    }
    await journal.remove();
  }

  async function startUpload(file: StagedFile, location: ArchiveLocation, { signal }: Signal): Promise<string> {
    const response = await api.call("starting an upload", urlOf(location, "?uploads="), {
      method: "POST",
      headers: storedHeaders(file, location),
      signal,
      safe: true,
    });
    const uploadId = parseUploadId(response?.text ?? "");
    if (uploadId === null) throw api.unexpected("starting an upload: the response has no upload id");
    return uploadId;
  }

  /** Joins the parts. Looks for the object before every repetition: a completion that succeeded cannot be repeated. */
  async function complete(
    file: StagedFile,
    location: ArchiveLocation,
    options: Signal & { upload: string; parts: Map<number, string> },
  ): Promise<void> {
    let repeatable: unknown;
    const completeOnce = async () => {
      try {
        await api.call("completing the upload", urlOf(location, `?${options.upload}`), {
          method: "POST",
          body: completionDocument(options.parts),
          signal: options.signal,
          safe: false,
          keptAlive: true,
        });
      } catch (failure) {
        if (!(failure instanceof StorageError)) throw failure;
        const found = await stat(location, options);
        if (isCopyOf(found, file)) return;
        if (isUnlabelled(found, file)) throw await refuseUnlabelled(location, options);
        if (failure.problem !== "transient") throw new UploadExpiredError(failure);
        throw repeatable = failure;
      }
    };
    const retryable = (error: unknown) => error === repeatable;
    await retryStorageCall(completeOnce, retry, { signal: options.signal, retryable });
  }

  /** Waits until the store shows the file. Deletes an incomplete object, which a reader could otherwise be sent to. */
  async function confirm(file: StagedFile, location: ArchiveLocation, { signal }: Signal): Promise<void> {
    let found: FoundCopy | null = null;
    let repeatable: unknown;
    const confirmOnce = async () => {
      found = await stat(location, { signal });
      if (isCopyOf(found, file)) return;
      const failure = api.unexpected("the upload was accepted, but the file is missing or incomplete");
      if (found?.sha256 !== file.sha256) throw repeatable = failure; // an eventually consistent store may show it later
      await removeObject(location, { signal });
      throw new UploadExpiredError(failure);
    };
    try {
      await retryStorageCall(confirmOnce, retry, { signal, retryable: (error) => error === repeatable });
    } catch (error) {
      throw error === repeatable && isUnlabelled(found, file) ? await refuseUnlabelled(location, { signal }) : error;
    }
  }

  /** A copy without its hash would be uploaded again by every `put`: remove it. */
  async function refuseUnlabelled(location: ArchiveLocation, { signal }: Signal): Promise<StorageError> {
    await removeObject(location, { signal });
    const why = `the store does not keep ${SHA256_HEADER}, so copies cannot be verified: use another store`;
    return new StorageError("refused", `${name}: ${why}`, { code: "storage_denied" });
  }

  async function removeObject(location: ArchiveLocation, { signal }: Signal): Promise<void> {
    await api.call("deleting", urlOf(location), { method: "DELETE", signal, safe: true, allowMissing: true });
  }

  /** Paths of the objects of a repository that start with `prefix`. */
  async function pathsOf(repo: string, prefix: string, options: Signal): Promise<string[]> {
    const root = `${repo.slice(bucket.length + 1)}/`;
    const keys: string[] = [];
    for await (const objects of api.listPages(root + prefix, options)) keys.push(...objects.map(({ key }) => key));
    return keys.filter((key) => key.startsWith(root + prefix)) // do not trust the store's filter
      .map((key) => key.slice(root.length));
  }

  /** Sends the sidecars that are not there. Returns how many. */
  async function putSidecars(
    sidecars: readonly Sidecar[],
    location: ArchiveLocation,
    options: { put: PutOptions; mayExist: boolean },
  ): Promise<number> {
    const put: PutOptions = {
      semaphore: options.put.semaphore,
      ...(options.put.signal && { signal: options.put.signal }),
    };
    const sent: Sidecar[] = [];
    for (const sidecar of sidecars) {
      const { ending, file } = sidecar;
      const there = sidecarLocation(location, ending);
      if (options.mayExist && isCopyOf(await stat(there, put), file)) continue;
      await assertUnchanged(file);
      if (sent.length === 0) await options.put.beforeCommit?.();
      await sendWhole(file, there, put);
      sent.push(sidecar);
    }
    return sent.length;
  }

  /** null if the bucket is too large to be summed up. */
  async function usedBytes(options: Signal): Promise<number | null> {
    let bytes = 0;
    let pages = 0;
    for await (const objects of api.listPages("", options)) {
      if (++pages > MAX_USAGE_PAGES) return null;
      for (const { sizeBytes } of objects) bytes += sizeBytes;
    }
    return bytes;
  }

  const target: StorageTarget = {
    name,
    kind: "s3",
    account: options.account,
    locationOf: (archive) => archiveLocation({ username: bucket, prefix: options.repoPrefix, ...archive }),

    async put(file, location, put) {
      const making = startBeside(put);
      if (isCopyOf(await stat(location, put), file)) {
        put.onProgress?.(file.sizeBytes);
        const sent = await putSidecars(await making, location, { put, mayExist: true });
        return copyOf(file, location, sent === 0);
      }
      const withSidecars: PutOptions = {
        ...put,
        async beforeCommit() {
          await putSidecars(await making, location, { put, mayExist: false });
          await put.beforeCommit?.();
        },
      };
      const send = async () => {
        await assertUnchanged(file);
        if (file.sizeBytes > partBytes) await sendInParts(file, location, withSidecars);
        else await sendWhole(file, location, withSidecars);
        await assertUnchanged(file);
        await confirm(file, location, put);
        return copyOf(file, location, false);
      };
      const times = { ...retry.times, attempts: MAX_UPLOAD_PLANS };
      return await retryStorageCall(send, { ...retry, times }, {
        signal: put.signal,
        retryable: (error) =>
          error instanceof UploadExpiredError && error.problem !== "auth" && error.problem !== "quota",
      });
    },

    find: stat,

    copyAt: (location, found) => copyOf(found, location, true),

    read: (location, read) => api.open(urlOf(location), read),

    async sidecarsOf(location, options = {}) {
      assertInside(location, bucket);
      const paths = await pathsOf(location.repo, `${stemOf(location)}.`, options);
      return paths.map((path) => sidecarEnding(location, path)).filter((ending) => ending !== null);
    },

    async remove(location, remove = {}) {
      const endings = await target.sidecarsOf(location, remove);
      for (const ending of endings) await removeObject(sidecarLocation(location, ending), remove);
      if (await stat(location, remove) === null) return endings.length > 0 ? "removed" : "absent";
      await removeObject(location, remove);
      return "removed";
    },

    async removeTitle(title, remove = {}) {
      const { repo, directory } = directoryOf(target, title);
      const paths = await pathsOf(repo, directory, remove);
      for (const path of paths) await removeObject({ repo, path }, remove);
      return paths.length;
    },

    async readMarker(read) {
      try {
        return await readMarkerText(await api.open(markerUrl, read));
      } catch (error) {
        if (error instanceof StorageError && error.problem === "missing") return null;
        throw error;
      }
    },

    async writeMarker(text, write) {
      await api.call("writing the identity file", markerUrl, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: text,
        signal: write?.signal,
        safe: true,
      });
    },

    probe: async (probe = {}) => ({ usedBytes: await usedBytes(probe) }),
  };
  return target;
}

function storedHeaders(file: StagedFile, location: ArchiveLocation): Record<string, string> {
  return { "content-type": contentTypeOf(location.path), [SHA256_HEADER]: file.sha256 };
}

function isCopyOf(found: FoundCopy | null, file: StagedFile): boolean {
  return found?.sha256 === file.sha256 && found.sizeBytes === file.sizeBytes;
}

/** The size is right and the hash is missing. */
function isUnlabelled(found: FoundCopy | null, file: StagedFile): boolean {
  return found !== null && found.sha256 === null && found.sizeBytes === file.sizeBytes;
}

function partBytesFor(file: StagedFile, preferred: number): number {
  return partCount(file.sizeBytes, preferred) <= MAX_PARTS ? preferred : Math.ceil(file.sizeBytes / MAX_PARTS);
}
