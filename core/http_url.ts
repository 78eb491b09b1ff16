// A URL of external origin, parsed and normalized once: absolute, http or https, without user information.
// The branded type keeps `javascript:`, `data:`, `file:` and unparsed text out of functions that take an HttpUrl.
// Example: parseHttpUrl("//cdn.test/a b.mp4", "https://site.test/") → "https://cdn.test/a%20b.mp4".
import { MAX_URL_LENGTH } from "./url_policy.ts";

declare const brand: unique symbol;

export type HttpUrl = string & { readonly [brand]: "HttpUrl" };

// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Null for other schemes, invalid URLs, and URLs with a control character, which the URL parser would remove. */
export function parseHttpUrl(reference: string, base?: string): HttpUrl | null {
  const text = reference.trim();
  if (text === "" || CONTROL.test(text) || !URL.canParse(text, base)) return null;
  const url = new URL(text, base);
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  if (url.username !== "" || url.password !== "" || url.href.length > MAX_URL_LENGTH) return null;
  return url.href as HttpUrl;
}
