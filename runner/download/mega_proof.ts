/**
 * Computes the proof of work that the MEGA API may require: tries prefixes, each with a SHA-256 over 12.6 MB (10 ms), until a digest is
 * small enough. Yields to the event loop between tries. Example: `await solveMegaChallenge(challenge, signal)`.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type MegaChallenge, TOKEN_BYTES, TOKEN_REPEATS } from "../../sources/resolvers/mega_challenge.ts";
import { SourceError } from "../../sources/source_error.ts";

/** Tokens per hash update: 48 KiB fit into the processor's cache. */
const REPEATS_PER_BLOCK = 1024;
/** Without SHA instructions (0.4 GB/s), 99 % of the challenges are solved within this time. */
const LIMIT_MS = 120_000;

/** The prefix, base64url. @throws {SourceError} `blocked` after the time limit; the signal's reason if aborted */
export async function solveMegaChallenge(
  { tokenBytes, threshold }: MegaChallenge,
  signal: AbortSignal,
): Promise<string> {
  const block = new Uint8Array(TOKEN_BYTES * REPEATS_PER_BLOCK);
  for (let at = 0; at < block.length; at += TOKEN_BYTES) block.set(tokenBytes, at);
  const prefix = Buffer.alloc(4);
  const end = performance.now() + LIMIT_MS;
  for (let tried = 0; performance.now() < end; tried++) {
    signal.throwIfAborted();
    prefix.writeUInt32BE(tried);
    const hash = createHash("sha256").update(prefix);
    for (let count = 0; count < TOKEN_REPEATS; count += REPEATS_PER_BLOCK) hash.update(block);
    if (hash.digest().readUInt32BE() <= threshold) return prefix.toString("base64url");
    await new Promise((done) => setTimeout(done, 0));
  }
  throw new SourceError("blocked", "the API's proof of work was not solved in two minutes", { retryAfterSeconds: 60 });
}
