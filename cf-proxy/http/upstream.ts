// Fetches from a source. Every redirect is checked before it is followed; the timeout covers the headers only.
import { CookieJar } from "../../core/cookies.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import type { HeaderRecord } from "./headers.ts";
import { badGateway, type Problem, redirectDenied, sourceTimeout } from "./problem.ts";

export const MAX_REDIRECTS = 5;

export interface Upstream {
  readonly response: Response;
  /** The URL of the response, after redirects. */
  readonly url: URL;
  /** The Cookie header for the origin of `url`: those of the request and what the source has set. */
  readonly cookies?: string | null;
  /** The response is served unchanged. */
  readonly final?: true;
}

export interface UpstreamRequest {
  readonly url: URL;
  readonly method: "GET" | "HEAD";
  readonly headers: HeaderRecord;
  /** The Cookie header for the origin of `url`. Never sent to another one. */
  readonly cookies?: string | undefined;
}

export interface UpstreamOptions {
  readonly policy: UrlPolicy;
  readonly headerTimeoutMs: number;
}

export async function fetchUpstream(
  request: UpstreamRequest,
  options: UpstreamOptions,
): Promise<Result<Upstream, Problem>> {
  let url = request.url;
  const jar = new CookieJar();
  if (request.cookies !== undefined) jar.set(url, request.cookies);
  for (let redirects = 0;; redirects++) {
    const fetched = await fetchOnce(
      { ...request, url, headers: withCookies(request.headers, jar.header(url)) },
      options,
    );
    if (!fetched.ok) return fetched;
    const response = fetched.value;
    jar.store(url, response.headers, Date.now());
    const location = redirectLocation(response);
    if (location === null) return ok({ response, url, cookies: jar.header(url) });
    await response.body?.cancel();
    if (location === "") {
      return err(badGateway("bad_redirect", `the source responded ${response.status} without a Location`));
    }
    if (redirects === MAX_REDIRECTS) {
      return err(badGateway("too_many_redirects", `the source redirected more than ${MAX_REDIRECTS} times`));
    }
    if (!URL.canParse(location, url.href)) {
      return err(badGateway("bad_redirect", "the source redirected to an invalid URL"));
    }
    const next = checkUrl(new URL(location, url).href, options.policy);
    if (!next.ok) return err(redirectDenied("the source", next.error.reason));
    url = next.value;
  }
}

/**
 * One request; a redirect is returned, not followed. Repeated once if it fails before the headers: a kept connection may be closed by
 * the source at the moment it is used again.
 */
export async function fetchOnce(
  { url, method, headers }: UpstreamRequest,
  { headerTimeoutMs }: Pick<UpstreamOptions, "headerTimeoutMs">,
): Promise<Result<Response, Problem>> {
  // If the viewer disconnects, the runtime aborts this fetch itself: the signal is for the timeout only. AbortSignal.timeout would
  // also cut off the body.
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), headerTimeoutMs);
  try {
    const init: RequestInit = { method, headers, redirect: "manual", signal: controller.signal };
    return ok(
      await fetch(url.href, init).catch((error) => {
        if (controller.signal.aborted) throw error;
        return fetch(url.href, init);
      }),
    );
  } catch {
    // workerd's messages contain the URL, so they are not passed on.
    if (controller.signal.aborted) return err(sourceTimeout(`the source sent no headers within ${headerTimeoutMs} ms`));
    return err(badGateway("source_unreachable", "the source could not be reached"));
  } finally {
    clearTimeout(timer);
  }
}

function withCookies(headers: HeaderRecord, cookie: string | null): HeaderRecord {
  return cookie === null ? headers : { ...headers, cookie };
}

/** The Location of a redirect, empty if it has none; null for every other response. */
export function redirectLocation(response: Response): string | null {
  return [301, 302, 303, 307, 308].includes(response.status) ? response.headers.get("location") ?? "" : null;
}

/** Whether a status means that the URL has expired or the file has moved. */
export function isGone(status: number): boolean {
  return status === 401 || status === 403 || status === 404 || status === 410;
}
