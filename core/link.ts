// Signed proxy links: the functions sign them, the proxy fetches only a URL that is signed, until the link expires.
// Example: https://worker.test/proxy?url=https%3A%2F%2Fcdn.test%2Fa%2Fm.m3u8&exp=1767225600&sc=1&sig=k1.Zm9v…
//
// Two scopes. Exact: the signature covers the URL. With sc=n, it covers the origin and the first n directories, so that one
// signature is valid for every segment of a playlist. Other inputs of the fetch (request headers, the key of an encrypted file, the
// episode) are encrypted in x. Signing is deterministic: the same inputs give the same link.
import { type Bytes, decodeBase64, encodeBase64Url } from "./base64url.ts";
import { equalBytes } from "./equal_bytes.ts";
import { KeepstreamError } from "./errors.ts";
import { LruCache } from "./lru_cache.ts";
import { err, ok, type Result } from "./result.ts";
import { MAX_URL_LENGTH } from "./url_policy.ts";

const VERSION = "keepstream-link-1";
const MAC_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MAX_SEALED_LENGTH = 4096;
/** Of the context as JSON in UTF-8: the sealed length without base64, nonce and tag. */
const MAX_CONTEXT_BYTES = MAX_SEALED_LENGTH / 4 * 3 - NONCE_BYTES - TAG_BYTES;
const MAX_VERIFIED = 500;
/** A scope below deeper directories covers the first 32. */
export const MAX_SCOPE_DIRECTORIES = 32;

/** Inputs of the fetch besides the URL. Encrypted and authenticated: a viewer cannot read or change them. */
export interface LinkContext {
  /** Request headers that the source requires, names in lower case: referer, origin, user-agent. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The 32-byte key of a mega file, base64url as in its link: the body is decrypted while it is streamed. */
  readonly megaKey?: string;
  /** Set for archived files. Without it, the storage accounts' credentials are not used for any URL. */
  readonly archive?: true;
  readonly episode?: LinkEpisode;
  /** EXT-X-DEFINE variables that a multivariant playlist passes on to this media playlist. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** The episode that a link plays: for takedowns and, with the server, for failover. */
export interface LinkEpisode {
  readonly malId: number;
  readonly episode: number;
  readonly provider: string;
  /** The server's embed URL, `url` in the public response. Left out if it does not fit into the link. */
  readonly server?: string;
}

export interface SigningKey {
  readonly kid: string;
  readonly secret: Bytes;
  /** Set on first use. Not a promise, because a request in workerd cannot await another request's promise. */
  derived?: { readonly mac: CryptoKey; readonly seal: CryptoKey; readonly nonce: CryptoKey };
}

/** The first key signs, all of them verify. To rotate, prepend the new key and remove the old one after its links have expired. */
export interface SigningKeys {
  readonly list: readonly SigningKey[];
  /** Verified signatures with their contexts: all segments of a playlist have the same signature. */
  readonly verified: LruCache<LinkContext>;
}

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
  return list.length === 0
    ? err("there is no signing key")
    : ok({ list, verified: new LruCache({ maxEntries: MAX_VERIFIED }) });
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
  const { mac } = await derive(key);
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
  const verified = keys.verified.get(cacheKey);
  if (verified !== undefined) return verified;
  const { mac, seal } = await derive(key);
  const whole = new Uint8Array(await crypto.subtle.sign("HMAC", mac, utf8(message)));
  if (!equalBytes(whole.subarray(0, MAC_BYTES), decodeBase64(signature))) return null;
  const context = sealed === null ? {} : await openContext(sealed, key.kid, seal);
  if (context === null) return null;
  keys.verified.set(cacheKey, context);
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
  return [VERSION, parts.kid, mode, parts.expiresAt, parts.sealed ?? "", parts.subject].join("\n");
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

async function derive(key: SigningKey): Promise<NonNullable<SigningKey["derived"]>> {
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
  const info = utf8(`${VERSION} ${purpose} ${key.kid}`);
  return await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info }, base, 256);
}

/** AES-GCM with a nonce derived from the content: the same context gives the same text, and different contexts different nonces. */
export async function sealContext(context: LinkContext, keys: SigningKeys, kid?: string): Promise<string> {
  const key = chooseKey(keys, kid);
  const plain = encodeContext(context);
  const { seal, nonce } = await derive(key);
  const iv = new Uint8Array(await crypto.subtle.sign("HMAC", nonce, plain)).slice(0, NONCE_BYTES);
  const additionalData = new TextEncoder().encode(`${VERSION} ${key.kid}`);
  const box = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, seal, plain));
  const bytes = new Uint8Array(NONCE_BYTES + box.length);
  bytes.set(iv);
  bytes.set(box, NONCE_BYTES);
  return encodeBase64Url(bytes);
}

/**
 * Leaves the server out if the context is too large: the link then has no failover, but still plays. Title and episode stay, because
 * takedowns need them.
 */
function encodeContext(context: LinkContext): Bytes {
  const bytes = utf8(JSON.stringify(compact(context)));
  if (bytes.length <= MAX_CONTEXT_BYTES) return bytes;
  if (context.episode?.server !== undefined) {
    const { server: _server, ...episode } = context.episode;
    return encodeContext({ ...context, episode });
  }
  const message = `a link can contain ${MAX_CONTEXT_BYTES} bytes of headers and variables, not ${bytes.length}`;
  throw new KeepstreamError("too_large", message);
}

async function openContext(sealed: string, kid: string, seal: CryptoKey): Promise<LinkContext | null> {
  const bytes = decodeBase64(sealed);
  if (bytes === null || bytes.length <= NONCE_BYTES) return null;
  const algorithm = {
    name: "AES-GCM",
    iv: bytes.slice(0, NONCE_BYTES),
    additionalData: new TextEncoder().encode(`${VERSION} ${kid}`),
  };
  try {
    const plain = await crypto.subtle.decrypt(algorithm, seal, bytes.slice(NONCE_BYTES));
    return expand(JSON.parse(new TextDecoder().decode(plain)));
  } catch {
    // The MAC is valid, so another version of this code sealed the context: the link is no longer valid.
    return null;
  }
}

/** Short names keep links short; the fixed order gives equal contexts equal links. */
interface WireContext {
  readonly v?: readonly (readonly [string, string])[];
  readonly h?: readonly (readonly [string, string])[];
  readonly k?: string;
  readonly a?: 1;
  readonly e?: WireEpisode;
}

type WireEpisode = readonly [malId: number, episode: number, provider: string, server?: string];

function compact(context: LinkContext): WireContext {
  const headers = Object.entries(context.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const);
  const { episode, megaKey } = context;
  const variables = Object.entries(context.variables ?? {});
  return {
    ...(variables.length === 0 ? {} : { v: variables }),
    ...(headers.length === 0 ? {} : { h: headers.sort(([a], [b]) => (a < b ? -1 : 1)) }),
    ...(megaKey === undefined ? {} : { k: megaKey }),
    ...(context.archive === undefined ? {} : { a: 1 as const }),
    ...(episode === undefined ? {} : { e: compactEpisode(episode) }),
  };
}

function expand(wire: WireContext): LinkContext {
  return {
    ...(wire.v === undefined ? {} : { variables: Object.fromEntries(wire.v) }),
    ...(wire.h === undefined ? {} : { headers: Object.fromEntries(wire.h) }),
    ...(wire.k === undefined ? {} : { megaKey: wire.k }),
    ...(wire.a === undefined ? {} : { archive: true as const }),
    ...(wire.e === undefined ? {} : { episode: expandEpisode(wire.e) }),
  };
}

function compactEpisode({ malId, episode, provider, server }: LinkEpisode): WireEpisode {
  return server === undefined ? [malId, episode, provider] : [malId, episode, provider, server];
}

function expandEpisode([malId, episode, provider, server]: WireEpisode): LinkEpisode {
  return { malId, episode, provider, ...(server === undefined ? {} : { server }) };
}

function isEmpty(context: LinkContext): boolean {
  return Object.keys(compact(context)).length === 0;
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
