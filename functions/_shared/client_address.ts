// Who is asking, for the rate limit: a keyed hash, so that no address is stored. IPv6 counts by its /64.
// Example: await clientId(request, { secret, remoteAddress }) → "c1f0…". Runs on: Deno, edge runtime.

/**
 * The address as the platform's own edge states it; a client can set x-forwarded-for, but not its last entry.
 *
 * @param header The one header that the operator's edge sets, whatever the client sent; no other is believed.
 */
export function clientAddress(headers: Headers, header: string | null): string | null {
  if (header !== null) return headers.get(header);
  return headers.get("x-forwarded-for")?.split(",").at(-1)?.trim() ?? null;
}

/** A stable name of 32 hex digits for an address, or null when nothing is known. */
export async function clientId(address: string | null, secret: string): Promise<string | null> {
  if (address === null || address === "") return null;
  const text = new TextEncoder().encode(networkOf(address));
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    [
      "sign",
    ],
  );
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, text));
  return [...mac.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const left = head.split(":").filter((part) => part !== "");
  const right = (tail ?? "").split(":").filter((part) => part !== "");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...Array<string>(zeros).fill("0"), ...right].slice(0, 4).map((part) => parseInt(part, 16)).join(":");
}
