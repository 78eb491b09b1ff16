/**
 * `fetch` through the forward proxy, and media requests with checked redirects and statuses mapped to error classes.
 * Example: `await openMedia(url, { fetch, policy, headers, signal })`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { parseContentRange } from "../../core/http/range.ts";
import { redactUrl } from "../../core/redact.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import { codingsOf, unpackResponse } from "./content_coding.ts";
import type { ProxySession } from "./forward_proxy.ts";
import { requestedSeconds } from "../transfer/retry.ts";

const MAX_REDIRECTS = 5;
const HEADERS_TIMEOUT_MS = 15_000;
const SMALL_FILE_BYTES = 1 << 20;

export type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

/** A fetch bound to a job's proxy session and its cookies. Refusals of the proxy are thrown as `policy_denied` or `too_large`. */
export function createGuardedFetch(session: ProxySession): Fetch {
  return async (input, init) => {
    try {
      const response = await fetchWithCookies(input, init, session);
      if (!response.headers.has("keepstream-refused")) return response;
      await response.body?.cancel();
    } catch (cause) {
      throwRefusal(session);
      throw cause;
    }
    throwRefusal(session);
    throw new KeepstreamError("policy_denied", "the forward proxy refused the URL");
  };
}

/** Without automatic redirects only: these would carry a cookie to other hosts. */
async function fetchWithCookies(
  input: string,
  init: RequestInit | undefined,
  { client, cookies }: ProxySession,
): Promise<Response> {
  if (init?.redirect !== "manual") return await fetch(input, { ...init, client });
  const url = new URL(input);
  const headers = new Headers(init.headers);
  const cookie = cookies.header(url);
  // A header of the operator's configuration takes precedence.
  if (cookie !== null && !headers.has("cookie")) headers.set("cookie", cookie);
  const response = await fetch(input, { ...init, headers, client });
  cookies.store(url, response.headers, Date.now());
  return response;
}

export function throwRefusal(session: ProxySession): void {
  const refusal = session.refusal();
  if (refusal !== null) throw new KeepstreamError(refusal.code, refusal.reason);
}

export type MediaRequest = {
  readonly fetch: Fetch;
  readonly policy: UrlPolicy;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly range?: { readonly start: number; readonly end: number } | undefined;
  readonly headersTimeoutMs?: number;
};

export type MediaResponse = {
  /** Unpacked, if the host compressed it. */
  readonly response: Response;
  readonly url: string;
  /** Content-Encoding; null if the host did not compress. A range of a packed body is not a range of its content. */
  readonly packed: string | null;
};

/** Resolves with a 200 or 206 and the final URL; throws KeepstreamError otherwise. */
export async function openMedia(requestedUrl: string, request: MediaRequest): Promise<MediaResponse> {
  let url = requestedUrl;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const target = checkUrl(url, request.policy);
    if (!target.ok) {
      throw new KeepstreamError(target.error.code, `${redactUrl(url)} is refused: ${target.error.reason}`);
    }
    const response = await askWithCookie(target.value.href, request);
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) {
      return await accept(response, target.value.href, request);
    }
    await response.body?.cancel();
    if (!URL.canParse(location, target.value.href)) {
      throw new KeepstreamError("unsupported", `${redactUrl(url)} redirects to a URL that cannot be parsed`);
    }
    url = new URL(location, target.value.href).href;
  }
  throw new KeepstreamError("unsupported", `${redactUrl(requestedUrl)} redirects more than ${MAX_REDIRECTS} times`);
}

async function accept(response: Response, url: string, request: MediaRequest): Promise<MediaResponse> {
  if (response.status === 200 || response.status === 206) {
    const packed = codingsOf(response).join(", ") || null;
    return { response: unpackResponse(response, url), url, packed };
  }
  await response.body?.cancel();
  // Some hosts respond with 416 to a range that starts in a small file and ends after it.
  const { range, ...whole } = request;
  if (response.status === 416 && range !== undefined && mayStartAt(range.start, response)) {
    return await openMedia(url, whole);
  }
  throw statusError(response, url);
}

/** Repeats a request once that was refused with a cookie: it may be required, and is sent then. */
async function askWithCookie(url: string, request: MediaRequest): Promise<Response> {
  const response = await ask(url, request);
  if (!requiresCookie(response)) return response;
  await response.body?.cancel();
  return await ask(url, request);
}

function requiresCookie({ status, headers }: Response): boolean {
  return (status === 401 || status === 403) && headers.has("set-cookie");
}

/** Whether the resource is longer than `start`, by the Content-Range of a 416; without one, only a small file is fetched whole. */
function mayStartAt(start: number, response: Response): boolean {
  const size = parseContentRange(response.headers.get("content-range"))?.size ?? null;
  return start < (size ?? SMALL_FILE_BYTES);
}

async function ask(url: string, request: MediaRequest): Promise<Response> {
  const headers = new Headers(request.headers);
  headers.set("accept-encoding", "identity"); // compressed media would have other lengths and ranges
  if (request.range) headers.set("range", `bytes=${request.range.start}-${request.range.end}`);
  const tooSlow = new AbortController();
  const timer = setTimeout(() => tooSlow.abort(), request.headersTimeoutMs ?? HEADERS_TIMEOUT_MS);
  try {
    const signal = AbortSignal.any([request.signal, tooSlow.signal]);
    return await request.fetch(url, { headers, redirect: "manual", signal });
  } catch (cause) {
    if (cause instanceof KeepstreamError) throw cause;
    request.signal.throwIfAborted();
    if (tooSlow.signal.aborted) throw new KeepstreamError("timeout", `${redactUrl(url)} did not respond in time`);
    throw new KeepstreamError("network", `${redactUrl(url)} could not be reached`, { cause });
  } finally {
    clearTimeout(timer); // the timeout covers the headers, not the transfer
  }
}

function statusError(response: Response, url: string): KeepstreamError {
  const { status, headers } = response;
  const reason = requiresCookie(response) ? ": the host requires a cookie" : "";
  const message = `${redactUrl(url)} responded with ${status}${reason}`;
  const seconds = requestedSeconds(headers);
  const options = seconds === null || seconds === 0 ? {} : { retryAfterSeconds: seconds };
  if (status === 429 || status === 509) return new KeepstreamError("rate_limited", message, options);
  if (status === 408 || status >= 500) return new KeepstreamError("upstream_5xx", message, options);
  return new KeepstreamError("source_expired", message);
}
