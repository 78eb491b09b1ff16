/**
 * Signed calls of an S3-compatible store. Failures are StorageErrors.
 * Example: `await createS3Api(options).call("deleting", url, { method: "DELETE", safe: true })`.
 */
import { AwsClient } from "aws4fetch";
import { fetchOnce, fetchStreaming } from "../../transfer/fetch_once.ts";
import { retryingFetch, type RetryParts } from "../../transfer/retry.ts";
import { asStorageError, StorageError, storageErrorOf } from "../../transfer/storage_error.ts";
import { isErrorDocument, type ListPage, parseListPage } from "./s3_xml.ts";

const MAX_LIST_PAGES = 10_000;
/** Stores refuse a request that is signed more than fifteen minutes off their clock. */
const CLOCK_TOLERANCE_MS = 600_000;

export interface S3ApiOptions {
  /** `https://s3.eu-central-1.amazonaws.com`: without the bucket and a trailing slash. */
  readonly endpoint: string;
  readonly bucket: string;
  /** `auto` for R2. */
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly retry: RetryParts;
  /** Milliseconds. @default Date.now */
  readonly now?: () => number;
}

export interface Signal {
  readonly signal?: AbortSignal;
}

interface CallOptions extends RequestInit {
  /** May be repeated. The caller repeats the other calls. */
  readonly safe: boolean;
  /** Return null for 404. */
  readonly allowMissing?: boolean;
  /** The store keeps the connection alive while it works on the request. */
  readonly keptAlive?: boolean;
}

export type S3Api = ReturnType<typeof createS3Api>;

export function createS3Api(options: S3ApiOptions) {
  const { endpoint, bucket, retry, now = Date.now } = options;
  const name = `s3:${bucket}`;
  const client = new AwsClient({ ...options, service: "s3", retries: 0 });
  const fetchWithRetry = retryingFetch(retry);
  /** The store's clock minus ours. */
  let clockOffsetMs = 0;

  function sign(url: string, init: RequestInit): Promise<Request> {
    const datetime = new Date(now() + clockOffsetMs).toISOString().replace(/[:-]|\.\d{3}/g, "");
    return client.sign(url, { ...init, aws: { datetime } });
  }

  /** If the store refuses because its clock differs, signs once more with the store's time. */
  async function send(url: string, init: RequestInit, sendSigned: typeof fetch): Promise<Response> {
    for (let first = true;; first = false) {
      const { headers, url: signedUrl } = await sign(url, init);
      const { method, body, signal } = init;
      const response = await sendSigned(signedUrl, { method, headers, body, signal, redirect: "manual" });
      const storeTime = Date.parse(response.headers.get("date") ?? "");
      const offBy = Math.abs(storeTime - now() - clockOffsetMs);
      if (!first || response.status !== 403 || !(offBy > CLOCK_TOLERANCE_MS)) return response;
      clockOffsetMs = storeTime - now();
      await response.body?.cancel();
    }
  }

  /** A call with a small response, returned as text. */
  async function call(what: string, url: string, init: CallOptions) {
    const { safe, allowMissing, keptAlive, ...rest } = init;
    let response: Response;
    try {
      const sendOnce: typeof fetch = (input, request) => fetchOnce(input, { ...request, keptAlive }, retry);
      response = await send(url, rest, safe ? fetchWithRetry : sendOnce);
    } catch (error) {
      throw asStorageError(`${name}: ${what}`, error);
    }
    const text = await response.text();
    if (response.ok && !isErrorDocument(text)) return { headers: response.headers, text };
    if (allowMissing && response.status === 404) return null;
    throw storageErrorOf(`${name}: ${what}`, { status: response.ok ? 500 : response.status, text });
  }

  async function open(url: string, { signal }: Signal = {}): Promise<ReadableStream<Uint8Array>> {
    const sendStreaming: typeof fetch = (input, init) => fetchStreaming(input, init ?? {}, retry);
    const response = await send(url, { method: "GET", signal }, sendStreaming).catch((error) => {
      throw asStorageError(`${name}: reading`, error);
    });
    if (response.ok && response.body) return response.body;
    const text = await response.text();
    const refusal = storageErrorOf(`${name}: reading`, { status: response.status, text });
    if (refusal.problem !== "missing" || /NoSuchKey/.test(text)) throw refusal;
    throw new StorageError("invisible", `${refusal.message} (not S3's NoSuchKey, so the object may exist)`, {
      code: "storage_missing",
    });
  }

  async function* listPages(prefix: string, { signal }: Signal = {}): AsyncGenerator<ListPage["objects"]> {
    let token: string | null = null;
    for (let number = 1; number <= MAX_LIST_PAGES; number++) {
      const next: string = token === null ? "" : `&continuation-token=${encodeURIComponent(token)}`;
      const url = `${endpoint}/${bucket}?list-type=2&prefix=${encodeURIComponent(prefix)}${next}`;
      const page = parseListPage((await call("listing", url, { method: "GET", signal, safe: true }))?.text ?? "");
      if (page === null) throw unexpected("listing: the response is not a ListBucketResult");
      yield page.objects;
      token = page.nextToken;
      if (token === null) return;
    }
    throw unexpected(`listing: more than ${MAX_LIST_PAGES} pages`);
  }

  /** A response that no S3 store should send. */
  function unexpected(message: string): StorageError {
    return new StorageError("transient", `${name}: ${message}`, { code: "storage_5xx" });
  }

  return { sign, call, open, listPages, unexpected };
}
