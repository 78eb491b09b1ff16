// A bucket of any S3-compatible store (R2, B2, MinIO, AWS) as a storage target.
// Example: https://<account>.r2.cloudflarestorage.com/archive/archive-55825/55825/ep1/<key>.mp4. Runs on: Deno.

import { AwsClient } from "aws4fetch";
import { z } from "zod";
import { type ArchiveLocation, archiveLocation } from "../../../core/archive_location.ts";
import { contentTypeOf } from "../extras.ts";
import { MARKER_NAME, readMarkerText } from "../marker.ts";
import { partCount, PlanVoidError, sendParts } from "../../transfer/multipart.ts";
import { backoff, once, openBody, retryingFetch, type RetryParts } from "../../transfer/retry.ts";
import { assertUnchanged, type StagedFile } from "../../transfer/staged_file.ts";
import { asStorageError, StorageError, storageErrorOf } from "../../transfer/storage_error.ts";
import {
  assertInside,
  directoryOf,
  type FoundCopy,
  type PutOptions,
  type StorageTarget,
  type StoredCopy,
} from "../target.ts";
import { openJournal } from "../../transfer/upload_journal.ts";

const MAX_PLANS = 5;
const MAX_PARTS = 10_000;
/** A bucket with more objects than twenty pages of a thousand is not added up: that would cost more calls than the answer is worth. */
const MAX_USAGE_PAGES = 20;
const MAX_LIST_PAGES = 10_000;
/** Stores refuse a request that is signed more than fifteen minutes off their clock. */
const CLOCK_TOLERANCE_MS = 600_000;
/** S3 keeps an object's hash only for what is sent in one piece; ours stands beside it as metadata. */
const SHA256_HEADER = "x-amz-meta-sha256";

export interface S3TargetOptions {
  /** `https://s3.eu-central-1.amazonaws.com`, without bucket and without a slash at its end. */
  readonly endpoint: string;
  readonly bucket: string;
  /** `auto` for R2. */
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly repoPrefix: string;
  readonly account: number;
  readonly retry: RetryParts;
  /** At least 5 MiB on real stores; a larger file is sent in parts of this size. */
  readonly partBytes?: number;
  /** Milliseconds, as Date.now gives them, which is the default. */
  readonly now?: () => number;
}

const planSchema = z.object({ uploadId: z.string().min(1), partBytes: z.int().positive() });

type Signal = { readonly signal?: AbortSignal };

export function createS3Target(options: S3TargetOptions): StorageTarget {
  const { endpoint, bucket, retry, partBytes = 16 * 1024 * 1024, now = Date.now } = options;
  const name = `s3:${bucket}`;
  const markerUrl = `${endpoint}/${bucket}/${MARKER_NAME}`;
  const client = new AwsClient({ ...options, service: "s3", retries: 0 });
  const retrying = retryingFetch(retry);
  const urlOf = (address: ArchiveLocation, query = "") => {
    assertInside(address, bucket);
    return `${endpoint}/${address.repo}/${address.path.split("/").map(encodeURIComponent).join("/")}${query}`;
  };

  /** What to add to this machine's clock to have the store's. */
  let clockOffsetMs = 0;

  function sign(url: string, init: RequestInit) {
    const datetime = new Date(now() + clockOffsetMs).toISOString().replace(/[:-]|\.\d{3}/g, "");
    return client.sign(url, { ...init, aws: { datetime } });
  }

  /** Signs and sends; a refusal by a store with another clock is repeated once with that clock. */
  async function send(url: string, init: RequestInit, sendSigned: typeof fetch): Promise<Response> {
    for (let first = true;; first = false) {
      const { headers, url: signedUrl } = await sign(url, init);
      const { method, body, signal } = init;
      const answer = await sendSigned(signedUrl, { method, headers, body, signal, redirect: "manual" });
      const theirs = Date.parse(answer.headers.get("date") ?? "");
      const offBy = Math.abs(theirs - now() - clockOffsetMs);
      if (!first || answer.status !== 403 || !(offBy > CLOCK_TOLERANCE_MS)) return answer;
      clockOffsetMs = theirs - now();
      await answer.body?.cancel();
    }
  }

  /** A signed call whose answer is small. `safe` calls are repeated; the others leave that to the caller. */
  async function call(
    what: string,
    url: string,
    init: RequestInit & { safe: boolean; absentIsFine?: boolean; keptAlive?: boolean },
  ) {
    const { safe, absentIsFine, keptAlive, ...rest } = init;
    let answer: Response;
    try {
      const sendOnce: typeof fetch = (input, request) => once(input, { ...request, keptAlive }, retry);
      answer = await send(url, rest, safe ? retrying : sendOnce);
    } catch (error) {
      throw asStorageError(`${name}: ${what}`, error);
    }
    const text = await answer.text();
    // A completion may answer 200 and say in its body that it failed.
    if (answer.ok && !/<Error>/.test(text)) return { headers: answer.headers, text };
    if (absentIsFine && answer.status === 404) return null;
    throw storageErrorOf(`${name}: ${what}`, { status: answer.ok ? 500 : answer.status, text });
  }

  async function look(address: ArchiveLocation, { signal }: Signal = {}): Promise<FoundCopy | null> {
    const answer = await call("looking", urlOf(address), { method: "HEAD", signal, safe: true, absentIsFine: true });
    if (answer === null) return null;
    const size = answer.headers.get("content-length");
    if (size === null) {
      throw new StorageError(
        "slow",
        `${name}: the store does not say how large a copy is (HEAD without Content-Length)`,
        {
          code: "storage_5xx",
        },
      );
    }
    return {
      sha256: answer.headers.get(SHA256_HEADER),
      sizeBytes: Number(size),
      commitOid: null,
    };
  }

  const copyOf = (
    file: Pick<StagedFile, "sha256" | "sizeBytes">,
    address: ArchiveLocation,
    alreadyThere: boolean,
  ): StoredCopy => ({
    target: name,
    account: options.account,
    ...address,
    commitOid: null,
    sha256: file.sha256,
    sizeBytes: file.sizeBytes,
    directUrl: urlOf(address),
    alreadyThere,
  });

  async function sendWhole(file: StagedFile, address: ArchiveLocation, put: PutOptions) {
    await put.beforeCommit?.();
    const signed = await sign(urlOf(address), { method: "PUT", headers: storedHeaders(file, address) });
    await sendParts({
      ...sending(file, put),
      partBytes: Math.max(1, file.sizeBytes),
      done: new Map(),
      request: () => Promise.resolve({ url: signed.url, headers: signed.headers }),
      onPart: () => Promise.resolve(),
      etagNeeded: false,
    });
  }

  async function sendInParts(file: StagedFile, address: ArchiveLocation, put: PutOptions) {
    const journal = openJournal(file, { target: name, parsePlan: (plan) => planSchema.safeParse(plan).data ?? null });
    let state = await journal.read();
    if (!state) {
      const plan = { uploadId: await beginUpload(file, address, put), partBytes: partBytesFor(file, partBytes) };
      await journal.begin(plan);
      state = { plan, parts: new Map() };
    }
    const { plan, parts } = state;
    const upload = `uploadId=${encodeURIComponent(plan.uploadId)}`;
    try {
      await sendParts({
        ...sending(file, put),
        partBytes: plan.partBytes,
        done: parts,
        async request(part) {
          const signed = await sign(urlOf(address, `?partNumber=${part}&${upload}`), { method: "PUT" });
          return { url: signed.url, headers: signed.headers };
        },
        onPart: (part, etag) => journal.confirm(part, etag),
        etagNeeded: true,
      });
      await assertUnchanged(file);
      await put.beforeCommit?.();
      await complete(file, address, { ...put, upload, parts });
    } catch (error) {
      if (!(error instanceof PlanVoidError)) throw error; // the journal stays: the next attempt goes on from it
      // What is left of it would only cost storage; the store drops it itself in time when this call fails.
      await call("giving up the upload", urlOf(address, `?${upload}`), {
        method: "DELETE",
        signal: put.signal,
        safe: true,
        absentIsFine: true,
      }).catch(() => {});
      await journal.remove();
      throw error;
    }
    await journal.remove();
  }

  /** Makes the parts one object. Looks before every repetition, for a completion that landed cannot be made again. */
  async function complete(
    file: StagedFile,
    address: ArchiveLocation,
    options: Signal & { upload: string; parts: Map<number, string> },
  ): Promise<void> {
    for (let attempt = 1;; attempt++) {
      let failure: StorageError;
      try {
        await call("completing the upload", urlOf(address, `?${options.upload}`), {
          method: "POST",
          body: completion(options.parts),
          signal: options.signal,
          safe: false,
          keptAlive: true,
        });
        return;
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        failure = error;
      }
      const found = await look(address, options);
      if (holds(found, file)) return;
      if (isUnlabelled(found, file)) throw await refuseUnlabelled(address, options);
      if (failure.problem !== "slow") throw new PlanVoidError(failure);
      if (attempt >= retry.times.attempts) throw failure;
      await retry.sleep(backoff(attempt, retry), options.signal);
    }
  }

  /** The store shows the file; a part of it is taken away again, before a reader that falls over meets it. */
  async function confirm(file: StagedFile, address: ArchiveLocation, { signal }: Signal): Promise<void> {
    for (let attempt = 1;; attempt++) {
      const found = await look(address, { signal });
      if (holds(found, file)) return;
      const failure = new StorageError(
        "slow",
        `${name}: the upload was accepted, but the file is not there, or not whole`,
        {
          code: "storage_5xx",
        },
      );
      if (found?.sha256 === file.sha256) {
        await target.remove(address, { signal });
        throw new PlanVoidError(failure);
      }
      if (attempt >= retry.times.attempts) { // a store that is only eventually consistent had its chance
        throw isUnlabelled(found, file) ? await refuseUnlabelled(address, { signal }) : failure;
      }
      await retry.sleep(backoff(attempt, retry), signal);
    }
  }

  /** Without its hash a copy is sent again by every look; nothing that cannot be recognised is left behind. */
  async function refuseUnlabelled(address: ArchiveLocation, { signal }: Signal): Promise<StorageError> {
    await target.remove(address, { signal });
    const why =
      `the store does not keep ${SHA256_HEADER} of an upload, so its copies cannot be recognised: it cannot be a target`;
    return new StorageError("refused", `${name}: ${why}`, { code: "storage_denied" });
  }

  async function beginUpload(file: StagedFile, address: ArchiveLocation, { signal }: Signal): Promise<string> {
    const answer = await call("beginning an upload", urlOf(address, "?uploads="), {
      method: "POST",
      headers: storedHeaders(file, address),
      signal,
      safe: true,
    });
    const uploadId = /<UploadId>([^<]+)<\/UploadId>/.exec(answer?.text ?? "")?.[1];
    if (uploadId) return unescapeXml(uploadId);
    throw new StorageError("slow", `${name}: beginning an upload: the answer has no upload id`, {
      code: "storage_5xx",
    });
  }

  const sending = (file: StagedFile, put: PutOptions) => ({
    target: name,
    file,
    onProgress: put.onProgress ?? (() => {}),
    slots: put.slots,
    signal: put.signal,
    retry,
  });

  /** Pages of the bucket's list, as text. */
  async function* listed(prefix: string, { signal }: Signal = {}): AsyncGenerator<string> {
    for (let token = "", page = 1; page <= MAX_LIST_PAGES; page++) {
      const next = token && `&continuation-token=${encodeURIComponent(token)}`;
      const url = `${endpoint}/${bucket}?list-type=2&prefix=${encodeURIComponent(prefix)}${next}`;
      const text = (await call("listing", url, { method: "GET", signal, safe: true }))?.text ?? "";
      yield text;
      token = unescapeXml(/<NextContinuationToken>([^<]+)</.exec(text)?.[1] ?? "");
      if (!/<IsTruncated>true</.test(text) || token === "") return;
    }
    throw new StorageError("slow", `${name}: listing: the list does not end`, { code: "storage_5xx" });
  }

  async function keysBelow(prefix: string, options: Signal): Promise<string[]> {
    const keys: string[] = [];
    for await (const page of listed(prefix, options)) {
      keys.push(...[...page.matchAll(/<Key>([^<]+)<\/Key>/g)].map((match) => unescapeXml(match[1]!)));
    }
    return keys.filter((key) => key.startsWith(prefix)); // whatever a store lists, nothing else is touched
  }

  /** null for a bucket that is too large to be added up. */
  async function usedBytes(options: Signal): Promise<number | null> {
    let bytes = 0;
    let pages = 0;
    for await (const page of listed("", options)) {
      if (++pages > MAX_USAGE_PAGES) return null;
      for (const [, size] of page.matchAll(/<Size>(\d+)<\/Size>/g)) bytes += Number(size);
    }
    return bytes;
  }

  async function open(url: string, { signal }: Signal = {}): Promise<ReadableStream<Uint8Array>> {
    const openOnce: typeof fetch = (input, init) => openBody(input, init ?? {}, retry);
    const answer = await send(url, { method: "GET", signal }, openOnce).catch((error) => {
      throw asStorageError(`${name}: reading`, error);
    });
    if (answer.ok && answer.body) return answer.body;
    const text = await answer.text();
    const refusal = storageErrorOf(`${name}: reading`, { status: answer.status, text });
    if (refusal.problem !== "missing" || /NoSuchKey/.test(text)) throw refusal;
    throw new StorageError("invisible", `${refusal.message} (not the store's word for a missing object)`, {
      code: "storage_missing",
    });
  }

  const target: StorageTarget = {
    name,
    kind: "s3",
    account: options.account,
    address: (archive) => archiveLocation({ username: bucket, prefix: options.repoPrefix, ...archive }),

    async put(file, address, put) {
      if (holds(await look(address, put), file)) {
        put.onProgress?.(file.sizeBytes);
        return copyOf(file, address, true);
      }
      for (let plan = 1;; plan++) {
        try {
          await assertUnchanged(file);
          if (file.sizeBytes > partBytes) await sendInParts(file, address, put);
          else await sendWhole(file, address, put);
          await assertUnchanged(file);
          await confirm(file, address, put);
          return copyOf(file, address, false);
        } catch (error) {
          if (!(error instanceof PlanVoidError) || plan >= MAX_PLANS) throw error;
          if (error.problem === "auth" || error.problem === "quota") throw error;
        }
        await retry.sleep(backoff(plan, retry), put.signal);
      }
    },

    find: look,

    copyAt: (address, found) => copyOf(found, address, true),

    read: (address, read) => open(urlOf(address), read),

    async remove(address, remove = {}) {
      if (await look(address, remove) === null) return "absent";
      await call("deleting", urlOf(address), {
        method: "DELETE",
        signal: remove.signal,
        safe: true,
        absentIsFine: true,
      });
      return "removed";
    },

    async removeTitle(title, remove = {}) {
      const { repo, directory } = directoryOf(target, title);
      const prefix = `${repo.slice(bucket.length + 1)}/`;
      const keys = await keysBelow(prefix + directory, remove);
      for (const key of keys) await target.remove({ repo, path: key.slice(prefix.length) }, remove);
      return keys.length;
    },

    async readMarker(read) {
      try {
        return await readMarkerText(await open(markerUrl, read));
      } catch (error) {
        if (error instanceof StorageError && error.problem === "missing") return null;
        throw error;
      }
    },

    async writeMarker(text, write) {
      await call("writing the identity file", markerUrl, {
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

function storedHeaders(file: StagedFile, address: ArchiveLocation): Record<string, string> {
  return { "content-type": contentTypeOf(address.path), [SHA256_HEADER]: file.sha256 };
}

function holds(found: FoundCopy | null, file: StagedFile): boolean {
  return found?.sha256 === file.sha256 && found.sizeBytes === file.sizeBytes;
}

/** All of the file is there, and not its hash. */
function isUnlabelled(found: FoundCopy | null, file: StagedFile): boolean {
  return found !== null && found.sha256 === null && found.sizeBytes === file.sizeBytes;
}

function partBytesFor(file: StagedFile, wanted: number): number {
  return partCount(file.sizeBytes, wanted) <= MAX_PARTS ? wanted : Math.ceil(file.sizeBytes / MAX_PARTS);
}

function completion(parts: Map<number, string>): string {
  const entries = [...parts].sort(([a], [b]) => a - b).map(([part, etag]) =>
    `<Part><PartNumber>${part}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`
  );
  return `<CompleteMultipartUpload>${entries.join("")}</CompleteMultipartUpload>`;
}

const ENTITIES: readonly (readonly [string, string])[] = [["&", "&amp;"], ["<", "&lt;"], [">", "&gt;"], [
  '"',
  "&quot;",
]];

function escapeXml(text: string): string {
  return ENTITIES.reduce((escaped, [char, entity]) => escaped.replaceAll(char, entity), text);
}

function unescapeXml(text: string): string {
  return ENTITIES.toReversed().reduce((plain, [char, entity]) => plain.replaceAll(entity, char), text);
}
