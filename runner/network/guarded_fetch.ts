/**
 * `fetch` through the forward proxy, and media requests with checked redirects and statuses mapped to error classes.
 * Example: `await openMedia(url, { fetch, policy, headers, signal })`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { redactUrl } from "../../core/redact.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import type { ProxySession } from "./forward_proxy.ts";

const MAX_REDIRECTS = 5;
const HEADERS_TIMEOUT_MS = 15_000;

export type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

/** A fetch bound to a job's proxy session. Refusals of the proxy are thrown as `policy_denied` or `too_large`. */
export function createGuardedFetch(session: ProxySession): Fetch {
  return async (input, init) => {
    try {
      const response = await fetch(input, { ...init, client: session.client });
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
  /** Only for text: compressed media would have other lengths and ranges. */
  readonly compressed?: boolean;
};

export type MediaResponse = { readonly response: Response; readonly url: string };

/** Resolves with a 200 or 206 and the final URL; throws KeepstreamError otherwise. */
export async function openMedia(address: string, request: MediaRequest): Promise<MediaResponse> {
  let url = address;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const target = checkUrl(url, request.policy);
    if (!target.ok) {
      throw new KeepstreamError(target.error.code, `${redactUrl(url)} is refused: ${target.error.reason}`);
    }
    const response = await ask(target.value.href, request);
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) {
      if (response.status === 200 || response.status === 206) return { response, url: target.value.href };
      await response.body?.cancel();
      throw statusError(response, target.value.href);
    }
    await response.body?.cancel();
    if (!URL.canParse(location, target.value.href)) break;
    url = new URL(location, target.value.href).href;
  }
  throw new KeepstreamError("unsupported", `${redactUrl(address)} redirects more than ${MAX_REDIRECTS} times`);
}

async function ask(url: string, request: MediaRequest): Promise<Response> {
  const headers = new Headers(request.headers);
  if (!request.compressed) headers.set("accept-encoding", "identity");
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
  const { status } = response;
  const message = `${redactUrl(url)} answered ${status}`;
  if (status === 429 || status === 509) {
    const seconds = Number(response.headers.get("retry-after"));
    return new KeepstreamError("rate_limited", message, seconds > 0 ? { retryAfterSeconds: seconds } : {});
  }
  if (status === 408 || status >= 500) return new KeepstreamError("upstream_5xx", message);
  return new KeepstreamError("source_expired", message);
}
