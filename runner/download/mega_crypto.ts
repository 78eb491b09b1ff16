/**
 * The cipher and checksum of mega files: AES-128-CTR, and a CBC-MAC per chunk. Pure. Chunks have 128 KiB, 256 KiB, … up to 1 MiB; the
 * last 8 bytes of the key are the condensed MAC of all chunks. https://mega.io/SecurityWhitepaper.pdf §"File encryption".
 */
import { decodeBase64 } from "../../core/base64url.ts";

const BLOCK = 16;
const STEP_BYTES = 128 * 1024;
const MAX_CHUNK_BYTES = 1024 * 1024;

export type MegaKey = {
  readonly ctr: CryptoKey;
  readonly cbc: CryptoKey;
  readonly nonce: Uint8Array<ArrayBuffer>;
  readonly mac: Uint8Array<ArrayBuffer>;
};

export type Chunk = { readonly offset: number; readonly length: number };

/** `text`: 32 bytes as base64url; null if it is not. */
export async function importMegaKey(text: string): Promise<MegaKey | null> {
  const bytes = decodeBase64(text);
  if (bytes === null || bytes.length !== 32) return null;
  const aes = Uint8Array.from({ length: 16 }, (_, i) => bytes[i]! ^ bytes[i + 16]!);
  const [ctr, cbc] = await Promise.all(
    (["AES-CTR", "AES-CBC"] as const).map((name) => crypto.subtle.importKey("raw", aes, name, false, ["encrypt"])),
  );
  return { ctr: ctr!, cbc: cbc!, nonce: bytes.slice(16, 24), mac: bytes.slice(24, 32) };
}

/** Chunk sizes grow by 128 KiB up to 1 MiB. */
export function megaChunks(sizeBytes: number): Chunk[] {
  const chunks: Chunk[] = [];
  for (let offset = 0; offset < sizeBytes;) {
    const length = Math.min(STEP_BYTES * (chunks.length + 1), MAX_CHUNK_BYTES, sizeBytes - offset);
    chunks.push({ offset, length });
    offset += length;
  }
  return chunks;
}

/** `offset` is a multiple of 16. In counter mode, encryption and decryption are the same. */
export async function decryptAt(
  bytes: Uint8Array<ArrayBuffer>,
  offset: number,
  key: MegaKey,
): Promise<Uint8Array<ArrayBuffer>> {
  const counter = new Uint8Array(BLOCK);
  counter.set(key.nonce);
  new DataView(counter.buffer).setBigUint64(8, BigInt(offset / BLOCK));
  return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CTR", counter, length: 64 }, key.ctr, bytes));
}

/** CBC-MAC of a chunk's plain text; the IV is the nonce twice. */
export async function chunkMac(clear: Uint8Array<ArrayBuffer>, key: MegaKey): Promise<Uint8Array<ArrayBuffer>> {
  const iv = new Uint8Array(BLOCK);
  iv.set(key.nonce);
  iv.set(key.nonce, 8);
  const padded = clear.length % BLOCK === 0 ? clear : padded16(clear);
  const cipher = await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key.cbc, padded);
  return new Uint8Array(cipher.slice(padded.length - BLOCK, padded.length)); // the following block is WebCrypto's padding
}

/** Whether the chunks' MACs, in order, condense to the one in the key. */
export async function macMatches(macs: readonly Uint8Array[], key: MegaKey): Promise<boolean> {
  const joined = new Uint8Array(macs.length * BLOCK);
  macs.forEach((mac, i) => joined.set(mac, i * BLOCK));
  const cipher = new Uint8Array(
    await crypto.subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(BLOCK) }, key.cbc, joined),
  );
  const last = cipher.subarray(joined.length - BLOCK, joined.length);
  return key.mac.every((byte, i) => byte === (last[i < 4 ? i : i + 4]! ^ last[i < 4 ? i + 4 : i + 8]!));
}

function padded16(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(Math.ceil(bytes.length / BLOCK) * BLOCK);
  out.set(bytes);
  return out;
}
