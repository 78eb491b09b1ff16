// The address that an iframe's HTML leads to, or the bare address where a site answers with nothing else.
// Example: await iframeAddress('<IFRAME SRC="//player.test/e/1"></IFRAME>', "https://site.test/") → "https://player.test/e/1".
// Runs on: Deno, edge runtime.
import { attribute, parseHtml } from "./html.ts";

const ATTRIBUTES = ["src", "data-src", "data-lazy-src", "data-litespeed-src"];
const MAX_FRAGMENT = 64 * 1024;

/** Absolute http(s) address, or null when the text leads nowhere. */
export async function iframeAddress(html: string, base: string): Promise<string | null> {
  const text = html.trim();
  if (text.length > MAX_FRAGMENT) return null;
  if (/^(?:https?:)?\/\/[^\s<>"']+$/i.test(text)) return webAddress(text, base);
  for (const frame of (await parseHtml(text)).querySelectorAll("iframe, embed")) {
    for (const name of ATTRIBUTES) {
      const address = webAddress(attribute(frame, name) ?? "", base);
      if (address !== null) return address;
    }
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
