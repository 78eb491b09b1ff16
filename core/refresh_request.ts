// The Worker asks the public API for a server's address anew. Signed with the keys of the links, which both sides hold already:
// the API knows its own Worker, and does not count the request against whoever else comes from Cloudflare's addresses.
// Example: refreshQuery(…) → "refresh=1&at=1767225600&sig=k1.Zm9v…". Which server it is about stays out of access logs.
// A viewer cannot make one; one that was overheard is good for two minutes, for that episode alone, and reads lists that are read
// at most once a minute. Runs on: Deno, edge runtime, workerd.
import { decodeBase64, encodeBase64Url } from "./base64url.ts";
import { equalBytes } from "./equal_bytes.ts";
import { chooseKey, deriveMacKey, type LinkContext, type SigningKey, type SigningKeys, utf8 } from "./link.ts";

type Episode = Pick<NonNullable<LinkContext["episode"]>, "malId" | "episode">;

/** How far apart the clocks may be. */
const TOLERANCE_SECONDS = 120;

export interface RefreshOptions {
  readonly keys: SigningKeys;
  /** Unix seconds. */
  readonly now: number;
}

/** The query of a signed refresh. */
export async function refreshQuery(episode: Episode, { keys, now }: RefreshOptions): Promise<string> {
  const key = chooseKey(keys, undefined);
  const at = String(Math.floor(now));
  const sig = `${key.kid}.${encodeBase64Url(await macOf(episode, at, key))}`;
  return new URLSearchParams({ refresh: "1", at, sig }).toString();
}

/** Whether the query was made by refreshQuery for this episode, with a key of ours, just now. */
export async function verifyRefresh(
  query: URLSearchParams,
  episode: Episode,
  { keys, now }: RefreshOptions,
): Promise<boolean> {
  const signature = /^([A-Za-z0-9_-]{1,16})\.([A-Za-z0-9_-]{43})$/.exec(query.get("sig") ?? "");
  const at = query.get("at") ?? "";
  const key = keys.list.find(({ kid }) => kid === signature?.[1]);
  if (signature === null || key === undefined) return false;
  if (!/^\d{1,11}$/.test(at) || Math.abs(now - Number(at)) > TOLERANCE_SECONDS) return false;
  return equalBytes(await macOf(episode, at, key), decodeBase64(signature[2]!));
}

async function macOf({ malId, episode }: Episode, at: string, key: SigningKey): Promise<Uint8Array> {
  const message = utf8(JSON.stringify([malId, episode, at]));
  return new Uint8Array(await crypto.subtle.sign("HMAC", await deriveMacKey(key, "refresh"), message));
}
