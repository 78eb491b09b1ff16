// The Worker asks the public API for a server's address anew. Signed with the keys of the links, which both sides hold already:
// the API knows its own Worker, and does not count the request against whoever else comes from Cloudflare's addresses.
// Example: refreshQuery(…) → "refresh=1&provider=animasu&server=https%3A%2F%2Fembed.test%2F1&at=1767225600&sig=k1.Zm9v…"
// A viewer cannot make one; one that was overheard is good for two minutes, for that server alone, and reads a list that is read
// at most once a minute. Runs on: Deno, edge runtime, workerd.
import { decodeBase64, encodeBase64Url } from "./base64url.ts";
import {
  chooseKey,
  deriveMacKey,
  equalBytes,
  type LinkContext,
  type SigningKey,
  type SigningKeys,
  utf8,
} from "./link.ts";

type Episode = NonNullable<LinkContext["episode"]>;

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
  const { provider, server } = episode;
  const sig = `${key.kid}.${encodeBase64Url(await macOf(episode, at, key))}`;
  return new URLSearchParams({ refresh: "1", provider, server, at, sig }).toString();
}

/** Whether the query was made by refreshQuery for this episode, with a key of ours, just now. */
export async function verifyRefresh(
  query: URLSearchParams,
  { malId, episode }: { readonly malId: number; readonly episode: number },
  { keys, now }: RefreshOptions,
): Promise<boolean> {
  const signature = /^([A-Za-z0-9_-]{1,16})\.([A-Za-z0-9_-]{43})$/.exec(query.get("sig") ?? "");
  const [provider, server, at] = [query.get("provider"), query.get("server"), query.get("at") ?? ""];
  const key = keys.list.find(({ kid }) => kid === signature?.[1]);
  if (signature === null || key === undefined || provider === null || server === null) return false;
  if (!/^\d{1,11}$/.test(at) || Math.abs(now - Number(at)) > TOLERANCE_SECONDS) return false;
  return equalBytes(await macOf({ malId, episode, provider, server }, at, key), decodeBase64(signature[2]!));
}

async function macOf({ malId, episode, provider, server }: Episode, at: string, key: SigningKey): Promise<Uint8Array> {
  const message = utf8(JSON.stringify([malId, episode, provider, server, at]));
  return new Uint8Array(await crypto.subtle.sign("HMAC", await deriveMacKey(key, "refresh"), message));
}
