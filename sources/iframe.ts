// The address that an iframe's HTML leads to, or the bare address where a site answers with nothing else.
// Example: iframeAddress('<IFRAME SRC="//player.test/e/1"></IFRAME>', "https://site.test/") → "https://player.test/e/1".
// Runs on: Deno, edge runtime.
import { type Tag, tags } from "./tags.ts";

const ATTRIBUTES = ["src", "data-src", "data-lazy-src", "data-litespeed-src"];
const MAX_FRAGMENT = 64 * 1024;

/** Absolute http(s) address, or null when the text leads nowhere. */
export function iframeAddress(html: string, base: string): string | null {
  const text = html.trim();
  if (text.length > MAX_FRAGMENT) return null;
  if (/^(?:https?:)?\/\/[^\s<>"']+$/i.test(text)) return webAddress(text, base);
  for (const tag of tags(text)) {
    const address = tag.name === "iframe" || tag.name === "embed" ? frameAddress(tag, base) : null;
    if (address !== null) return address;
  }
  return null;
}

/** Where a frame leads, also when the page loads it late. */
export function frameAddress({ attributes }: Tag, base: string): string | null {
  for (const name of ATTRIBUTES) {
    const address = webAddress(attributes.get(name) ?? "", base);
    if (address !== null) return address;
  }
  return null;
}

/** An address as pages write it; `about:blank`, `javascript:` and the empty one are none. */
export function webAddress(reference: string, base: string): string | null {
  const text = reference.trim();
  if (text === "" || !URL.canParse(text, base)) return null;
  const url = new URL(text, base);
  return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
}
