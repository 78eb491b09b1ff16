/**
 * Computes the proof of work that the MEGA API may ask for: tries prefixes, one pass of SHA-256 over 12.6 MB each, until a digest is
 * small enough. Between two passes (10 ms) everything else has its turn. Example: `await solveMegaChallenge(challenge, signal)`.
 * Runs on: Deno.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type MegaChallenge, TOKEN_BYTES, TOKEN_REPEATS } from "../../sources/resolvers/mega_challenge.ts";
import { SourceError } from "../../sources/source_error.ts";

/** As many tokens as are hashed at once: 48 KiB stay in the processor's cache. */
const REPEATS_PER_BLOCK = 1024;
/** At 0.4 GB/s, what a processor without SHA instructions does, 99 of 100 are solved by then. */
const LIMIT_MS = 120_000;

/** The prefix, base64url. @throws {SourceError} `blocked` when it takes too long; the signal's reason */
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
