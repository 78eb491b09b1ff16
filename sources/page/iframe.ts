// The URL of an iframe in a piece of HTML; also accepts a bare URL.
// Example: iframeUrl('<IFRAME SRC="//player.test/e/1"></IFRAME>', "https://site.test/") → "https://player.test/e/1".
// Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { type Tag, tags } from "./tags.ts";

const ATTRIBUTES = ["src", "data-src", "data-lazy-src", "data-litespeed-src"];
const MAX_FRAGMENT = 64 * 1024;

/** Absolute http(s) URL; null if there is none. */
export function iframeUrl(html: string, base: string): HttpUrl | null {
  const text = html.trim();
  if (text.length > MAX_FRAGMENT) return null;
  if (/^(?:https?:)?\/\/[^\s<>"']+$/i.test(text)) return parseHttpUrl(text, base);
  for (const tag of tags(text)) {
    const url = tag.name === "iframe" || tag.name === "embed" ? frameUrl(tag, base) : null;
    if (url !== null) return url;
  }
  return null;
}

/** The URL of a frame, also of one that is loaded lazily. */
export function frameUrl({ attributes }: Tag, base: string): HttpUrl | null {
  for (const name of ATTRIBUTES) {
    const url = parseHttpUrl(attributes.get(name) ?? "", base);
    if (url !== null) return url;
  }
  return null;
}
