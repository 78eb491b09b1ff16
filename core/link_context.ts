// The encrypted part of a signed link: AES-GCM, deterministic, at most 4 KiB as text.
import { type Bytes, decodeBase64, encodeBase64Url } from "./base64url.ts";
import { KeepstreamError } from "./errors.ts";
import { chooseKey, deriveLinkKeys, LINK_VERSION, type SigningKeys, utf8 } from "./signing_keys.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const MAX_SEALED_LENGTH = 4096;
/** Of the context as JSON in UTF-8: the sealed length without base64, nonce and tag. */
const MAX_CONTEXT_BYTES = MAX_SEALED_LENGTH / 4 * 3 - NONCE_BYTES - TAG_BYTES;

/** Inputs of the fetch besides the URL. Encrypted and authenticated: a viewer cannot read or change them. */
export interface LinkContext {
  /** Request headers that the source requires, names in lower case: referer, origin, user-agent. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The Cookie header for the link's own origin: the playlist that lists this URL has set them. */
  readonly cookies?: string;
  /** The 32-byte key of a mega file, base64url as in its link: the body is decrypted while it is streamed. */
  readonly megaKey?: string;
  /** Set for archived files. Without it, the storage accounts' credentials are not used for any URL. */
  readonly archive?: true;
  /**
   * File keys of archives in the directory of the link: it serves no other file. The first is the main one; its multivariant playlist
   * lists the video of the others, too.
   */
  readonly files?: readonly string[];
  /** Set for subtitles of a source: they are served as WebVTT. */
  readonly subtitles?: true;
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

/** AES-GCM with a nonce derived from the content: the same context gives the same text, and different contexts different nonces. */
export async function sealContext(context: LinkContext, keys: SigningKeys, kid?: string): Promise<string> {
  const key = chooseKey(keys, kid);
  const plain = encodeContext(context);
  const { seal, nonce } = await deriveLinkKeys(key);
  const iv = new Uint8Array(await crypto.subtle.sign("HMAC", nonce, plain)).slice(0, NONCE_BYTES);
  const additionalData = new TextEncoder().encode(`${LINK_VERSION} ${key.kid}`);
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
  const message =
    `a link can contain ${MAX_CONTEXT_BYTES} bytes of headers, cookies and variables, not ${bytes.length}`;
  throw new KeepstreamError("too_large", message);
}

export async function openContext(sealed: string, kid: string, seal: CryptoKey): Promise<LinkContext | null> {
  const bytes = decodeBase64(sealed);
  if (bytes === null || bytes.length <= NONCE_BYTES) return null;
  const algorithm = {
    name: "AES-GCM",
    iv: bytes.slice(0, NONCE_BYTES),
    additionalData: new TextEncoder().encode(`${LINK_VERSION} ${kid}`),
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
  readonly c?: string;
  readonly k?: string;
  readonly a?: 1;
  readonly f?: readonly string[];
  readonly s?: 1;
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
    ...(context.cookies === undefined ? {} : { c: context.cookies }),
    ...(megaKey === undefined ? {} : { k: megaKey }),
    ...(context.archive === undefined ? {} : { a: 1 as const }),
    ...(context.files === undefined ? {} : { f: context.files }),
    ...(context.subtitles === undefined ? {} : { s: 1 as const }),
    ...(episode === undefined ? {} : { e: compactEpisode(episode) }),
  };
}

function expand(wire: WireContext): LinkContext {
  return {
    ...(wire.v === undefined ? {} : { variables: Object.fromEntries(wire.v) }),
    ...(wire.h === undefined ? {} : { headers: Object.fromEntries(wire.h) }),
    ...(wire.c === undefined ? {} : { cookies: wire.c }),
    ...(wire.k === undefined ? {} : { megaKey: wire.k }),
    ...(wire.a === undefined ? {} : { archive: true as const }),
    ...(wire.f === undefined ? {} : { files: wire.f }),
    ...(wire.s === undefined ? {} : { subtitles: true as const }),
    ...(wire.e === undefined ? {} : { episode: expandEpisode(wire.e) }),
  };
}

function compactEpisode({ malId, episode, provider, server }: LinkEpisode): WireEpisode {
  return server === undefined ? [malId, episode, provider] : [malId, episode, provider, server];
}

function expandEpisode([malId, episode, provider, server]: WireEpisode): LinkEpisode {
  return { malId, episode, provider, ...(server === undefined ? {} : { server }) };
}

export function isEmpty(context: LinkContext): boolean {
  return Object.keys(compact(context)).length === 0;
}
