// A weak validator for an answer: equal where the answers mean the same, whatever the clock made of ages in between.
// Example: entityTag(answer) → 'W/"1f8k2j…"'. Runs on: Deno, edge runtime.
import type { EpisodeResponse } from "./response.ts";

export function entityTag({ title, data, providers }: EpisodeResponse): string {
  const states = Object.entries(providers).map(([name, { state, code }]) => [name, state, code]);
  return `W/"${hash53(JSON.stringify([title, data, states]))}"`;
}

/** RFC 9110, 13.1.2: weak comparison, or any. */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const plain = (text: string) => text.trim().replace(/^W\//, "");
  return header.trim() === "*" || header.split(",").some((one) => plain(one) === plain(tag));
}

/** Two rounds of multiply and shift over UTF-16: quick and synchronous; a digest's strength is of no use here. */
function hash53(text: string): string {
  let [high, low] = [0xdeadbeef, 0x41c6ce57];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return (4294967296 * (2097151 & low) + (high >>> 0)).toString(36);
}
