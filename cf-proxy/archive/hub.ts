// Reads archived files from the Hub: the account's token goes to the Hub alone, the address it answers with is kept
// until it expires, and any account's copy will do, because a file has the same path on all of them.
// Example: 100 ranges of one file within the hour cost 1 request to the Hub and 100 to its CDN.
// Runs on: workerd.
import type { HubFile } from "../../core/archive_location.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { checkUrl } from "../../core/url_policy.ts";
import type { Invocation } from "../invocation.ts";
import type { Config, HubAccount } from "../env.ts";
import { CONDITIONAL, redirectResponse, sourceRequestHeaders } from "../http/headers.ts";
import * as cache from "../cache/two_tier_cache.ts";
import type { Problem } from "../http/problem.ts";
import {
  badGateway,
  fetchOnce,
  fetchUpstream,
  redirectLocation,
  type Upstream,
  type UpstreamOptions,
} from "../http/upstream.ts";

interface Resolved {
  /** Signed address on the CDN; whoever has it can read the file, so it is never shown or logged. */
  readonly url: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** The file's content hash, quoted: the same on every account, unlike the CDN's own tag. */
  readonly etag: string | null;
}

export interface ArchiveOptions extends UpstreamOptions {
  readonly invocation: Invocation;
}

const SAFETY_SECONDS = 60;
const DEFAULT_LIFE_SECONDS = 3600;

export async function fetchArchive(
  request: Request,
  file: HubFile,
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  let worst: Problem | null = null;
  for (const { token, ...copy } of copiesOf(file, options.invocation.config)) {
    const answer = await fetchCopy(request, copy, token, options);
    if (answer.ok) return answer;
    worst = moreTelling(worst, answer.error);
  }
  return err(worst!);
}

/**
 * The copy that the link names first, then the other accounts'. A commit is one account's own: the others have the file on main.
 * A foreign repository is read without a token.
 */
function copiesOf(file: HubFile, config: Config): readonly (HubFile & { readonly token: string | null })[] {
  const own = config.hubAccounts.find((account) => sameName(account, file.owner));
  if (own === undefined) return [{ ...file, token: null }];
  const others = config.hubAccounts.filter((account) => account !== own);
  const onMain = file.rest.replace(/^\/resolve\/[^/]+\//, "/resolve/main/");
  const copies = [
    { ...file, token: own.token },
    ...others.map(({ username, token }) => ({ ...file, owner: username, rest: onMain, token })),
    ...(onMain === file.rest ? [] : [{ ...file, rest: onMain, token: own.token }]), // its history was rewritten
  ];
  // While one account is out of order, its ranges go straight to the copy that served the last one.
  const isKnown = (copy: HubFile) => cache.getLocal<Resolved>("resolved", addressOf(copy, config)) !== null;
  return [...copies.filter(isKnown), ...copies.filter((copy) => !isKnown(copy))];
}

function addressOf(file: HubFile, config: Config): string {
  return `${config.hubEndpoint}/datasets/${file.owner}/${file.name}${file.rest}`;
}

async function fetchCopy(
  request: Request,
  file: HubFile,
  token: string | null,
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  const address = addressOf(file, options.invocation.config);
  for (let attempt = 1;; attempt++) {
    const kept = await cache.get<Resolved>("resolved", address);
    const resolved = kept === null ? await resolve(address, token, request, options) : ok(kept);
    if (!resolved.ok) return resolved;
    if ("response" in resolved.value) return ok(resolved.value);
    const upstream = await fetchResolved(request, resolved.value, options);
    if (!upstream.ok || !isStale(upstream.value.response.status)) return upstream;
    await upstream.value.response.body?.cancel();
    await cache.remove("resolved", address);
    if (attempt === 2) return err(badGateway("archive_unreachable", "the archive's CDN refuses the file"));
  }
}

/** The CDN no longer knows the address: expired early, or the file has moved. */
function isStale(status: number): boolean {
  return status === 401 || status === 403 || status === 404 || status === 410;
}

/** Asks the Hub where the file lies. Small files it serves itself, after a redirect of its own: those are the answer. */
async function resolve(
  address: string,
  token: string | null,
  request: Request,
  options: ArchiveOptions,
): Promise<Result<Resolved | Upstream, Problem>> {
  let url = new URL(address);
  const headers = sourceRequestHeaders({ client: request.headers, context: undefined, whole: false });
  if (token !== null) headers.authorization = `Bearer ${token}`;
  let etag: string | null = null;
  for (let hop = 0; hop < 4; hop++) {
    const answer = await fetchOnce({ url, method: "GET", headers }, options);
    if (!answer.ok) return answer;
    const response = answer.value;
    etag = response.headers.get("x-linked-etag") ?? etag;
    const location = redirectLocation(response);
    if (location === null) {
      if (response.status < 400 || response.status === 416) return ok({ response: forHead(request, response), url });
      await response.body?.cancel();
      return err(hubProblem(response));
    }
    await response.body?.cancel();
    const next = new URL(location, url);
    if (next.origin !== options.invocation.config.hubOrigin) return keep(address, next, etag, options);
    url = next;
  }
  return err(badGateway("archive_unreachable", "the Hub redirects in a circle"));
}

function keep(
  address: string,
  cdn: URL,
  etag: string | null,
  options: ArchiveOptions,
): Result<Resolved, Problem> {
  // The Hub may choose its CDN: an operator's list of hosts is about sources.
  const { allowedHosts: _hosts, ...policy } = options.policy;
  const target = checkUrl(cdn.href, policy);
  if (!target.ok) {
    return err({
      status: 403,
      code: "redirect_denied",
      detail: `the Hub redirected elsewhere: ${target.error.reason}`,
    });
  }
  const resolved = { url: cdn.href, expiresAt: expiryOf(cdn, Date.now() / 1000), etag };
  const seconds = resolved.expiresAt - SAFETY_SECONDS - Date.now() / 1000;
  if (seconds > 0) options.invocation.context.waitUntil(cache.put("resolved", address, resolved, seconds));
  return ok(resolved);
}

/** Fetches from the CDN, without the token. The client's validators speak of our tag; the CDN never sees them. */
async function fetchResolved(
  request: Request,
  resolved: Resolved,
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  const { etag } = resolved;
  if (options.invocation.config.redirectMode) {
    return ok({ response: redirectResponse(resolved.url), url: new URL(resolved.url), final: true });
  }
  const headers = sourceRequestHeaders({ client: request.headers, context: undefined, whole: false });
  const url = new URL(resolved.url);
  if (etag !== null) {
    if (matches(headers["if-none-match"], etag)) {
      return ok({ response: new Response(null, { status: 304, headers: { etag } }), url });
    }
    const ifRange = headers["if-range"];
    if (ifRange !== undefined && ifRange !== etag) delete headers.range;
    for (const name of CONDITIONAL) delete headers[name];
  }
  // The address is signed for GET alone.
  if (request.method === "HEAD") headers.range = "bytes=0-0";
  const { allowedHosts: _hosts, ...policy } = options.policy;
  const upstream = await fetchUpstream({ url, method: "GET", headers }, { ...options, policy });
  if (!upstream.ok) return upstream;
  const answer = new Headers(upstream.value.response.headers);
  if (etag !== null) answer.set("etag", etag);
  // Files are named by their content's key and never change; the CDN's own caching rules are about its address.
  answer.set("cache-control", "private, max-age=3600");
  const { status, body } = upstream.value.response;
  return ok({ url, response: forHead(request, new Response(body, { status, headers: answer })) });
}

/** The answer to HEAD out of one byte's 206. */
export function forHead(request: Request, response: Response): Response {
  if (request.method !== "HEAD") return response;
  const headers = new Headers(response.headers);
  response.body?.cancel().catch(() => {});
  if (response.status !== 206) return new Response(null, { status: response.status, headers });
  const size = /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1];
  headers.delete("content-range");
  headers.set("accept-ranges", "bytes");
  if (size !== undefined) headers.set("content-length", size);
  return new Response(null, { status: 200, headers });
}

function hubProblem(response: Response): Problem {
  const { status } = response;
  if (status === 401 || status === 403) {
    return badGateway("archive_unauthorized", "the Hub refuses the account's token; check HF_TOKEN_STORAGE_n");
  }
  if (status === 404) return { status: 404, code: "archive_missing", detail: "no account has a copy of this file" };
  if (status === 429) {
    const retryAfter = response.headers.get("retry-after") ?? "60";
    return {
      status: 503,
      code: "archive_busy",
      detail: "the Hub limits requests",
      headers: { "Retry-After": retryAfter },
    };
  }
  return badGateway("archive_unreachable", `the Hub answered ${status}`);
}

/** Of several accounts' failures the one to tell: that a file is missing says less than that a token is wrong. */
export function moreTelling(a: Problem | null, b: Problem): Problem {
  const rank = (one: Problem) =>
    ["archive_missing", "archive_unreachable", "archive_unauthorized", "archive_busy"].indexOf(one.code);
  return a === null || rank(b) > rank(a) ? b : a;
}

/** Unix seconds at which a presigned address dies: S3 and CloudFront forms, else an hour from now. */
export function expiryOf(url: URL, now: number): number {
  const query = url.searchParams;
  const date = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query.get("X-Amz-Date") ?? "");
  const life = Number(query.get("X-Amz-Expires"));
  if (date !== null && life > 0) {
    const [year, month, day, hour, minute, second] = date.slice(1).map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 + life;
  }
  const expires = Number(query.get("Expires") ?? query.get("expires") ?? query.get("exp"));
  return expires > now ? expires : now + DEFAULT_LIFE_SECONDS;
}

function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.trim() === "*" || header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

function sameName(account: HubAccount, owner: string): boolean {
  return account.username.toLowerCase() === owner.toLowerCase();
}
