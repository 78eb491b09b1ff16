// Weak validators for episode responses: equal if the responses differ only in ages and timings.
// Example: entityTag(response) → 'W/"1f8k2j…"'. Runs on: Deno, edge runtime.
import type { EpisodeResponse } from "./episode_schema.ts";

export function entityTag({ title, data, providers }: EpisodeResponse): string {
  const states = Object.entries(providers).map(([name, { state, code, master }]) => [name, state, code, master]);
  return `W/"${hash53(JSON.stringify([title, data, states]))}"`;
}

/** If-None-Match: weak comparison, or `*` (RFC 9110 section 13.1.2). */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const opaque = (text: string) => text.trim().replace(/^W\//, "");
  return header.trim() === "*" || header.split(",").some((one) => opaque(one) === opaque(tag));
}

/** cyrb53: fast and synchronous; a validator does not need a cryptographic digest. */
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
