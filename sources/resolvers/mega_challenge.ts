// The proof of work that the MEGA API may require: `1:easiness:time:token` in X-Hashcash of a 402, or in the JSON `[-27, "1:…"]`. The
// solution is a prefix of 4 bytes for which SHA-256 over the prefix and 262,144 times the token begins with a small enough number. The
// request is then repeated with `1:token:prefix` in X-Hashcash.
// Example: "1:192:1765000000:<64 characters>" → { easiness: 192, token: "…" }: some 256 passes over 12.6 MB. Runs on: Deno, edge.
import { type Bytes, decodeBase64 } from "../../core/base64url.ts";

export const TOKEN_BYTES = 48;
export const TOKEN_REPEATS = 262_144;
/** Four times the usual requirement; the minimum easiness would require 470 million. */
export const MAX_EXPECTED_PASSES = 1024;

export interface MegaChallenge {
  /** base64url, as it is sent back to the API. */
  readonly token: string;
  readonly tokenBytes: Bytes;
  /** Maximum of the first 32 bits of the digest. */
  readonly threshold: number;
  readonly expectedPasses: number;
}

/** Computes the prefix, base64url; rejects with the signal's reason. */
export type SolveMegaChallenge = (challenge: MegaChallenge, signal: AbortSignal) => Promise<string>;

/** Null if the format is unknown. */
export function parseMegaChallenge(text: string): MegaChallenge | null {
  const [, digits, token = ""] = /^1:(\d{1,3}):[^:]{0,40}:([A-Za-z0-9_-]{64})$/.exec(text.trim()) ?? [];
  const easiness = Number(digits);
  const tokenBytes = decodeBase64(token);
  if (digits === undefined || easiness > 255 || tokenBytes?.length !== TOKEN_BYTES) return null;
  // A floating-point number in 8 bits: 2 of exponent, 6 of mantissa.
  const threshold = (((easiness & 63) << 1) + 1) * 2 ** ((easiness >> 6) * 7 + 3);
  return { token, tokenBytes, threshold, expectedPasses: 2 ** 32 / (threshold + 1) };
}
