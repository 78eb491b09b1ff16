// Decrypts mega files on the way: AES-128-CTR, so any byte can be decrypted from its position alone.
// Example: Range: bytes=100-199 goes to the source as it is; its 206 says where it starts, and that sets the counter.
// Runs on: workerd. The only place where JavaScript touches media bytes: up to 2 MiB at a time, straight into a fixed-length stream.
import { decodeBase64 } from "../../core/base64url.ts";
import { parseContentRange } from "../../core/http/range.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { Problem } from "../http/problem.ts";
import { badGateway } from "../http/upstream.ts";

/** Every piece costs a quarter of a millisecond beyond its bytes; the first are small, so that a slow source begins to play. */
const [FIRST_PIECE_BYTES, PIECE_BYTES] = [64 * 1024, 2 * 1024 * 1024];
/** Every viewer holds some pieces, and an isolate has 128 MiB for all: where there are many, theirs are smaller. */
const [FEW_VIEWERS, SMALL_PIECE_BYTES] = [6, 512 * 1024];
let viewers = 0;
const BLOCK_BYTES = 16;

export interface MegaKey {
  readonly aes: Uint8Array<ArrayBuffer>;
  /** First half of the counter block; the second is the block's number. */
  readonly nonce: Uint8Array<ArrayBuffer>;
}

/** The 32 bytes of a mega link: AES key = first half xor second half, nonce = bytes 16 to 23. */
export function parseMegaKey(text: string): MegaKey | null {
  const bytes = decodeBase64(text);
  if (bytes === null || bytes.length !== 32) return null;
  return { aes: Uint8Array.from({ length: 16 }, (_, i) => bytes[i]! ^ bytes[i + 16]!), nonce: bytes.slice(16, 24) };
}

/** The source's answer with its body decrypted; answers that are no part of the file stay as they are. */
export function decryptResponse(response: Response, keyText: string): Result<Response, Problem> {
  if (response.status !== 200 && response.status !== 206) return ok(response);
  const key = parseMegaKey(keyText);
  if (key === null) return err(badGateway("bad_key", "the link's key is not a mega key"));
  const range = parseContentRange(response.headers.get("content-range"));
  if (response.status === 206 && range?.span == null) {
    // Several ranges in one body, or none named: the position is unknown.
    return err(badGateway("unknown_position", "the source did not say which part of the file it sent"));
  }
  const headers = new Headers(response.headers);
  headers.set("content-type", "video/mp4");
  const length = Number(headers.get("content-length") ?? NaN);
  const start = range?.span?.start ?? 0;
  if (response.body === null) return ok(new Response(null, { status: response.status, headers }));
  const { readable, writable } = Number.isSafeInteger(length)
    ? new FixedLengthStream(length)
    : new IdentityTransformStream();
  // A viewer who leaves breaks the writing side, which cancels the source; there is nobody to tell.
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
  viewers++;
  try {
    const aes = await crypto.subtle.importKey("raw", key.aes, "AES-CTR", false, ["decrypt"]);
    let position = start;
    let buffer = new ArrayBuffer(FIRST_PIECE_BYTES);
    for (;;) {
      // The first piece ends on a block's edge, so that all later ones begin on one.
      const wanted = buffer.byteLength - (position % BLOCK_BYTES);
      const { done, value } = await reader.readAtLeast(wanted, new Uint8Array(buffer, 0, wanted));
      if (value !== undefined && value.byteLength > 0) {
        await writer.write(await decryptAt(value, position, { aes, nonce: key.nonce }));
        position += value.byteLength;
      }
      if (done || value === undefined) break;
      // A buffer of the right size comes back with every piece, and its bytes are done with once they are decrypted.
      const { byteLength } = value.buffer;
      const size = Math.min(2 * byteLength, viewers > FEW_VIEWERS ? SMALL_PIECE_BYTES : PIECE_BYTES);
      buffer = byteLength === size ? value.buffer as ArrayBuffer : new ArrayBuffer(size);
    }
    await writer.close();
  } catch (error) {
    await Promise.allSettled([reader.cancel(error), writer.abort(error)]);
    throw error;
  } finally {
    viewers--;
  }
}

/** Plain bytes of cipher bytes that stand at `position` of the file. */
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
  if (lead > 0) {
    cipher = new Uint8Array(lead + bytes.byteLength);
    cipher.set(bytes, lead);
  }
  const plain = await crypto.subtle.decrypt({ name: "AES-CTR", counter, length: 64 }, aes, cipher);
  return new Uint8Array(plain, lead);
}
