// Who is asking, for the rate limit: a keyed hash, so that no address is stored. IPv6 counts by its /64.
// Example: await createClientId(secret)("192.0.2.1") → "c1f0…". Runs on: Deno, edge runtime.
import { clientNetwork } from "../../core/client_network.ts";

/**
 * The address as the platform's own edge states it; a client can set x-forwarded-for, but not its last entry.
 *
 * @param header The one header that the operator's edge sets, whatever the client sent; no other is believed.
 */
export function clientAddress(headers: Headers, header: string | null): string | null {
  if (header !== null) return headers.get(header);
  return headers.get("x-forwarded-for")?.split(",").at(-1)?.trim() ?? null;
}

export type ClientId = (address: string | null) => Promise<string | null>;

/** A stable name of 32 hex digits for an address, or null when nothing is known. */
export function createClientId(secret: string): ClientId {
  const raw = new TextEncoder().encode(secret);
  const imported = crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return async (address) => {
    if (address === null || address === "") return null;
    const text = new TextEncoder().encode(clientNetwork(address));
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", await imported, text));
    return [...mac.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };
}
