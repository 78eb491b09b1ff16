// The keys that sign links, deny lists and refresh requests, and the keys derived from them.
import { type Bytes, decodeBase64 } from "./base64url.ts";
import { err, ok, type Result } from "./result.ts";

/** Part of every signature. Changes if the format of links does. */
export const LINK_VERSION = "keepstream-link-1";

export interface SigningKey {
  readonly kid: string;
  readonly secret: Bytes;
  /** Set on first use. Not a promise, because a request in workerd cannot await another request's promise. */
  derived?: { readonly mac: CryptoKey; readonly seal: CryptoKey; readonly nonce: CryptoKey };
}

/** The first key signs, all of them verify. To rotate, prepend the new key and remove the old one after its links have expired. */
export interface SigningKeys {
  readonly list: readonly SigningKey[];
}

/** Parses `kid:base64url-key[,kid2:key2]` with keys of at least 32 bytes (`openssl rand -base64 32`). */
export function parseSigningKeys(text: string): Result<SigningKeys, string> {
  const list: SigningKey[] = [];
  for (const entry of text.split(",").map((part) => part.trim()).filter((part) => part !== "")) {
    const match = /^([A-Za-z0-9_-]{1,16}):(.+)$/.exec(entry);
    if (match === null) {
      return err("a signing key has the form kid:base64url-key, with a kid of 1–16 letters, digits, - or _");
    }
    const [, kid, text] = match;
    const secret = decodeBase64(text!);
    if (secret === null || secret.length < 32) return err(`signing key ${kid} is not the base64 of at least 32 bytes`);
    if (list.some((key) => key.kid === kid)) return err(`signing key ${kid} is listed twice`);
    list.push({ kid: kid!, secret });
  }
  return list.length === 0 ? err("there is no signing key") : ok({ list });
}

export function utf8(text: string): Bytes {
  // Cloudflare's types return Uint8Array<ArrayBufferLike> here.
  return new TextEncoder().encode(text) as Bytes;
}

export function chooseKey(keys: SigningKeys, kid: string | undefined): SigningKey {
  const key = kid === undefined ? keys.list[0] : keys.list.find((one) => one.kid === kid);
  if (key === undefined) throw new Error("there is no signing key with this kid");
  return key;
}

/** The keys of links: signature, context encryption, nonces. */
export async function deriveLinkKeys(key: SigningKey): Promise<NonNullable<SigningKey["derived"]>> {
  if (key.derived !== undefined) return key.derived;
  const [mac, seal, nonce] = await Promise.all([
    deriveMacKey(key, "mac"),
    deriveBits(key, "seal").then((bits) =>
      crypto.subtle.importKey("raw", bits, "AES-GCM", false, ["encrypt", "decrypt"])
    ),
    deriveMacKey(key, "nonce"),
  ]);
  return key.derived = { mac, seal, nonce };
}

/** A separate HMAC key for each purpose, so that a signature is valid for one purpose only. */
export async function deriveMacKey(
  key: SigningKey,
  purpose: "mac" | "nonce" | "refresh" | "deny-list",
): Promise<CryptoKey> {
  const bits = await deriveBits(key, purpose);
  return await crypto.subtle.importKey("raw", bits, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
}

async function deriveBits(key: SigningKey, purpose: string): Promise<ArrayBuffer> {
  const base = await crypto.subtle.importKey("raw", key.secret, "HKDF", false, ["deriveBits"]);
  const info = utf8(`${LINK_VERSION} ${purpose} ${key.kid}`);
  return await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info }, base, 256);
}
