// A file as MEGA stores it, made by megajs. Example: const { cipher, key } = await encryptLikeMega(bytes).
import { Buffer } from "node:buffer";
import type { Transform } from "node:stream";
import * as megajs from "megajs";

/** The encrypted bytes, and the key that contains the MAC. */
export async function encryptLikeMega(clear: Uint8Array): Promise<{ cipher: Uint8Array<ArrayBuffer>; key: string }> {
  // megajs' own types refer to URLs, so the used part is declared here.
  const encrypt = megajs.encrypt as unknown as (key: Buffer) => Transform & { key: Uint8Array };
  const stream = encrypt(Buffer.from(Uint8Array.from({ length: 24 }, (_, i) => i)));
  const pieces: Uint8Array[] = [];
  stream.on("data", (piece: Uint8Array) => pieces.push(piece));
  const ended = new Promise((done) => stream.on("end", done));
  stream.end(Buffer.from(clear));
  await ended;
  const { key } = stream;
  const cipher = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  pieces.reduce((at, piece) => (cipher.set(piece, at), at + piece.length), 0);
  return { cipher, key: new Uint8Array(key).toBase64({ alphabet: "base64url", omitPadding: true }) };
}
