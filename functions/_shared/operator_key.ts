// Authenticates operators by a secret key of the project, in `apikey` or as a bearer token; compared in constant time.
// Example: isOperator(request.headers, ["sb_secret_…"]). Runs on: Deno, edge runtime.
import { equalBytes } from "../../core/equal_bytes.ts";

export async function isOperator(headers: Headers, keys: readonly string[]): Promise<boolean> {
  const bearer = /^bearer (.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  // Both headers: a client that was created with a publishable key always sends that one as apikey.
  const offered = [headers.get("apikey"), bearer].filter((key) => key !== undefined && key !== null && key !== "");
  const known = await Promise.all(keys.map(digest));
  // Digests have equal lengths, so the comparison does not leak the length of the key.
  const hashes = await Promise.all(offered.map((key) => digest(key!)));
  return hashes.map((hash) => known.map((key) => equalBytes(hash, key)).includes(true)).includes(true);
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
