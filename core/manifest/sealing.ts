/**
 * Seals the text of a manifest, so that only the operator can read what is archived. Format `keepstream-manifest`, version 1:
 * `{"format":"keepstream-manifest","version":1,"kid":"…","iv":"…","sealed":"…"}`, AES-256-GCM with a key from HF_FILE_SALT.
 * Example: `await unsealText(await sealText("{}", await manifestKey(salt)), [await manifestKey(salt)])` → "{}".
 */
import { type Bytes, decodeBase64, encodeBase64 } from "../base64url.ts";
import { KeepstreamError } from "../errors.ts";
import { parseJsonObject } from "../json_object.ts";

export const MANIFEST_FORMAT = "keepstream-manifest";
export const MANIFEST_VERSION = 1;
/** Of a manifest with the most tracks and chapters, and some more. */
export const MAX_MANIFEST_BYTES = 1024 * 1024;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const KID = /^[0-9a-f]{16}$/;

export interface ManifestKey {
  /** Tells which salt a manifest was sealed with, and nothing else about it. */
  readonly kid: string;
  readonly seal: CryptoKey;
  readonly nonce: CryptoKey;
}

export async function manifestKey(fileSalt: string): Promise<ManifestKey> {
  const base = await crypto.subtle.importKey("raw", utf8(fileSalt), "HKDF", false, ["deriveBits"]);
  const derive = (purpose: string, bits: number) => {
    const info = utf8(`${MANIFEST_FORMAT} ${MANIFEST_VERSION} ${purpose}`);
    return crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info }, base, bits);
  };
  const [kid, seal, nonce] = await Promise.all([derive("kid", 64), derive("seal", 256), derive("nonce", 256)]);
  return {
    kid: Array.from(new Uint8Array(kid), (byte) => byte.toString(16).padStart(2, "0")).join(""),
    seal: await crypto.subtle.importKey("raw", seal, "AES-GCM", false, ["encrypt", "decrypt"]),
    nonce: await crypto.subtle.importKey("raw", nonce, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]),
  };
}

/** The same text and key give the same envelope, so that a repeated upload changes nothing. The IV is a MAC of the text. */
export async function sealText(text: string, key: ManifestKey): Promise<string> {
  const plain = utf8(text);
  const iv = new Uint8Array(await crypto.subtle.sign("HMAC", key.nonce, plain)).slice(0, IV_BYTES);
  const sealed = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv, additionalData: boundTo(key.kid) },
    key.seal,
    plain,
  );
  const envelope = {
    format: MANIFEST_FORMAT,
    version: MANIFEST_VERSION,
    kid: key.kid,
    iv: encodeBase64(iv),
    sealed: encodeBase64(new Uint8Array(sealed)),
  };
  return `${JSON.stringify(envelope)}\n`;
}

/** `keys`: of the salt, then of former salts. @throws {KeepstreamError} whose message says what is wrong with the manifest. */
export async function unsealText(envelope: string, keys: readonly ManifestKey[]): Promise<string> {
  if (envelope.length > MAX_MANIFEST_BYTES) {
    throw new KeepstreamError(
      "too_large",
      `a manifest has at most ${MAX_MANIFEST_BYTES} bytes; this is not one of keepstream`,
    );
  }
  const { format, version, kid, iv, sealed } = parseJsonObject(envelope) ?? {};
  if (format !== MANIFEST_FORMAT) throw refused(`it is not JSON with "format":"${MANIFEST_FORMAT}"`);
  if (version !== MANIFEST_VERSION) {
    throw new KeepstreamError(
      "unsupported",
      `the manifest has version ${short(version)}: read it with a newer release of keepstream`,
    );
  }
  if (typeof kid !== "string" || !KID.test(kid)) throw refused("its key id is not 16 hex digits");
  const ivBytes = bytesOf(iv);
  const sealedBytes = bytesOf(sealed);
  if (ivBytes?.length !== IV_BYTES) throw refused(`its iv is not ${IV_BYTES} bytes in base64`);
  if (sealedBytes === null || sealedBytes.length < TAG_BYTES) throw refused("its sealed part is not base64");
  const key = keys.find((candidate) => candidate.kid === kid);
  if (key === undefined) {
    throw refused(`it was sealed with another HF_FILE_SALT (key id ${kid}): use the salt it was written with`);
  }
  try {
    const algorithm = { name: "AES-GCM", iv: ivBytes, additionalData: boundTo(kid) };
    return new TextDecoder("utf-8", { fatal: true }).decode(
      await crypto.subtle.decrypt(algorithm, key.seal, sealedBytes),
    );
  } catch (cause) {
    throw refused("it was changed after it was sealed", cause);
  }
}

/** A manifest that cannot be used. */
export function refused(why: string, cause?: unknown): KeepstreamError {
  return new KeepstreamError("invalid_input", `the manifest is refused: ${why}`, cause === undefined ? {} : { cause });
}

function boundTo(kid: string): Bytes {
  return utf8(`${MANIFEST_FORMAT} ${MANIFEST_VERSION} ${kid}`);
}

function bytesOf(value: unknown): Bytes | null {
  return typeof value === "string" ? decodeBase64(value) : null;
}

function short(value: unknown): string {
  return (JSON.stringify(value) ?? "none").slice(0, 20);
}

function utf8(text: string): Bytes {
  return new TextEncoder().encode(text) as Bytes;
}
