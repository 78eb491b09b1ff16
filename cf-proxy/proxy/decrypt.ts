// Decrypts mega files while streaming: with AES-128-CTR, any byte can be decrypted given its position.
// Example: Range: bytes=100-199 is forwarded unchanged; the Content-Range of the response sets the counter.
// The only place where JavaScript touches media bytes: up to 2 MiB at a time, written to a fixed-length stream.
import { decodeBase64 } from "../../core/base64url.ts";
import { parseContentRange } from "../../core/http/range.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { badGateway, type Problem } from "../http/problem.ts";

/** Each chunk has a fixed cost of a quarter of a millisecond. The first ones are small, so that a slow source starts to play. */
const [FIRST_CHUNK_BYTES, CHUNK_BYTES] = [64 * 1024, 2 * 1024 * 1024];
/** All streams of an isolate share 128 MiB: with many of them, chunks are smaller. */
const [FEW_STREAMS, SMALL_CHUNK_BYTES] = [6, 512 * 1024];
let streams = 0;
const BLOCK_BYTES = 16;

export interface MegaKey {
  readonly aes: Uint8Array<ArrayBuffer>;
  /** First half of the counter block; the second half is the block's number. */
  readonly nonce: Uint8Array<ArrayBuffer>;
}

/** The 32 bytes of a mega link: AES key = first half xor second half, nonce = bytes 16 to 23. */
export function parseMegaKey(text: string): MegaKey | null {
  const bytes = decodeBase64(text);
  if (bytes === null || bytes.length !== 32) return null;
  return { aes: Uint8Array.from({ length: 16 }, (_, i) => bytes[i]! ^ bytes[i + 16]!), nonce: bytes.slice(16, 24) };
}

/** The source's 200 or 206 with its body decrypted; other responses unchanged. */
export function decryptResponse(response: Response, keyText: string): Result<Response, Problem> {
  if (response.status !== 200 && response.status !== 206) return ok(response);
  const key = parseMegaKey(keyText);
  if (key === null) return err(badGateway("bad_key", "the key in the link is not a mega key"));
  const range = parseContentRange(response.headers.get("content-range"));
  if (response.status === 206 && range?.span == null) {
    // Multipart, or without Content-Range.
    return err(badGateway("unknown_position", "the source sent a part of the file without its position"));
  }
  const headers = new Headers(response.headers);
  headers.set("content-type", "video/mp4");
  const length = Number(headers.get("content-length") ?? NaN);
  const start = range?.span?.start ?? 0;
  if (response.body === null) return ok(new Response(null, { status: response.status, headers }));
  const { readable, writable } = Number.isSafeInteger(length)
    ? new FixedLengthStream(length)
    : new IdentityTransformStream();
  // Rejects if the viewer disconnects; the source is cancelled then, and there is no response to report it in.
  decryptInto(response.body, writable, { key, start }).catch(() => {});
  return ok(new Response(readable, { status: response.status, headers }));
}

async function decryptInto(
  body: ReadableStream,
  writable: WritableStream,
  { key, start }: { readonly key: MegaKey; readonly start: number },
): Promise<void> {
  const reader = body.getReader({ mode: "byob" });
  const writer = writable.getWriter();
  streams++;
  try {
    const aes = await crypto.subtle.importKey("raw", key.aes, "AES-CTR", false, ["decrypt"]);
    let position = start;
    let buffer = new ArrayBuffer(FIRST_CHUNK_BYTES);
    for (;;) {
      // The first chunk ends at a block boundary, so that all later ones start at one.
      const length = buffer.byteLength - (position % BLOCK_BYTES);
      const { done, value } = await reader.readAtLeast(length, new Uint8Array(buffer, 0, length));
      if (value !== undefined && value.byteLength > 0) {
        await writer.write(await decryptAt(value, position, { aes, nonce: key.nonce }));
        position += value.byteLength;
      }
      if (done || value === undefined) break;
      // The read transfers the buffer and returns it with the chunk; after decryption it can be reused.
      const { byteLength } = value.buffer;
      const size = Math.min(2 * byteLength, streams > FEW_STREAMS ? SMALL_CHUNK_BYTES : CHUNK_BYTES);
      buffer = byteLength === size ? value.buffer as ArrayBuffer : new ArrayBuffer(size);
    }
    await writer.close();
  } catch (error) {
    await Promise.allSettled([reader.cancel(error), writer.abort(error)]);
    throw error;
  } finally {
    streams--;
  }
}

/** Decrypts bytes that start at `position` of the file. */
async function decryptAt(
  bytes: Uint8Array,
  position: number,
  { aes, nonce }: { readonly aes: CryptoKey; readonly nonce: Uint8Array },
): Promise<Uint8Array> {
  const lead = position % BLOCK_BYTES;
  const counter = new Uint8Array(BLOCK_BYTES);
  counter.set(nonce);
  new DataView(counter.buffer).setBigUint64(8, BigInt(Math.floor(position / BLOCK_BYTES)));
  let cipher = bytes;
  // The counter addresses whole blocks: padding in front moves the bytes to their place in the first one.
  if (lead > 0) {
    cipher = new Uint8Array(lead + bytes.byteLength);
    cipher.set(bytes, lead);
  }
  const plain = await crypto.subtle.decrypt({ name: "AES-CTR", counter, length: 64 }, aes, cipher);
  return new Uint8Array(plain, lead);
}
