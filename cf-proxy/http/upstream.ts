// Fetches from a source: every redirect is looked at before it is followed, and only the wait for headers is bounded.
// Runs on: workerd.
import { err, ok, type Result } from "../../core/result.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import type { HeaderRecord } from "./headers.ts";
import type { Problem } from "./problem.ts";

export const MAX_HOPS = 5;

export interface Upstream {
  readonly response: Response;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  /** Hand the answer to the viewer as it is. */
  readonly final?: true;
}

export interface UpstreamRequest {
  readonly url: URL;
  readonly method: "GET" | "HEAD";
  readonly headers: HeaderRecord;
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
  for (let hop = 0;; hop++) {
    const answer = await fetchOnce({ ...request, url }, options);
    if (!answer.ok) return answer;
    const response = answer.value;
    const location = redirectLocation(response);
    if (location === null) return ok({ response, url });
    await response.body?.cancel();
    if (hop === MAX_HOPS) {
      return err(badGateway("too_many_redirects", `the source redirected more than ${MAX_HOPS} times`));
    }
    const next = resolveLocation(location, url);
    if (next === null) return err(badGateway("bad_redirect", "the source redirected to something that is no address"));
    const target = checkUrl(next, options.policy);
    if (!target.ok) {
      return err({
        status: 403,
        code: "redirect_denied",
        detail: `the source redirected elsewhere: ${target.error.reason}`,
      });
    }
    url = target.value;
  }
}

/** One request, no redirect followed. */
export async function fetchOnce(
  { url, method, headers }: UpstreamRequest,
  { headerTimeoutMs }: Omit<UpstreamOptions, "policy">,
): Promise<Result<Response, Problem>> {
  // A viewer who leaves ends the whole invocation, this fetch with it: only the clock needs a signal.
  const controller = new AbortController();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    controller.abort();
  }, headerTimeoutMs);
  try {
    return ok(await fetch(url.href, { method, headers, redirect: "manual", signal: controller.signal }));
  } catch {
    // workerd's messages name the address; nothing of them is passed on.
    if (late) {
      return err(sourceTimeout(`the source sent no answer in ${headerTimeoutMs} ms`));
    }
    return err(badGateway("source_unreachable", "the source could not be reached"));
  } finally {
    clearTimeout(timer);
  }
}

/** The Location of a redirect, or null for every other answer. */
export function redirectLocation(response: Response): string | null {
  return [301, 302, 303, 307, 308].includes(response.status) ? response.headers.get("location") : null;
}

export function sourceTimeout(detail: string): Problem {
  return { status: 504, code: "source_timeout", detail };
}

export function badGateway(code: string, detail: string): Problem {
  return { status: 502, code, detail };
}

function resolveLocation(location: string, base: URL): string | null {
  try {
    return new URL(location, base).href;
  } catch {
    return null;
  }
}
