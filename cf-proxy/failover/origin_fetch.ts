// One request to the source behind a link: headers by allow-list, HEAD where the source knows none, If-Range kept honest.
// Runs on: workerd.
import type { VerifiedLink } from "../../core/link.ts";
import { ok, type Result } from "../../core/result.ts";
import type { Invocation } from "../invocation.ts";
import { type HeaderRecord, sourceRequestHeaders } from "../http/headers.ts";
import { isPlaylistUrl } from "../playlist/playlist.ts";
import type { Problem } from "../http/problem.ts";
import { fetchUpstream, type Upstream, type UpstreamOptions } from "../http/upstream.ts";

export interface Target {
  readonly link: VerifiedLink;
  /** The link's address with the player's own parameters. */
  readonly target: URL;
  readonly options: UpstreamOptions;
  readonly invocation: Invocation;
}

export async function fetchSource(
  request: Request,
  { link, target, options }: Target,
): Promise<Result<Upstream, Problem>> {
  const headers = sourceRequestHeaders({
    client: request.headers,
    context: link.context.headers,
    whole: isPlaylistUrl(link.url),
  });
  // Several ranges come back in one body whose parts cannot be decrypted on the way.
  if (link.context.megaKey !== undefined && headers.range?.includes(",")) delete headers.range;
  if (request.method === "HEAD") return await head({ url: target, headers }, options);
  const upstream = await fetchUpstream({ url: target, method: "GET", headers }, options);
  if (!upstream.ok || honoursIfRange(request, upstream.value.response)) return upstream;
  // Somebody on the way (a cache) ignored If-Range: these bytes belong to another version than the player has.
  await upstream.value.response.body?.cancel();
  delete headers.range;
  delete headers["if-range"];
  return await fetchUpstream({ url: target, method: "GET", headers }, options);
}

/** HEAD upstream, or the first byte by GET where a source refuses HEAD. */
async function head(
  { url, headers }: { readonly url: URL; readonly headers: HeaderRecord },
  options: UpstreamOptions,
): Promise<Result<Upstream, Problem>> {
  const upstream = await fetchUpstream({ url, method: "HEAD", headers }, options);
  if (!upstream.ok || ![403, 404, 405, 501].includes(upstream.value.response.status)) return upstream;
  headers.range = "bytes=0-0";
  const got = await fetchUpstream({ url, method: "GET", headers }, options);
  if (!got.ok) return got;
  const { response } = got.value;
  await response.body?.cancel();
  const answer = new Headers(response.headers);
  if (response.status !== 206) {
    return ok({ ...got.value, response: new Response(null, { status: response.status, headers: answer }) });
  }
  const size = /\/(\d+)$/.exec(answer.get("content-range") ?? "")?.[1];
  answer.delete("content-range");
  answer.delete("content-length");
  answer.set("accept-ranges", "bytes");
  if (size !== undefined) answer.set("content-length", size);
  return ok({ ...got.value, response: new Response(null, { status: 200, headers: answer }) });
}

/** False when a 206 holds bytes of another version than the one that the client's If-Range names. */
function honoursIfRange(request: Request, response: Response): boolean {
  const validator = request.headers.get("if-range");
  if (validator === null || !request.headers.has("range") || response.status !== 206) return true;
  const current = validator.startsWith('"') || validator.startsWith("W/")
    ? response.headers.get("etag")
    : response.headers.get("last-modified");
  // A weak tag never matches here (RFC 9110 §13.1.5); without a validator there is nothing to go by.
  return current === null || (current === validator && !validator.startsWith("W/"));
}

const PLAYER_PARAMETERS = [
  "_HLS_msn",
  "_HLS_part",
  "_HLS_skip",
  "_HLS_pathway",
  "_HLS_throughput",
  "_HLS_primary_id",
  "_HLS_start_offset",
];

/** Low-latency and steering parameters that a player has put on our link belong to the source's address. */
export function withPlayerParameters(target: URL, requestUrl: URL): URL {
  const given = PLAYER_PARAMETERS.filter((name) => requestUrl.searchParams.has(name));
  if (given.length === 0) return target;
  const extra = given.map((name) => `${name}=${encodeURIComponent(requestUrl.searchParams.get(name)!)}`).join("&");
  const url = new URL(target);
  // Appended as text: searchParams would write the source's own parameters anew.
  url.search = url.search === "" ? extra : `${url.search}&${extra}`;
  return url;
}
