// Failover: asks the public API for a server's fresh URL after the URL behind a link has expired.
import { episodeUrl } from "../../core/episode_url.ts";
import type { LinkEpisode, SigningKeys, VerifiedLink } from "../../core/link.ts";
import { refreshQuery } from "../../core/refresh_request.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import type { Problem } from "../http/problem.ts";

/** A server of an episode: the public API can be asked for its fresh URL. */
export type EpisodeServer = Required<LinkEpisode>;

export function episodeServerOf({ context: { episode } }: VerifiedLink): EpisodeServer | null {
  return episode?.server === undefined ? null : { ...episode, server: episode.server };
}

/**
 * The cache key of a fact about one URL of one server. Keyed by server, because a hostile server may name another server's URLs and
 * send any validators: what is learned from one server is never applied to another.
 */
export function serverKey({ malId, episode, provider, server }: EpisodeServer, url: string): string {
  return JSON.stringify([malId, episode, provider, server, url]);
}

/** The public API does not read a source again within this time either. */
export const FRESH_URL_SECONDS = 60;
const API_TIMEOUT_MS = 10_000;

export interface FreshUrlOptions {
  readonly publicApiUrl: string;
  /** Sign the request, so that the API does not count it against the rate limit of a client. */
  readonly keys: SigningKeys;
  readonly policy: UrlPolicy;
}

/** The server's present URL; null if the API has none, or only the archive's copy. */
export async function requestFreshUrl(server: EpisodeServer, options: FreshUrlOptions): Promise<URL | null> {
  const query = await refreshQuery(server, { keys: options.keys, now: Date.now() / 1000 });
  const apiUrl = `${episodeUrl(options.publicApiUrl, server.malId, server.episode)}?${query}`;
  const signal = AbortSignal.timeout(API_TIMEOUT_MS);
  try {
    const response = await fetch(apiUrl, { headers: { accept: "application/json" }, signal });
    const fresh = response.ok ? resolvedUrlOf(await response.json(), server) : (await response.body?.cancel(), null);
    if (fresh === null) return null;
    const allowed = checkUrl(fresh, options.policy);
    return allowed.ok ? allowed.value : null;
  } catch {
    // The viewer gets source_expired in either case; it contains the API's URL.
    return null;
  }
}

function resolvedUrlOf(body: unknown, { provider, server }: EpisodeServer): string | null {
  const servers = (body as { data?: Record<string, unknown> } | null)?.data?.[provider];
  if (!Array.isArray(servers)) return null;
  for (const entry of servers as readonly Record<string, unknown>[]) {
    if (entry?.url !== server || entry.archived === true) continue;
    if (typeof entry.url_resolved === "string") return entry.url_resolved;
  }
  return null;
}

/** 410 with the episode's API URL, where a player can look for the archive. */
export function sourceExpired({ malId, episode }: EpisodeServer, publicApiUrl: string | null): Problem {
  return {
    status: 410,
    code: "source_expired",
    detail: "the source's URL has expired and no other URL of the same file is known; request the episode again",
    extra: {
      episode_url: publicApiUrl === null ? null : episodeUrl(publicApiUrl, malId, episode),
      mal_id: malId,
      episode,
    },
  };
}
