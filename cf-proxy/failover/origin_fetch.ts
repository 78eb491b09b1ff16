// One request to the origin of a link: forwarded headers by allow-list, a fallback for HEAD, If-Range enforced.
import type { VerifiedLink } from "../../core/link.ts";
import { parseContentRange } from "../../core/http/range.ts";
import { ok, type Result } from "../../core/result.ts";
import type { Invocation } from "../invocation.ts";
import { toHeadResponse } from "../http/head_response.ts";
import { sourceRequestHeaders } from "../http/headers.ts";
import type { Problem } from "../http/problem.ts";
import { fetchUpstream, type Upstream, type UpstreamOptions, type UpstreamRequest } from "../http/upstream.ts";
import { isPlaylistUrl } from "../playlist/response_kind.ts";

export interface OriginRequest {
  readonly link: VerifiedLink;
  /** The URL to fetch: the link's with the player's own parameters, or a fresh one. */
  readonly url: URL;
  readonly options: UpstreamOptions;
  readonly invocation: Invocation;
}

export async function fetchOrigin(
  request: Request,
  { link, url, options }: OriginRequest,
): Promise<Result<Upstream, Problem>> {
  const headers = sourceRequestHeaders({
    client: request.headers,
    context: link.context.headers,
    whole: isPlaylistUrl(link.url) || link.context.subtitles === true,
  });
  // Several ranges come in one multipart body, whose parts cannot be decrypted in a stream.
  if (link.context.megaKey !== undefined && headers.range?.includes(",")) delete headers.range;
  const cookies = url.origin === link.url.origin ? link.context.cookies : undefined;
  if (request.method === "HEAD") return await fetchHead({ url, method: "HEAD", headers, cookies }, options);
  const get = { url, method: "GET", headers, cookies } as const;
  const upstream = await withinFile(await fetchUpstream(get, options), get, options);
  if (!upstream.ok || honoursIfRange(request, upstream.value.response)) return upstream;
  // The source (or a cache) ignored If-Range: the range is of another version than the player's.
  await upstream.value.response.body?.cancel();
  delete headers.range;
  delete headers["if-range"];
  return await fetchUpstream(get, options);
}

/** Some hosts refuse a range that begins in the file and ends after it (RFC 9110 §14.1.2 requires them to serve it). */
async function withinFile(
  upstream: Result<Upstream, Problem>,
  request: UpstreamRequest,
  options: UpstreamOptions,
): Promise<Result<Upstream, Problem>> {
  const start = Number(/^bytes=(\d{1,15})-\d+$/.exec(request.headers.range ?? "")?.[1] ?? NaN);
  if (!upstream.ok || upstream.value.response.status !== 416 || Number.isNaN(start)) return upstream;
  const size = parseContentRange(upstream.value.response.headers.get("content-range"))?.size ?? null;
  if (size === null ? start > 0 : start >= size) return upstream;
  await upstream.value.response.body?.cancel();
  const { range: _range, ...headers } = request.headers;
  if (size !== null) headers.range = `bytes=${start}-${size - 1}`;
  return await fetchUpstream({ ...request, headers }, options);
}

/** HEAD, or a GET of the first byte if the source refuses HEAD. */
async function fetchHead(
  request: UpstreamRequest,
  options: UpstreamOptions,
): Promise<Result<Upstream, Problem>> {
  const upstream = await fetchUpstream(request, options);
  if (!upstream.ok || ![403, 404, 405, 501].includes(upstream.value.response.status)) return upstream;
  const headers = { ...request.headers, range: "bytes=0-0" };
  const fetched = await fetchUpstream({ ...request, method: "GET", headers }, options);
  return fetched.ok ? ok({ ...fetched.value, response: toHeadResponse(fetched.value.response) }) : fetched;
}

/** False for a 206 of another version than the client's If-Range names. */
function honoursIfRange(request: Request, response: Response): boolean {
  const validator = request.headers.get("if-range");
  if (validator === null || !request.headers.has("range") || response.status !== 206) return true;
  const current = validator.startsWith('"') || validator.startsWith("W/")
    ? response.headers.get("etag")
    : response.headers.get("last-modified");
  // A weak tag never matches (RFC 9110 §13.1.5); a response without the validator cannot be compared.
  return current === null || (current === validator && !validator.startsWith("W/"));
}

/** Low-latency and content steering parameters that a player adds to a link. */
const PLAYER_PARAMETERS = [
  "_HLS_msn",
  "_HLS_part",
  "_HLS_skip",
  "_HLS_pathway",
  "_HLS_throughput",
  "_HLS_primary_id",
  "_HLS_start_offset",
];

/** Moves the player's parameters from the link to the source's URL. */
export function withPlayerParameters(sourceUrl: URL, requestUrl: URL): URL {
  const names = PLAYER_PARAMETERS.filter((name) => requestUrl.searchParams.has(name));
  if (names.length === 0) return sourceUrl;
  const extra = names.map((name) => `${name}=${encodeURIComponent(requestUrl.searchParams.get(name)!)}`).join("&");
  const url = new URL(sourceUrl);
  // Appended as text: searchParams would encode the source's own parameters again.
  url.search = url.search === "" ? extra : `${url.search}&${extra}`;
  return url;
}
