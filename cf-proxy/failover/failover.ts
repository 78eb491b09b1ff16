// Playback that outlives its source: a server's address may die while it plays, the file lives on at another.
// Example: bytes=5000- answered 403 → the public API names a fresh address → the same range from there, if it is the same file.
// Runs on: workerd. What a link's file looked like and where it moved to is remembered (memo.ts).
import type { VerifiedLink } from "../../core/link.ts";
import { err, type Result } from "../../core/result.ts";
import { checkUrl } from "../../core/url_policy.ts";
import {
  type Episode,
  type FileMark,
  isDead,
  isSameFile,
  markOf,
  memoName,
  requestFreshUrl,
  RESPONSE_SECONDS,
  sourceExpired,
} from "./api.ts";
import * as cache from "../cache/two_tier_cache.ts";
import { isPlaylistUrl, kindOf } from "../playlist/playlist.ts";
import type { Problem } from "../http/problem.ts";
import { findMovedSegment, movedSegment, noteWitness, playlistInPlace } from "./segments.ts";
import { fetchSource, type Target } from "./origin_fetch.ts";
import type { Upstream } from "../http/upstream.ts";

const MARK_SECONDS = 6 * 3600;
const MOVE_SECONDS = 20 * 60;
/** Remembered when the API knows no address of a server. */
const NO_ADDRESS = "";

/** Fetches from a known server of an episode, whose address may die while it plays. */
export async function fetchServer(
  request: Request,
  target: Target,
  episode: Episode,
): Promise<Result<Upstream, Problem>> {
  const { link, invocation } = target;
  if (link.scope !== null && !isPlaylistUrl(link.url)) return await fetchSegment(request, target, episode);
  const { publicApiUrl } = invocation.config;
  const name = memoName(episode, link.url.href);
  const moved = cache.getLocal<string>("moved", name);
  const first = await fetchSource(request, moved === null ? target : { ...target, target: new URL(moved) });
  if (!first.ok || !isDead(first.value.response.status)) {
    if (first.ok) noteMark(first.value.response, target, name);
    return first;
  }
  await first.value.response.body?.cancel();
  const gone = err(sourceExpired(episode, publicApiUrl));
  if (publicApiUrl === null) return gone;
  const known = moved === null ? await cache.get<string>("moved", name) : null;
  const remembered = known === null ? null : await fetchSame(request, target, { url: new URL(known), name });
  if (remembered !== null) return remembered;
  const server = await freshUrl(episode, { ...target, publicApiUrl });
  const fresh = server !== null && isPlaylistUrl(link.url) ? await playlistInPlace(server, target, episode) : server;
  if (fresh === null || fresh.href === link.url.href || fresh.href === moved) return gone;
  const again = await fetchSame(request, target, { url: fresh, name });
  if (again === null) return gone;
  invocation.context.waitUntil(cache.put("moved", name, fresh.href, MOVE_SECONDS));
  return again;
}

/** A segment, from where the server's fresh playlist has it once its own address is dead. */
async function fetchSegment(
  request: Request,
  target: Target,
  episode: Episode,
): Promise<Result<Upstream, Problem>> {
  const { link, invocation } = target;
  const { publicApiUrl } = invocation.config;
  const moved = movedSegment(target, episode);
  const first = await fetchSource(request, moved === null ? target : { ...target, target: moved });
  if (!first.ok || !isDead(first.value.response.status)) {
    if (first.ok) noteWitness(first.value.response, target, episode);
    return first;
  }
  const fresh = publicApiUrl === null ? null : await freshUrl(episode, { ...target, publicApiUrl });
  const address = fresh === null ? null : await findMovedSegment(fresh, target, episode);
  if (address !== null && address.href !== link.url.href && address.href !== moved?.href) {
    const again = await fetchSource(request, { ...target, target: address });
    if (again.ok && again.value.response.status < 400) {
      await first.value.response.body?.cancel();
      return again;
    }
    if (again.ok) await again.value.response.body?.cancel();
  }
  // A segment that is missing is missing, as far as anybody knows.
  if (first.value.response.status === 404) return first;
  await first.value.response.body?.cancel();
  return err(sourceExpired(episode, publicApiUrl));
}

/** The server's address as the public API knows it; a dead link's ranges come here one after the other, and ask it once. */
async function freshUrl(
  episode: Episode,
  { options, invocation, publicApiUrl }: Target & { readonly publicApiUrl: string },
): Promise<URL | null> {
  const server = memoName(episode, "");
  const known = await cache.get<string>("answer", server);
  if (known !== null) return known === NO_ADDRESS ? null : new URL(known);
  const fresh = await requestFreshUrl(episode, { ...options, publicApiUrl, keys: invocation.config.keys });
  invocation.context.waitUntil(cache.put("answer", server, fresh?.href ?? NO_ADDRESS, RESPONSE_SECONDS));
  return fresh;
}

/** The same request at another address; null unless its bytes are provably of the file that the link has served so far. */
async function fetchSame(
  request: Request,
  target: Target,
  { url, name }: { readonly url: URL; readonly name: string },
): Promise<Result<Upstream, Problem> | null> {
  if (!checkUrl(url.href, target.options.policy).ok) return null;
  const upstream = await fetchSource(request, { ...target, target: url });
  if (!upstream.ok) return null;
  const { response } = upstream.value;
  if (response.status < 400 && await isContinuation(request, upstream.value, { link: target.link, name })) {
    return upstream;
  }
  await response.body?.cancel();
  return null;
}

async function isContinuation(
  request: Request,
  { response, url }: Upstream,
  { link, name }: { readonly link: VerifiedLink; readonly name: string },
): Promise<boolean> {
  // A playlist is read whole: a player that asks for it starts anew.
  if (isPlaylistUrl(link.url)) return true;
  const mark = await cache.get<FileMark>("mark", name);
  // Nothing has been served yet that these bytes could be mixed with; but a playlist is no file, and its segment neither.
  if (mark === null) {
    const isFile = kindOf({ response, url }, request, link.url) !== "playlist" && !isPlaylistUrl(url);
    return isFile && !request.headers.has("range") && response.status === 200;
  }
  const now = markOf(response);
  return now !== null && isSameFile(mark, now);
}

/** Keeps what the file of this link looks like, for the day its address dies. */
function noteMark(response: Response, { link, invocation }: Target, name: string): void {
  if (link.scope !== null || cache.getLocal("mark", name) !== null) return;
  const mark = markOf(response);
  if (mark !== null) invocation.context.waitUntil(cache.put("mark", name, mark, MARK_SECONDS));
}
