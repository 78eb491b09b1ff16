// What it takes to go on when the address behind a link has died: how to tell that two answers are parts of one file, and
// how to ask the public API for a server's fresh address. server.ts decides.
// Runs on: workerd.
import { episodeUrl } from "../../core/episode_url.ts";
import type { SigningKeys, VerifiedLink } from "../../core/link.ts";
import { parseContentRange } from "../../core/http/range.ts";
import { refreshQuery } from "../../core/refresh_request.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import type { Problem } from "../http/problem.ts";

/** An episode whose server the public API can be asked for. */
export type Episode = Required<NonNullable<VerifiedLink["context"]["episode"]>>;

export function episodeOf({ context: { episode } }: VerifiedLink): Episode | null {
  return episode?.server === undefined ? null : { ...episode, server: episode.server };
}

/**
 * Names one address of one server in what is remembered. Two servers may name the same address, and a hostile one may give any
 * file any mark: what is learnt about a server's addresses is never used for another's.
 */
export function memoName({ malId, episode, provider, server }: Episode, address: string): string {
  return JSON.stringify([malId, episode, provider, server, address]);
}

/** What two answers have to share to be parts of one file. */
export interface FileMark {
  readonly size: number;
  /** Strong entity tag, or null. */
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** How long an answer of the public API counts: it does not read the source again for a minute either. */
export const RESPONSE_SECONDS = 60;
const API_TIMEOUT_MS = 10_000;

/** Whether a source's answer means that its address is no longer good. */
export function isDead(status: number): boolean {
  return status === 401 || status === 403 || status === 404 || status === 410;
}

/** The mark of a 200 or 206, or null when the answer does not say enough to recognise the file again. */
export function markOf(response: Response): FileMark | null {
  const size = response.status === 206
    ? parseContentRange(response.headers.get("content-range"))?.size ?? null
    : response.status === 200
    ? Number(response.headers.get("content-length") ?? NaN)
    : null;
  const tag = response.headers.get("etag");
  const etag = tag === null || tag.startsWith("W/") ? null : tag;
  const lastModified = response.headers.get("last-modified");
  if (size === null || !Number.isSafeInteger(size) || (etag === null && lastModified === null)) return null;
  return { size, etag, lastModified };
}

/** One file: the same size, and the same tag, or the same date where neither or only one has a tag. */
export function isSameFile(a: FileMark, b: FileMark): boolean {
  if (a.size !== b.size) return false;
  if (a.etag !== null && b.etag !== null) return a.etag === b.etag;
  return a.lastModified !== null && a.lastModified === b.lastModified;
}

export interface AskOptions {
  readonly publicApiUrl: string;
  /** The API knows its own Worker by them. */
  readonly keys: SigningKeys;
  readonly policy: UrlPolicy;
}

/** The same server's address as the public API knows it now; null when it knows none, or only the archive's copy. */
export async function requestFreshUrl(episode: Episode, options: AskOptions): Promise<URL | null> {
  const query = await refreshQuery(episode, { keys: options.keys, now: Date.now() / 1000 });
  const address = `${episodeUrl(options.publicApiUrl, episode.malId, episode.episode)}?${query}`;
  const signal = AbortSignal.timeout(API_TIMEOUT_MS);
  try {
    const response = await fetch(address, { headers: { accept: "application/json" }, signal });
    const fresh = response.ok ? addressOf(await response.json(), episode) : (await response.body?.cancel(), null);
    if (fresh === null) return null;
    const target = checkUrl(fresh, options.policy);
    return target.ok ? target.value : null;
  } catch {
    // The API being away is no news for the viewer beyond "expired": the problem names the API's address.
    return null;
  }
}

function addressOf(answer: unknown, episode: Episode): string | null {
  const servers = (answer as { data?: Record<string, unknown> } | null)?.data?.[episode.provider];
  if (!Array.isArray(servers)) return null;
  for (const server of servers as readonly Record<string, unknown>[]) {
    if (server?.url !== episode.server || server.archived === true) continue;
    if (typeof server.url_resolved === "string") return server.url_resolved;
  }
  return null;
}

/** 410 that tells a player where to look for the archive. */
export function sourceExpired(episode: Episode, publicApiUrl: string | null): Problem {
  const api = publicApiUrl === null ? null : episodeUrl(publicApiUrl, episode.malId, episode.episode);
  return {
    status: 410,
    code: "source_expired",
    detail: "the source's address has died and no other address of the same file is known; ask for the episode again",
    extra: { episode_url: api, mal_id: episode.malId, episode: episode.episode },
  };
}
