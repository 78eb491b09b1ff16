// Operators authenticate with a secret key of the project, as `apikey` or as a bearer; compared in constant time.
// Example: isOperator(request.headers, ["sb_secret_…"]). Runs on: Deno, edge runtime.
import { equalBytes } from "../../core/equal_bytes.ts";

export async function isOperator(headers: Headers, keys: readonly string[]): Promise<boolean> {
  const bearer = /^bearer (.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  // Both, since clients that were made with a publishable key send it as apikey whatever they send as bearer.
  const offered = [headers.get("apikey"), bearer].filter((key) => key !== undefined && key !== null && key !== "");
  const known = await Promise.all(keys.map(digest));
  // Digests have one length, so the comparison tells nothing about the key.
  const hashes = await Promise.all(offered.map((key) => digest(key!)));
  return hashes.map((hash) => known.map((key) => equalBytes(hash, key)).includes(true)).includes(true);
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
