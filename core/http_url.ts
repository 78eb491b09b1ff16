// A URL that was read from somewhere else, parsed once: http or https, absolute, normalised, without user information.
// The type is the proof: what takes an HttpUrl cannot be handed `javascript:`, `data:`, `file:` or unparsed text.
// Example: parseHttpUrl("//cdn.test/a b.mp4", "https://site.test/") → "https://cdn.test/a%20b.mp4".
// Runs on: Deno, edge runtime, workerd.
import { MAX_URL_LENGTH } from "./url_policy.ts";

declare const brand: unique symbol;

export type HttpUrl = string & { readonly [brand]: "HttpUrl" };

// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Null for every other scheme, for no URL at all, and for one with a control character inside: browsers skip those. */
export function parseHttpUrl(reference: string, base?: string): HttpUrl | null {
  const text = reference.trim();
  if (text === "" || CONTROL.test(text) || !URL.canParse(text, base)) return null;
  const url = new URL(text, base);
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  if (url.username !== "" || url.password !== "" || url.href.length > MAX_URL_LENGTH) return null;
  return url.href as HttpUrl;
}
