/**
 * The signed list of takedowns that the public API publishes and the Worker enforces: `GET {PUBLIC_API_URL}/streaming/takedowns`.
 * Signed with the link keys, so that a forged list, or the response of another service, is not accepted.
 * `await signDenyList({ issuedAt, titles: [55825], episodes: [[5114, 12]] }, keys)` → `{"payload":"…","sig":"k1.…"}`
 */
import { decodeBase64, encodeBase64Url } from "./base64url.ts";
import { equalBytes } from "./equal_bytes.ts";
import { parseJsonObject } from "./json_object.ts";
import { chooseKey, deriveMacKey, type SigningKey, type SigningKeys, utf8 } from "./signing_keys.ts";
import { err, ok, type Result } from "./result.ts";

export interface DenyList {
  /** Unix seconds. The most recently issued list applies. */
  readonly issuedAt: number;
  /** Titles of which every episode is taken down. */
  readonly titles: readonly number[];
  readonly episodes: readonly (readonly [malId: number, episode: number])[];
}

export type DenyListError = "malformed" | "unknown_key" | "bad_signature";

/** The response body. The payload is a string, so that exactly the signed bytes are verified. */
export async function signDenyList(list: DenyList, keys: SigningKeys): Promise<string> {
  const key = chooseKey(keys, undefined);
  const payload = JSON.stringify({ issued_at: list.issuedAt, titles: list.titles, episodes: list.episodes });
  return JSON.stringify({ payload, sig: `${key.kid}.${encodeBase64Url(await macOf(payload, key))}` });
}

/** Does not check the list's age: compare `issuedAt`. */
export async function verifyDenyList(text: string, keys: SigningKeys): Promise<Result<DenyList, DenyListError>> {
  const document = parseJsonObject(text);
  if (typeof document?.payload !== "string" || typeof document.sig !== "string") return err("malformed");
  const signature = /^([A-Za-z0-9_-]{1,16})\.([A-Za-z0-9_-]{43})$/.exec(document.sig);
  if (signature === null) return err("malformed");
  const key = keys.list.find(({ kid }) => kid === signature[1]);
  if (key === undefined) return err("unknown_key");
  const mac = await macOf(document.payload, key);
  if (!equalBytes(mac, decodeBase64(signature[2]!))) return err("bad_signature");
  const list = toDenyList(parseJsonObject(document.payload));
  return list === null ? err("malformed") : ok(list);
}

/** Whether the list contains the episode or its title. */
export function isDenied(list: DenyList, { malId, episode }: { malId: number; episode: number }): boolean {
  return list.titles.includes(malId) || list.episodes.some((one) => one[0] === malId && one[1] === episode);
}

async function macOf(payload: string, key: SigningKey): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign("HMAC", await deriveMacKey(key, "deny-list"), utf8(payload)));
}

function toDenyList(value: Record<string, unknown> | null): DenyList | null {
  if (value === null) return null;
  const { issued_at: issuedAt, titles, episodes } = value;
  if (!isInteger(issuedAt) || !Array.isArray(titles) || !Array.isArray(episodes)) return null;
  if (!titles.every(isInteger)) return null;
  const pairs = episodes.every((one) => Array.isArray(one) && one.length === 2 && one.every(isInteger));
  return pairs ? { issuedAt, titles, episodes } : null;
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
