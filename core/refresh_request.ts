// The Worker's request to the public API for a server's fresh URL. Signed with the link keys, which both sides have, so that the API
// does not count it against the rate limit of Cloudflare's addresses. The server is not part of it and so stays out of access logs.
// Example: refreshQuery(…) → "refresh=1&at=1767225600&sig=k1.Zm9v…"
// A viewer cannot sign one. A leaked one is valid for two minutes and one episode, whose source lists are read at most once a minute.
import { decodeBase64, encodeBase64Url } from "./base64url.ts";
import { equalBytes } from "./equal_bytes.ts";
import type { LinkEpisode } from "./link_context.ts";
import { chooseKey, deriveMacKey, type SigningKey, type SigningKeys, utf8 } from "./signing_keys.ts";

type EpisodeId = Pick<LinkEpisode, "malId" | "episode">;

/** Maximum difference between the clocks. */
const TOLERANCE_SECONDS = 120;

export interface RefreshOptions {
  readonly keys: SigningKeys;
  /** Unix seconds. */
  readonly now: number;
}

/** The query string of a signed refresh request. */
export async function refreshQuery(episode: EpisodeId, { keys, now }: RefreshOptions): Promise<string> {
  const key = chooseKey(keys, undefined);
  const at = String(Math.floor(now));
  const sig = `${key.kid}.${encodeBase64Url(await macOf(episode, at, key))}`;
  return new URLSearchParams({ refresh: "1", at, sig }).toString();
}

/** Whether refreshQuery made the query for this episode, with one of the keys, within the tolerance. */
export async function verifyRefresh(
  query: URLSearchParams,
  episode: EpisodeId,
  { keys, now }: RefreshOptions,
): Promise<boolean> {
  const signature = /^([A-Za-z0-9_-]{1,16})\.([A-Za-z0-9_-]{43})$/.exec(query.get("sig") ?? "");
  const at = query.get("at") ?? "";
  const key = keys.list.find(({ kid }) => kid === signature?.[1]);
  if (signature === null || key === undefined) return false;
  if (!/^\d{1,11}$/.test(at) || Math.abs(now - Number(at)) > TOLERANCE_SECONDS) return false;
  return equalBytes(await macOf(episode, at, key), decodeBase64(signature[2]!));
}

async function macOf({ malId, episode }: EpisodeId, at: string, key: SigningKey): Promise<Uint8Array> {
  const message = utf8(JSON.stringify([malId, episode, at]));
  return new Uint8Array(await crypto.subtle.sign("HMAC", await deriveMacKey(key, "refresh"), message));
}
