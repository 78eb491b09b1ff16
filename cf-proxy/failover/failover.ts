// Keeps playback going after a server's URL has expired: continues at the fresh URL if it has the same file.
// Example: bytes=5000- gets 403 → the public API names a fresh URL → the same range from there.
import { err, type Result } from "../../core/result.ts";
import { checkUrl } from "../../core/url_policy.ts";
import * as cache from "../cache/two_tier_cache.ts";
import type { Problem } from "../http/problem.ts";
import { isGone, type Upstream } from "../http/upstream.ts";
import { sameRepresentation, type Validators, validatorsOf } from "../http/validators.ts";
import { isMpdUrl, isPlaylistUrl, kindOf } from "../playlist/response_kind.ts";
import { type EpisodeServer, FRESH_URL_SECONDS, requestFreshUrl, serverKey, sourceExpired } from "./api.ts";
import { fetchOrigin, type OriginRequest } from "./origin_fetch.ts";
import { recordSample } from "./recorded.ts";
import { findRelocatedSegment, relocatedSegment } from "./segments.ts";
import { matchVariantPlaylist } from "./variant_playlist.ts";

const VALIDATORS_SECONDS = 6 * 3600;
const RELOCATED_SECONDS = 20 * 60;
/** Cached if the API has no URL of a server. */
const NO_URL = "";

export async function fetchWithFailover(
  request: Request,
  origin: OriginRequest,
  server: EpisodeServer,
): Promise<Result<Upstream, Problem>> {
  const { link, invocation } = origin;
  if (link.scope !== null && !isPlaylistUrl(link.url)) return await fetchSegment(request, origin, server);
  const { publicApiUrl } = invocation.config;
  const key = serverKey(server, link.url.href);
  const known = cache.getLocal<string>("relocated", key);
  const first = await fetchOrigin(request, known === null ? origin : { ...origin, url: new URL(known) });
  if (!first.ok || !isGone(first.value.response.status)) {
    if (first.ok) recordValidators(first.value.response, origin, key);
    return first;
  }
  await first.value.response.body?.cancel();
  const expired = err(sourceExpired(server, publicApiUrl));
  if (publicApiUrl === null) return expired;
  const shared = known === null ? await cache.get<string>("relocated", key) : null;
  const resumed = shared === null ? null : await fetchContinuation(request, { ...origin, url: new URL(shared) }, key);
  if (resumed !== null) return resumed;
  const top = await freshUrl(server, origin, publicApiUrl);
  // An MPD lists no other manifests.
  const isVariant = isPlaylistUrl(link.url) && !isMpdUrl(link.url);
  const fresh = top !== null && isVariant ? await matchVariantPlaylist(top, origin, server) : top;
  if (fresh === null || fresh.href === link.url.href || fresh.href === known) return expired;
  const continued = await fetchContinuation(request, { ...origin, url: fresh }, key);
  if (continued === null) return expired;
  invocation.context.waitUntil(cache.put("relocated", key, fresh.href, RELOCATED_SECONDS));
  return continued;
}

/** A segment; after its URL has expired, from its place in the server's fresh playlist. */
async function fetchSegment(
  request: Request,
  origin: OriginRequest,
  server: EpisodeServer,
): Promise<Result<Upstream, Problem>> {
  const { link, invocation } = origin;
  const { publicApiUrl } = invocation.config;
  const known = relocatedSegment(origin, server);
  const first = await fetchOrigin(request, known === null ? origin : { ...origin, url: known });
  if (!first.ok || !isGone(first.value.response.status)) {
    if (first.ok) recordSample(first.value.response, origin, server);
    return first;
  }
  const top = publicApiUrl === null ? null : await freshUrl(server, origin, publicApiUrl);
  const fresh = top === null ? null : await findRelocatedSegment(top, origin, server);
  if (fresh !== null && fresh.href !== link.url.href && fresh.href !== known?.href) {
    const relocated = await fetchOrigin(request, { ...origin, url: fresh });
    if (relocated.ok && relocated.value.response.status < 400) {
      await first.value.response.body?.cancel();
      return relocated;
    }
    if (relocated.ok) await relocated.value.response.body?.cancel();
  }
  // Without a relocated segment, 404 most likely means that this one segment is missing, which players skip.
  if (first.value.response.status === 404) return first;
  await first.value.response.body?.cancel();
  return err(sourceExpired(server, publicApiUrl));
}

/** The server's URL as the public API has it, cached: a player requests an expired link range by range. */
async function freshUrl(
  server: EpisodeServer,
  { options, invocation }: OriginRequest,
  publicApiUrl: string,
): Promise<URL | null> {
  const key = serverKey(server, "");
  const cached = await cache.get<string>("fresh-url", key);
  if (cached !== null) return cached === NO_URL ? null : new URL(cached);
  const fresh = await requestFreshUrl(server, { ...options, publicApiUrl, keys: invocation.config.keys });
  invocation.context.waitUntil(cache.put("fresh-url", key, fresh?.href ?? NO_URL, FRESH_URL_SECONDS));
  return fresh;
}

/** The response of another URL; null unless it continues the file that the link has served so far. */
async function fetchContinuation(
  request: Request,
  origin: OriginRequest,
  key: string,
): Promise<Result<Upstream, Problem> | null> {
  if (!checkUrl(origin.url.href, origin.options.policy).ok) return null;
  const upstream = await fetchOrigin(request, origin);
  if (!upstream.ok) return null;
  const { response } = upstream.value;
  if (response.status < 400 && await isContinuation(request, upstream.value, origin.link.url, key)) return upstream;
  await response.body?.cancel();
  return null;
}

async function isContinuation(request: Request, upstream: Upstream, signed: URL, key: string): Promise<boolean> {
  // A playlist is always read whole, so nothing is mixed.
  if (isPlaylistUrl(signed)) return true;
  const served = await cache.get<Validators>("validators", key);
  if (served === null) {
    // Nothing has been served yet. A whole file may start here, but not a playlist: its segments would be mixed.
    const isFile = kindOf(upstream, request, signed) !== "playlist" && !isPlaylistUrl(upstream.url);
    return isFile && !request.headers.has("range") && upstream.response.status === 200;
  }
  const validators = validatorsOf(upstream.response);
  return validators !== null && sameRepresentation(served, validators);
}

/** Records the file's validators, to recognize it after its URL has expired. */
function recordValidators(response: Response, { link, invocation }: OriginRequest, key: string): void {
  if (link.scope !== null || cache.getLocal("validators", key) !== null) return;
  const validators = validatorsOf(response);
  if (validators !== null) invocation.context.waitUntil(cache.put("validators", key, validators, VALIDATORS_SECONDS));
}
