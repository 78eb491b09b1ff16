/**
 * The Hub's HTTP calls of an upload. Repositories and deletions use the Hub's own client.
 * Example: `await api.stat({ repo: "alice/archive-1", path: "1/ep1/x.mp4" })`.
 */

import {
  createRepo,
  deleteFiles,
  deleteRepo,
  HubApiError,
  listFiles,
  repoExists,
  uploadFile,
  whoAmI,
} from "@huggingface/hub";
import { z } from "zod";
import {
  batchResponse,
  commitResponse,
  lfsFilesResponse,
  pathsInfoResponse,
  type RemoteFile,
  repositoriesResponse,
} from "./hub_responses.ts";
import type { ArchiveLocation } from "../../../core/archive_location.ts";
import { isPrivateHost } from "../../../core/url_policy.ts";
import { fetchOnce, fetchStreaming, fetchUnpooled } from "../../transfer/fetch_once.ts";
import { requestedSeconds, retryingFetch, type RetryParts, retryStorageCall } from "../../transfer/retry.ts";
import { asStorageError, StorageError, storageErrorOf } from "../../transfer/storage_error.ts";
import { assertInside } from "../target.ts";
import { type UploadPlan, uploadPlan } from "../../transfer/upload_plan.ts";

const LFS_TYPE = "application/vnd.git-lfs+json";
const HOURLY_QUOTA_SECONDS = 3600;
const MAX_PAGES = 1000;

export interface HubApiOptions {
  /** Without a trailing slash. */
  readonly endpoint: string;
  readonly username: string;
  readonly token: string;
  readonly retry: RetryParts;
}

type Signal = { readonly signal?: AbortSignal };
type FoundFile = Extract<RemoteFile, { kind: "file" }>;

export interface LfsObject {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** An uploaded object, or a small file that is stored in git itself. */
export type CommitFile = { readonly path: string } & (LfsObject | { readonly content: Uint8Array });

export type HubApi = ReturnType<typeof createHubApi>;

export function createHubApi({ endpoint, username, token, retry }: HubApiOptions) {
  const call = retryingFetch(retry);
  const name = `hub:${username}`;
  const own = new URL(endpoint);

  /** Checks a URL in a response of the Hub, which is requested without a token: no private host, no downgrade from TLS. */
  function foreign(target: string): string {
    const url = URL.parse(target, endpoint);
    const sameKind = url?.protocol === own.protocol && url.username === "" && url.password === "";
    if (url && sameKind && (isPrivateHost(own.hostname) || !isPrivateHost(url.hostname))) return url.href;
    throw new StorageError("transient", `${name}: the Hub sent a URL that must not be requested: ${url?.origin}`, {
      code: "storage_5xx",
    });
  }

  async function ask<T>(
    what: string,
    url: string,
    options: RequestInit & { schema: z.ZodType<T>; fetch?: typeof fetch },
  ): Promise<{ value: T; headers: Headers }> {
    const { schema, fetch: send = call, ...init } = options;
    const headers = new Headers(init.headers);
    if (new URL(url).origin === own.origin) headers.set("authorization", `Bearer ${token}`);
    let response: Response;
    try {
      response = await send(url, { ...init, headers });
    } catch (error) {
      throw asStorageError(`${name}: ${what}`, error);
    }
    const text = await response.text();
    if (!response.ok) throw refusalOf(`${name}: ${what}`, response, text);
    const parsed = schema.safeParse(parseJson(text));
    if (parsed.success) return { value: parsed.data, headers: response.headers };
    throw new StorageError("transient", `${name}: ${what}: the response does not match the Hub's documentation`, {
      code: "storage_5xx",
    });
  }

  /** Follows `Link: <…>; rel="next"`. */
  async function allPages<T>(what: string, first: string, options: Signal & { schema: z.ZodType<T[]> }): Promise<T[]> {
    const all: T[] = [];
    let next: string | undefined = first;
    for (let number = 1; number <= MAX_PAGES; number++) {
      const page: { value: T[]; headers: Headers } = await ask(what, next, options);
      all.push(...page.value);
      next = page.headers.get("link")?.match(/<([^>]+)>;\s*rel="next"/)?.[1];
      if (next === undefined) return all;
      next = foreign(next);
    }
    throw new StorageError("transient", `${name}: ${what}: more than ${MAX_PAGES} pages`, { code: "storage_5xx" });
  }

  /** Turns errors of the Hub's client into StorageErrors. */
  async function throughClient<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof HubApiError)) throw asStorageError(`${name}: ${what}`, error);
      throw storageErrorOf(`${name}: ${what}`, { status: error.statusCode, text: error.message });
    }
  }

  const dataset = (repo: string) => ({ type: "dataset", name: repo }) as const;
  /** Adds timeouts, retries and a page limit to the Hub's client. */
  const clientOptions = ({ signal }: Signal) => {
    let calls = 0;
    const ours: typeof fetch = async (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      // The client sends the token to every URL of a next page.
      if (url.origin !== own.origin || ++calls > MAX_PAGES) {
        throw new StorageError("transient", `${name}: a list of the Hub continues on another host, or endlessly`, {
          code: "storage_5xx",
        });
      }
      return await call(input, { ...init, signal: init?.signal ?? signal });
    };
    return { hubUrl: endpoint, accessToken: token, fetch: ours };
  };

  return {
    /** The file's metadata on main, read before and after every step that may have succeeded without a response. */
    async stat(location: ArchiveLocation, options: Signal = {}): Promise<RemoteFile> {
      const found = await this.statAll(location.repo, [location.path], options);
      return found === null ? { kind: "no-repo" } : found.get(location.path) ?? { kind: "no-file" };
    },

    /** The metadata of the files on main that exist; null if there is no such repository. */
    async statAll(
      repo: string,
      paths: readonly string[],
      { signal }: Signal = {},
    ): Promise<Map<string, FoundFile> | null> {
      for (const path of paths) assertInside({ repo, path }, username);
      try {
        const { value } = await ask("reading metadata", `${endpoint}/api/datasets/${repo}/paths-info/main`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ paths, expand: true }),
          schema: pathsInfoResponse,
          signal,
        });
        return new Map(value.map((entry) => [entry.path, foundFile(entry)]));
      } catch (error) {
        if (error instanceof StorageError && error.problem === "missing") return null;
        throw error;
      }
    },

    /** Creates the private repository with the files. An existing repository is kept, however the Hub reports it. */
    async createRepo(
      repo: string,
      { signal, files = [] }: Signal & { files?: { path: string; content: Blob }[] } = {},
    ): Promise<void> {
      const isConflict = (error: unknown) => error instanceof StorageError && error.problem === "conflict";
      const create = () =>
        throughClient(
          "creating the repository",
          () => createRepo({ ...clientOptions({ signal }), repo: dataset(repo), visibility: "private", files }),
        );
      const exists = () =>
        throughClient(
          "finding the repository",
          () => repoExists({ ...clientOptions({ signal }), repo: dataset(repo) }),
        );
      await retryStorageCall(
        async () => {
          try {
            await create();
          } catch (error) {
            if (!isConflict(error) || !await exists()) throw error;
          }
        },
        retry,
        { signal, retryable: isConflict },
      );
    },

    /** How to upload the objects, by their sha-256; null for those that the repository has already. */
    async batch(repo: string, objects: readonly LfsObject[], { signal }: Signal = {}) {
      const what = "asking for upload URLs";
      let repeatable: unknown;
      return await retryStorageCall(
        async () => {
          const { value } = await ask(what, `${endpoint}/datasets/${repo}.git/info/lfs/objects/batch`, {
            method: "POST",
            headers: { accept: LFS_TYPE, "content-type": LFS_TYPE },
            body: JSON.stringify({
              operation: "upload",
              transfers: ["basic", "multipart"],
              hash_algo: "sha_256",
              ref: { name: "main" },
              objects: objects.map(({ sha256, sizeBytes }) => ({ oid: sha256, size: sizeBytes })),
            }),
            schema: batchResponse,
            signal,
          });
          const plans = new Map<string, UploadPlan | null>();
          for (const object of objects) {
            const response = value.objects.find((candidate) => candidate.oid === object.sha256);
            if (!response || response.error) {
              const error = response?.error ?? { code: 502, message: "the response does not name the object" };
              const failure = storageErrorOf(`${name}: ${what}`, { status: error.code, text: error.message });
              if (failure.problem === "transient") repeatable = failure;
              throw failure;
            }
            const { upload, verify } = response.actions ?? {};
            plans.set(
              object.sha256,
              upload ? uploadPlan({ upload, verify }, object, { endpoint, check: foreign }) : null,
            );
          }
          return plans;
        },
        retry,
        { signal, retryable: (error) => error === repeatable },
      );
    },

    /** Completes a multipart upload. Not repeated here: `batch` shows whether it succeeded. */
    async complete(
      href: string,
      body: { oid: string; parts: { partNumber: number; etag: string }[] },
      { signal }: Signal,
    ) {
      await ask("completing the upload", href, {
        method: "POST",
        headers: { accept: LFS_TYPE, "content-type": LFS_TYPE },
        body: JSON.stringify(body),
        schema: z.unknown(),
        fetch: (input, init) => fetchOnce(input, init ?? {}, retry),
        signal,
      });
    },

    async verify(href: string, object: { sha256: string; sizeBytes: number }, { signal }: Signal) {
      await ask("verifying the upload", href, {
        method: "POST",
        headers: { accept: LFS_TYPE, "content-type": LFS_TYPE },
        body: JSON.stringify({ oid: object.sha256, size: object.sizeBytes }),
        schema: z.unknown(),
        signal,
      });
    },

    /** One attempt to commit. After a failure that may hide a success, read the metadata before the next one. */
    async commit(repo: string, change: { summary: string; files: readonly CommitFile[] }, { signal }: Signal) {
      const lines = [
        { key: "header", value: { summary: change.summary } },
        ...change.files.map((file) =>
          "content" in file
            ? { key: "file", value: { path: file.path, encoding: "base64", content: file.content.toBase64() } }
            : { key: "lfsFile", value: { path: file.path, algo: "sha256", oid: file.sha256, size: file.sizeBytes } }
        ),
      ];
      const { value } = await ask("committing", `${endpoint}/api/datasets/${repo}/commit/main`, {
        method: "POST",
        headers: { "content-type": "application/x-ndjson" },
        body: lines.map((line) => JSON.stringify(line)).join("\n"),
        schema: commitResponse,
        fetch: (input, init) => fetchUnpooled(input, init ?? {}, retry),
        signal,
      });
      return value.commitOid;
    },

    async whoAmI({ signal }: Signal = {}): Promise<string> {
      const me = await throughClient("asking who the token is", () => whoAmI(clientOptions({ signal })));
      return me.name;
    },

    async usedBytes({ signal }: Signal = {}): Promise<number> {
      const repos = await allPages("adding up storage", `${endpoint}/api/settings/repositories`, {
        schema: repositoriesResponse,
        signal,
      });
      return repos.reduce((sum, repo) => sum + (repo.storage ?? 0), 0);
    },

    /** Paths on main, with the sha-256 of their LFS object; null for a small file in git itself. `directory`: all if undefined. */
    async livePaths(
      repo: string,
      { signal, directory }: Signal & { directory?: string } = {},
    ): Promise<Map<string, string | null>> {
      return await throughClient("listing files", async () => {
        const paths = new Map<string, string | null>();
        const options = { ...clientOptions({ signal }), repo: dataset(repo), recursive: true };
        for await (const file of listFiles(directory === undefined ? options : { ...options, path: directory })) {
          if (file.type === "file") paths.set(file.path, file.lfs?.oid ?? null);
        }
        return paths;
      });
    },

    /** A small file, stored in git itself. */
    async writeSmallFile(location: ArchiveLocation, text: string, { signal }: Signal = {}): Promise<void> {
      await throughClient("writing a small file", () =>
        uploadFile({
          ...clientOptions({ signal }),
          repo: dataset(location.repo),
          file: { path: location.path, content: new Blob([text]) },
          commitTitle: `Add ${location.path}`,
        }));
    },

    async deleteFiles(repo: string, paths: string[], { signal }: Signal = {}): Promise<void> {
      await throughClient("deleting", () =>
        deleteFiles({
          ...clientOptions({ signal }),
          repo: dataset(repo),
          paths,
          commitTitle: `Take down ${paths.length} file${paths.length === 1 ? "" : "s"}`,
        }));
    },

    async deleteRepo(repo: string, { signal }: Signal = {}): Promise<void> {
      await throughClient(
        "deleting the repository",
        () => deleteRepo({ ...clientOptions({ signal }), repo: dataset(repo) }),
      );
    },

    /** Objects in the repository's storage, whether main refers to them or not. */
    async storedObjects(repo: string, { signal }: Signal = {}) {
      const files = await allPages("listing stored objects", `${endpoint}/api/datasets/${repo}/lfs-files`, {
        schema: lfsFilesResponse,
        signal,
      });
      return files.map((file) => ({ sha256: file.fileOid, path: file.filename ?? null }));
    },

    /**
     * Deletes objects permanently: a deleted path stays readable through old commits. The history is not rewritten, because later commits
     * would get new ids, and the URLs of other episodes contain commit ids.
     */
    async deleteObjects(repo: string, sha256s: readonly string[], { signal }: Signal = {}): Promise<void> {
      if (sha256s.length === 0) return;
      await ask("deleting stored objects", `${endpoint}/api/datasets/${repo}/lfs-files/batch`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ deletions: { sha: sha256s, rewriteHistory: false } }),
        schema: z.unknown(),
        signal,
      });
    },

    /** The bytes. The token is sent to the Hub only, not to the signed URL it redirects to. */
    async read(location: ArchiveLocation, { signal }: Signal = {}): Promise<ReadableStream<Uint8Array>> {
      assertInside(location, username);
      const path = location.path.split("/").map(encodeURIComponent).join("/");
      let url = `${endpoint}/datasets/${location.repo}/resolve/main/${path}`;
      for (let hop = 0; hop < 5; hop++) {
        const atHub = new URL(url).origin === own.origin;
        const init: RequestInit = {
          headers: atHub ? { authorization: `Bearer ${token}` } : {},
          redirect: "manual",
          signal,
        };
        const response = await fetchStreaming(url, init, retry).catch((error) => {
          throw asStorageError(`${name}: reading`, error);
        });
        const redirect = response.headers.get("location");
        if (response.ok && response.body) return response.body;
        const text = await response.text();
        if (!redirect) throw unreadable(refusalOf(`${name}: reading`, response, text), { response, atHub });
        url = foreign(new URL(redirect, url).href);
      }
      throw new StorageError("transient", `${name}: reading: too many redirects`, { code: "storage_5xx" });
    },
  };
}

function foundFile(entry: z.output<typeof pathsInfoResponse>[number]): FoundFile {
  return {
    kind: "file",
    sha256: entry.lfs?.oid ?? null,
    gitOid: entry.oid ?? null,
    sizeBytes: entry.lfs?.size ?? entry.size,
    commitOid: entry.lastCommit?.id ?? null,
    committedAt: entry.lastCommit?.date ?? null,
  };
}

/**
 * Only the Hub's EntryNotFound proves that a file is missing. An unknown repository may be one that the token can no longer see, and a
 * file that the CDN does not find may reappear.
 */
function unreadable(refusal: StorageError, { response, atHub }: { response: Response; atHub: boolean }): StorageError {
  if (refusal.problem !== "missing") return refusal;
  if (!atHub) return new StorageError("transient", refusal.message, { code: "storage_missing" });
  if (response.headers.get("x-error-code") === "EntryNotFound") return refusal;
  return new StorageError("invisible", `${refusal.message} (the repository was deleted, or the token cannot see it)`, {
    code: "storage_missing",
  });
}

function refusalOf(what: string, response: Response, text: string): StorageError {
  const hourly = response.status === 429 && /per hour|about 1 hour/i.test(text);
  const retryAfterSeconds = requestedSeconds(response.headers) ?? (hourly ? HOURLY_QUOTA_SECONDS : undefined);
  const message = z.object({ error: z.string() }).safeParse(parseJson(text));
  return storageErrorOf(what, {
    status: response.status,
    text: message.success ? message.data.error : text,
    retryAfterSeconds,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // an HTML page, or nothing
  }
}
