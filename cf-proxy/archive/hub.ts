// Reads archived files from the Hub. The account's token is sent to the Hub only; the CDN URL that the Hub redirects to is cached
// until it expires. A file has the same path on every account, so any account's copy will do.
// Example: 100 ranges of one file within the hour cost 1 request to the Hub and 100 to its CDN.
import type { HubFile } from "../../core/archive_location.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { checkUrl } from "../../core/url_policy.ts";
import type { Invocation } from "../invocation.ts";
import type { Config, HubAccount } from "../env.ts";
import * as cache from "../cache/two_tier_cache.ts";
import { toHeadResponse } from "../http/head_response.ts";
import { CONDITIONAL, redirectResponse, sourceRequestHeaders } from "../http/headers.ts";
import { badGateway, type Problem, redirectDenied } from "../http/problem.ts";
import {
  fetchOnce,
  fetchUpstream,
  isGone,
  redirectLocation,
  type Upstream,
  type UpstreamOptions,
} from "../http/upstream.ts";

interface Resolved {
  /** Signed CDN URL. It gives access to the file, so it is never shown or logged. */
  readonly url: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** The file's content hash, quoted: the same on every account, unlike the CDN's own tag. */
  readonly etag: string | null;
}

export interface ArchiveOptions extends UpstreamOptions {
  readonly invocation: Invocation;
  /** The Worker reads the file itself, so the viewer is not redirected. @default false */
  readonly isRead?: boolean;
}

const SAFETY_SECONDS = 60;
const DEFAULT_LIFETIME_SECONDS = 3600;
const MAX_HUB_REDIRECTS = 3;

export async function fetchFromHub(
  request: Request,
  file: HubFile,
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  let problem: Problem | null = null;
  for (const { token, ...copy } of copiesOf(file, options.invocation.config)) {
    const upstream = await fetchCopy(request, copy, token, options);
    if (upstream.ok) return upstream;
    problem = moreInformative(problem, upstream.error);
  }
  return err(problem!);
}

/**
 * The copy that the link names, then the other accounts'. A commit hash exists on one account only, so the others are read at `main`.
 * A repository of another owner is read without a token.
 */
function copiesOf(file: HubFile, config: Config): readonly (HubFile & { readonly token: string | null })[] {
  const own = config.hubAccounts.find((account) => isOwner(account, file.owner));
  if (own === undefined) return [{ ...file, token: null }];
  const others = config.hubAccounts.filter((account) => account !== own);
  const onMain = file.rest.replace(/^\/resolve\/[^/]+\//, "/resolve/main/");
  const copies = [
    { ...file, token: own.token },
    ...others.map(({ username, token }) => ({ ...file, owner: username, rest: onMain, token })),
    ...(onMain === file.rest ? [] : [{ ...file, rest: onMain, token: own.token }]), // its history was rewritten
  ];
  // While one account is unavailable, later ranges go straight to the copy that served the last one.
  const isResolved = (copy: HubFile) => cache.getLocal<Resolved>("resolved", hubUrl(copy, config)) !== null;
  return [...copies.filter(isResolved), ...copies.filter((copy) => !isResolved(copy))];
}

function hubUrl(file: HubFile, config: Config): string {
  return `${config.hubEndpoint}/datasets/${file.owner}/${file.name}${file.rest}`;
}

async function fetchCopy(
  request: Request,
  file: HubFile,
  token: string | null,
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  const fileUrl = hubUrl(file, options.invocation.config);
  // Not core/retry: failures are values here, and the second attempt has no delay, only a new URL.
  for (let attempt = 1;; attempt++) {
    const cached = await cache.get<Resolved>("resolved", fileUrl) ?? await resolvedByOther(fileUrl);
    const resolved = cached === null ? await resolveOnce(fileUrl, token, request, options) : ok(cached);
    if (!resolved.ok) return resolved;
    if ("response" in resolved.value) return ok(resolved.value);
    const upstream = await fetchResolved(request, resolved.value, options);
    // The CDN URL expired early, or the file has moved.
    if (!upstream.ok || !isGone(upstream.value.response.status)) return upstream;
    await upstream.value.response.body?.cancel();
    await cache.remove("resolved", fileUrl);
    if (attempt === 2) return err(badGateway("archive_unreachable", "the archive's CDN refuses the file"));
  }
}

/** Files that a request of this isolate is resolving: a player asks for video and audio of one file at the same moment. */
const resolving = new Map<string, Promise<Resolved | null>>();
/** The other request may have been aborted by its viewer. */
const MAX_WAIT_MS = 2000;

/** Null if no other request is resolving the file, or if it finds no CDN URL in time. */
async function resolvedByOther(fileUrl: string): Promise<Resolved | null> {
  const other = resolving.get(fileUrl);
  if (other === undefined) return null;
  const timeout = Promise.withResolvers<null>();
  const timer = setTimeout(() => timeout.resolve(null), MAX_WAIT_MS);
  try {
    return await Promise.race([other, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function resolveOnce(
  fileUrl: string,
  token: string | null,
  request: Request,
  options: ArchiveOptions,
): Promise<Result<Resolved | Upstream, Problem>> {
  const shared = Promise.withResolvers<Resolved | null>();
  resolving.set(fileUrl, shared.promise);
  let found: Resolved | null = null;
  try {
    const resolved = await resolve(fileUrl, token, request, options);
    if (resolved.ok && !("response" in resolved.value)) found = resolved.value;
    return resolved;
  } finally {
    if (resolving.get(fileUrl) === shared.promise) resolving.delete(fileUrl);
    shared.resolve(found);
  }
}

/** Resolves a file to its CDN URL. The Hub serves small files itself after a redirect on its own origin: an Upstream then. */
async function resolve(
  fileUrl: string,
  token: string | null,
  request: Request,
  options: ArchiveOptions,
): Promise<Result<Resolved | Upstream, Problem>> {
  let url = new URL(fileUrl);
  const headers = sourceRequestHeaders({ client: request.headers, context: undefined, whole: false });
  if (token !== null) headers.authorization = `Bearer ${token}`;
  let etag: string | null = null;
  for (let redirects = 0; redirects <= MAX_HUB_REDIRECTS; redirects++) {
    const fetched = await fetchOnce({ url, method: "GET", headers }, options);
    if (!fetched.ok) return fetched;
    const response = fetched.value;
    etag = response.headers.get("x-linked-etag") ?? etag;
    const location = redirectLocation(response);
    if (location === null && (response.status < 400 || response.status === 416)) {
      return ok({ url, response: request.method === "HEAD" ? toHeadResponse(response) : response });
    }
    await response.body?.cancel();
    if (location === null) return err(hubProblem(response));
    const next = new URL(location, url);
    if (next.origin !== options.invocation.config.hubOrigin) return cacheResolved(fileUrl, next, etag, options);
    url = next;
  }
  return err(badGateway("archive_unreachable", "the Hub redirects too often"));
}

function cacheResolved(
  fileUrl: string,
  cdn: URL,
  etag: string | null,
  options: ArchiveOptions,
): Result<Resolved, Problem> {
  const allowed = checkUrl(cdn.href, cdnOptions(options).policy);
  if (!allowed.ok) return err(redirectDenied("the Hub", allowed.error.reason));
  const resolved = { url: cdn.href, expiresAt: expiryOf(cdn, Date.now() / 1000), etag };
  const seconds = resolved.expiresAt - SAFETY_SECONDS - Date.now() / 1000;
  if (seconds > 0) options.invocation.context.waitUntil(cache.put("resolved", fileUrl, resolved, seconds));
  return ok(resolved);
}

/** The Hub chooses its CDN: ALLOWED_HOSTS is about sources. */
function cdnOptions({ policy: { allowedHosts: _, ...policy }, ...options }: ArchiveOptions): ArchiveOptions {
  return { ...options, policy };
}

/** Fetches from the CDN without the token. The client's validators compare with our tag, so they are not sent to the CDN. */
async function fetchResolved(
  request: Request,
  { url: cdnUrl, etag }: Resolved,
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  const url = new URL(cdnUrl);
  if (options.invocation.config.redirectMode && options.isRead !== true) {
    return ok({ response: redirectResponse(cdnUrl), url, final: true });
  }
  const headers = sourceRequestHeaders({ client: request.headers, context: undefined, whole: false });
  if (etag !== null) {
    if (matches(headers["if-none-match"], etag)) {
      return ok({ response: new Response(null, { status: 304, headers: { etag } }), url });
    }
    const ifRange = headers["if-range"];
    if (ifRange !== undefined && ifRange !== etag) delete headers.range;
    for (const name of CONDITIONAL) delete headers[name];
  }
  // The CDN URL is signed for GET only.
  if (request.method === "HEAD") headers.range = "bytes=0-0";
  const upstream = await fetchUpstream({ url, method: "GET", headers }, cdnOptions(options));
  if (!upstream.ok) return upstream;
  const { response } = upstream.value;
  const responseHeaders = new Headers(response.headers);
  if (etag !== null) responseHeaders.set("etag", etag);
  // A file is named by its key and never changes; the CDN's caching rules are about its own URL.
  responseHeaders.set("cache-control", "private, max-age=3600");
  const served = new Response(response.body, { status: response.status, headers: responseHeaders });
  return ok({ url, response: request.method === "HEAD" ? toHeadResponse(served) : served });
}

function hubProblem({ status, headers }: Response): Problem {
  if (status === 401 || status === 403) {
    return badGateway("archive_unauthorized", "the Hub refuses the account's token: check HF_TOKEN_STORAGE_n");
  }
  if (status === 404) return { status: 404, code: "archive_missing", detail: "no account has a copy of this file" };
  if (status === 429) {
    const retryAfter = headers.get("retry-after") ?? "60";
    return {
      status: 503,
      code: "archive_busy",
      detail: "the Hub limits requests",
      headers: { "Retry-After": retryAfter },
    };
  }
  return badGateway("archive_unreachable", `the Hub responded ${status}`);
}

const BY_INFORMATION = ["archive_missing", "archive_unreachable", "archive_unauthorized", "archive_busy"];

/** Picks the most informative of several copies' problems (unauthorized over missing). */
export function moreInformative(a: Problem | null, b: Problem): Problem {
  return a === null || BY_INFORMATION.indexOf(b.code) > BY_INFORMATION.indexOf(a.code) ? b : a;
}

/** Unix seconds at which a presigned URL expires: in the form of S3 or CloudFront, else an hour from now. */
export function expiryOf(url: URL, now: number): number {
  const query = url.searchParams;
  const date = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query.get("X-Amz-Date") ?? "");
  const lifetime = Number(query.get("X-Amz-Expires"));
  if (date !== null && lifetime > 0) {
    const [, year, month, day, hour, minute, second] = date;
    return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`) / 1000 + lifetime;
  }
  const expires = Number(query.get("Expires") ?? query.get("expires") ?? query.get("exp"));
  return expires > now ? expires : now + DEFAULT_LIFETIME_SECONDS;
}

function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.trim() === "*" || header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

function isOwner(account: HubAccount, owner: string): boolean {
  return account.username.toLowerCase() === owner.toLowerCase();
}
