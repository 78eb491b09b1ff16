// The address that an iframe's HTML leads to, or the bare address where a site answers with nothing else.
// Example: iframeUrl('<IFRAME SRC="//player.test/e/1"></IFRAME>', "https://site.test/") → "https://player.test/e/1".
// Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { type Tag, tags } from "./tags.ts";

const ATTRIBUTES = ["src", "data-src", "data-lazy-src", "data-litespeed-src"];
const MAX_FRAGMENT = 64 * 1024;

/** Absolute http(s) address, or null when the text leads nowhere. */
export function iframeUrl(html: string, base: string): HttpUrl | null {
  const text = html.trim();
  if (text.length > MAX_FRAGMENT) return null;
  if (/^(?:https?:)?\/\/[^\s<>"']+$/i.test(text)) return parseHttpUrl(text, base);
  for (const tag of tags(text)) {
    const address = tag.name === "iframe" || tag.name === "embed" ? frameUrl(tag, base) : null;
    if (address !== null) return address;
  }
  return null;
}

/** Where a frame leads, also when the page loads it late. */
export function frameUrl({ attributes }: Tag, base: string): HttpUrl | null {
  for (const name of ATTRIBUTES) {
    const address = parseHttpUrl(attributes.get(name) ?? "", base);
    if (address !== null) return address;
  }
  return null;
}
