// Signed proxy links: the functions sign them, the proxy fetches only a URL that is signed, until the link expires.
// Example: https://worker.test/proxy?url=https%3A%2F%2Fcdn.test%2Fa%2Fm.m3u8&exp=1767225600&sc=1&sig=k1.Zm9v…
//
// Two scopes. Exact: the signature covers the URL. With sc=n, it covers the origin and the first n directories, so that one
// signature is valid for every segment of a playlist. Other inputs of the fetch (request headers, the key of an encrypted file, the
// episode) are encrypted in x. Signing is deterministic: the same inputs give the same link.
import { decodeBase64, encodeBase64Url } from "./base64url.ts";
import { equalBytes } from "./equal_bytes.ts";
import { isEmpty, type LinkContext, MAX_SEALED_LENGTH, openContext, sealContext } from "./link_context.ts";
import { LruCache } from "./lru_cache.ts";
import { err, ok, type Result } from "./result.ts";
import { chooseKey, deriveLinkKeys, LINK_VERSION, type SigningKey, type SigningKeys, utf8 } from "./signing_keys.ts";
import { MAX_URL_LENGTH } from "./url_policy.ts";

export { isEmpty, type LinkContext, type LinkEpisode, sealContext } from "./link_context.ts";
export { parseSigningKeys, type SigningKey, type SigningKeys } from "./signing_keys.ts";

const MAC_BYTES = 16;
const MAX_VERIFIED = 500;
/** Verified signatures with their contexts: all segments of a playlist have the same signature. */
const verifiedContexts = new WeakMap<SigningKeys, LruCache<LinkContext>>();
/** A scope below deeper directories covers the first 32. */
export const MAX_SCOPE_DIRECTORIES = 32;

export type LinkError =
  | "missing_url"
  | "invalid_url"
  | "too_long"
  | "unsigned"
  | "malformed"
  | "unknown_key"
  | "bad_signature"
  | "expired";

export interface VerifiedLink {
  /** The URL to fetch, without its fragment. */
  readonly url: URL;
  readonly expiresAt: number;
  /** The key that signed the link, and signs its children. */
  readonly kid: string;
  readonly context: LinkContext;
  /** null: exact. Otherwise the prefix of every URL in scope, `https://cdn.test/a/`. */
  readonly scope: string | null;
  /** The link's own `exp=…&sc=…&x=…&sig=…`, valid for every URL in scope. */
  readonly tail: string;
  readonly sealed: string | null;
}

export interface SignLinkOptions {
  /** `https://worker.test`, optionally with a path; `/proxy` is appended. */
  readonly proxyBaseUrl: string;
  readonly url: string;
  /** Unix seconds, from linkExpiry. */
  readonly expiresAt: number;
  /** Number of leading directories that the signature covers. @default an exact signature */
  readonly scopeDirectories?: number;
  readonly context?: LinkContext;
  readonly keys: SigningKeys;
}

/**
 * The expiry of a link signed now: `ttlSeconds` from now, rounded up to a multiple of a quarter of it. Links signed within a quarter
 * are identical, so that the responses can be cached.
 */
export function linkExpiry(nowSeconds: number, ttlSeconds: number): number {
  const step = Math.max(1, Math.floor(ttlSeconds / 4));
  return Math.ceil((nowSeconds + ttlSeconds) / step) * step;
}

/** Number of directories in a URL's path: 2 for https://cdn.test/a/b/m.m3u8. */
export function directoryCount(url: URL): number {
  return url.pathname.split("/").length - 2;
}

/**
 * Signs a URL; throws if it is invalid or has fewer directories than the scope. If the context is too large, the episode's `server`
 * is left out; if it still is, throws a KeepstreamError `too_large`.
 */
export async function signLink(options: SignLinkOptions): Promise<string> {
  const url = withoutFragment(new URL(options.url));
  const { keys, expiresAt, scopeDirectories, context } = options;
  const sealed = context === undefined || isEmpty(context) ? null : await sealContext(context, keys);
  const tail = await signTail(url, { keys, expiresAt, sealed, scopeDirectories: scopeDirectories ?? null });
  return `${options.proxyBaseUrl.replace(/\/+$/, "")}/proxy?url=${encodeURIComponent(url.href)}&${tail}`;
}

/** `exp=…[&sc=…][&x=…]&sig=…` for one URL (scopeDirectories null) or its first n directories. */
export async function signTail(
  url: URL,
  options: {
    readonly keys: SigningKeys;
    readonly expiresAt: number;
    readonly scopeDirectories: number | null;
    readonly sealed: string | null;
    /** A child is signed with its parent's key, because x was sealed with it. @default the first key */
    readonly kid?: string;
  },
): Promise<string> {
  const { keys, expiresAt, scopeDirectories, sealed } = options;
  const key = chooseKey(keys, options.kid);
  const subject = scopeDirectories === null ? url.href : scopePrefix(url, scopeDirectories);
  if (subject === null) {
    throw new Error(`the URL does not have ${scopeDirectories} directories without encoded separators`);
  }
  const message = utf8(macText({ kid: key.kid, scopeDirectories, expiresAt, sealed, subject }));
  const { mac } = await deriveLinkKeys(key);
  const bytes = new Uint8Array(await crypto.subtle.sign("HMAC", mac, message)).subarray(0, MAC_BYTES);
  const parts = [`exp=${expiresAt}`];
  if (scopeDirectories !== null) parts.push(`sc=${scopeDirectories}`);
  if (sealed !== null) parts.push(`x=${sealed}`);
  parts.push(`sig=${key.kid}.${encodeBase64Url(bytes)}`);
  return parts.join("&");
}

/** Verifies a request's URL; `now` in unix seconds. Other query parameters are ignored. */
export async function verifyLink(
  requestUrl: URL,
  keys: SigningKeys,
  now: number,
): Promise<Result<VerifiedLink, LinkError>> {
  const query = requestUrl.searchParams;
  const target = query.get("url");
  if (target === null || target === "") return err("missing_url");
  if (target.length > MAX_URL_LENGTH) return err("too_long");
  const url = parseUrl(target);
  if (url === null) return err("invalid_url");

  const sig = query.get("sig");
  const exp = query.get("exp");
  if (sig === null || exp === null) return err("unsigned");
  const sc = query.get("sc");
  const sealed = query.get("x");
  const signature = /^([A-Za-z0-9_-]{1,16})\.([A-Za-z0-9_-]{22})$/.exec(sig);
  if (signature === null || !/^\d{1,11}$/.test(exp) || !(sc === null || /^\d{1,2}$/.test(sc))) return err("malformed");
  if (sealed !== null && !/^[A-Za-z0-9_-]+$/.test(sealed)) return err("malformed");
  if ((sealed?.length ?? 0) > MAX_SEALED_LENGTH) return err("malformed");

  const key = keys.list.find((one) => one.kid === signature[1]);
  if (key === undefined) return err("unknown_key");
  const scopeDirectories = sc === null ? null : Number(sc);
  const scope = scopeDirectories === null ? null : scopePrefix(url, scopeDirectories);
  if (scopeDirectories !== null && scope === null) return err("bad_signature");

  const expiresAt = Number(exp);
  const message = macText({ kid: key.kid, scopeDirectories, expiresAt, sealed, subject: scope ?? url.href });
  const context = await verifiedContext(message, { signature: signature[2]!, sealed, key, keys });
  if (context === null) return err("bad_signature");
  if (now >= expiresAt) return err("expired");
  const tail = [`exp=${expiresAt}`, sc === null ? "" : `&sc=${scopeDirectories}`, sealed === null ? "" : `&x=${sealed}`]
    .join("") + `&sig=${sig}`;
  return ok({ url, expiresAt, kid: key.kid, context, scope, tail, sealed });
}

/**
 * Origin and first n directories, `https://cdn.test/a/`; null if there are fewer, or if the path contains an encoded separator or
 * dot, with which a server that decodes the path first could leave the directory.
 */
export function scopePrefix(url: URL, directories: number): string | null {
  if (directories > MAX_SCOPE_DIRECTORIES || hasEncodedSeparator(url.pathname)) return null;
  const path = url.pathname;
  let end = 0;
  for (let n = 0; n < directories; n++) {
    end = path.indexOf("/", end + 1);
    if (end === -1) return null;
  }
  return url.origin + path.slice(0, end + 1);
}

/**
 * Whether a path contains characters that some servers treat as a separator or dot: `%2f`, `%5c`, `%2e`, `%c0` and `%c1` (the
 * first bytes of overlong UTF-8), one of these encoded again, a backslash, or `..;`.
 */
export function hasEncodedSeparator(path: string): boolean {
  return path.includes("\\") || path.includes("..;") ||
    (path.includes("%") && /%(?:25)*(?:2f|5c|2e|c[01])/i.test(path));
}

/** The context of a valid signature; null for an invalid one. */
async function verifiedContext(
  message: string,
  { signature, sealed, key, keys }: {
    readonly signature: string;
    readonly sealed: string | null;
    readonly key: SigningKey;
    readonly keys: SigningKeys;
  },
): Promise<LinkContext | null> {
  const cacheKey = `${signature}\n${message}`;
  let cache = verifiedContexts.get(keys);
  if (cache === undefined) verifiedContexts.set(keys, cache = new LruCache({ maxEntries: MAX_VERIFIED }));
  const verified = cache.get(cacheKey);
  if (verified !== undefined) return verified;
  const { mac, seal } = await deriveLinkKeys(key);
  const whole = new Uint8Array(await crypto.subtle.sign("HMAC", mac, utf8(message)));
  if (!equalBytes(whole.subarray(0, MAC_BYTES), decodeBase64(signature))) return null;
  const context = sealed === null ? {} : await openContext(sealed, key.kid, seal);
  if (context === null) return null;
  cache.set(cacheKey, context);
  return context;
}

function macText(parts: {
  readonly kid: string;
  readonly scopeDirectories: number | null;
  readonly expiresAt: number;
  readonly sealed: string | null;
  readonly subject: string;
}): string {
  const mode = parts.scopeDirectories === null ? "exact" : `scope ${parts.scopeDirectories}`;
  // No part can contain a newline: kid, x and exp by their syntax, the subject because URL removes it.
  return [LINK_VERSION, parts.kid, mode, parts.expiresAt, parts.sealed ?? "", parts.subject].join("\n");
}

function parseUrl(text: string): URL | null {
  try {
    return withoutFragment(new URL(text));
  } catch {
    return null;
  }
}

function withoutFragment(url: URL): URL {
  // A fragment is not sent to servers, so it is not part of the link.
  if (url.hash !== "" || url.href.endsWith("#")) url.hash = "";
  return url;
}
