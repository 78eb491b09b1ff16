// Playback that outlives its source: a server's address may die while it plays, the file lives on at another.
// Example: bytes=5000- answered 403 → the public API names a fresh address → the same range from there, if it is the same file.
// Runs on: workerd. What a link's file looked like and where it moved to is remembered (memo.ts).
import type { VerifiedLink } from "../core/link.ts";
import { err, type Result } from "../core/result.ts";
import { checkTarget } from "../core/target_policy.ts";
import {
  askForFreshAddress,
  type Episode,
  type FileMark,
  isDead,
  isSameFile,
  markOf,
  sourceExpired,
} from "./expired.ts";
import { peek, recall, remember } from "./memo.ts";
import { isPlaylistAddress } from "./playlist.ts";
import type { Problem } from "./problem.ts";
import { fetchSource, type Target } from "./source.ts";
import type { Upstream } from "./upstream.ts";

const MARK_SECONDS = 6 * 3600;
const MOVE_SECONDS = 20 * 60;
/** How long an answer of the public API counts: it does not read the source again for a minute either. */
const ANSWER_SECONDS = 60;
/** Remembered when the API knows no address of a server. */
const NO_ADDRESS = "";

/** Fetches from a known server of an episode, whose address may die while it plays. */
export async function fetchServer(
  request: Request,
  target: Target,
  episode: Episode,
): Promise<Result<Upstream, Problem>> {
  const { link, invocation } = target;
  const { publicApiUrl } = invocation.config;
  const moved = peek<string>("moved", link.url.href);
  const first = await fetchSource(request, moved === null ? target : { ...target, target: new URL(moved) });
  if (!first.ok || !isDead(first.value.response.status)) {
    if (first.ok) noteMark(first.value.response, target);
    return first;
  }
  // A segment that is missing is missing; only the playlist above it could name another.
  if (link.scope !== null && !isPlaylistAddress(link.url) && first.value.response.status === 404) return first;
  await first.value.response.body?.cancel();
  const gone = err(sourceExpired(episode, publicApiUrl));
  if (publicApiUrl === null || (link.scope !== null && !isPlaylistAddress(link.url))) return gone;
  const known = moved === null ? await recall<string>("moved", link.url.href) : null;
  const remembered = known === null ? null : await fetchSame(request, target, new URL(known));
  if (remembered !== null) return remembered;
  const fresh = await freshAddress(episode, { ...target, publicApiUrl });
  if (fresh === null || fresh.href === link.url.href || fresh.href === moved) return gone;
  const again = await fetchSame(request, target, fresh);
  if (again === null) return gone;
  invocation.context.waitUntil(remember("moved", link.url.href, fresh.href, MOVE_SECONDS));
  return again;
}

/** The server's address as the public API knows it; a dead link's ranges come here one after the other, and ask it once. */
async function freshAddress(
  episode: Episode,
  { options, invocation, publicApiUrl }: Target & { readonly publicApiUrl: string },
): Promise<URL | null> {
  const server = JSON.stringify([episode.malId, episode.episode, episode.provider, episode.server]);
  const known = await recall<string>("answer", server);
  if (known !== null) return known === NO_ADDRESS ? null : new URL(known);
  const fresh = await askForFreshAddress(episode, { ...options, publicApiUrl, keys: invocation.config.keys });
  invocation.context.waitUntil(remember("answer", server, fresh?.href ?? NO_ADDRESS, ANSWER_SECONDS));
  return fresh;
}

/** The same request at another address; null unless its bytes are provably of the file that the link has served so far. */
async function fetchSame(request: Request, target: Target, url: URL): Promise<Result<Upstream, Problem> | null> {
  if (!checkTarget(url.href, target.options.policy).ok) return null;
  const upstream = await fetchSource(request, { ...target, target: url });
  if (!upstream.ok) return null;
  const { response } = upstream.value;
  if (response.status < 400 && await isContinuation(request, response, target.link)) return upstream;
  await response.body?.cancel();
  return null;
}

async function isContinuation(request: Request, response: Response, link: VerifiedLink): Promise<boolean> {
  // A playlist is read whole: a player that asks for it starts anew.
  if (isPlaylistAddress(link.url)) return true;
  const mark = await recall<FileMark>("mark", link.url.href);
  // Nothing has been served yet that these bytes could be mixed with.
  if (mark === null) return !request.headers.has("range") && response.status === 200;
  const now = markOf(response);
  return now !== null && isSameFile(mark, now);
}

/** Keeps what the file of this link looks like, for the day its address dies. Segments of a playlist are not followed. */
function noteMark(response: Response, { link, invocation }: Target): void {
  if (link.scope !== null || peek("mark", link.url.href) !== null) return;
  const mark = markOf(response);
  if (mark !== null) invocation.context.waitUntil(remember("mark", link.url.href, mark, MARK_SECONDS));
}
