// Who is asking, for the rate limit: a keyed hash of the address that the platform states, so that no address is stored. IPv6 counts
// by its /64. Example: clientAddress(headers, "203.0.113.7") → "198.51.100.1". Runs on: Deno, edge runtime.
import { clientNetwork } from "../../core/client_network.ts";

const APPENDED = "x-forwarded-for";

export interface AddressSource {
  /** Headers that this platform's edge sets whatever the client sent; the first with an address counts. */
  readonly headers: readonly string[];
  /** CLIENT_ADDRESS_HEADER is set where the platform already says who is asking. */
  readonly ignored: string | null;
}

/**
 * @param env SB_REGION is set on hosted Supabase alone, which stands behind Cloudflare (SB_EXECUTION_ID by every edge runtime, also by
 *   a self-hosted one, to which anybody can send Cloudflare's header); DENO_DEPLOY… on Deno Deploy.
 * @param behindGateway Whether a gateway appends the client's address to x-forwarded-for, as Supabase's does.
 */
export function addressSource(env: Readonly<Record<string, string>>, behindGateway: boolean): AddressSource {
  const configured = env.CLIENT_ADDRESS_HEADER?.toLowerCase() || null;
  const appended = behindGateway ? [APPENDED] : [];
  if (env.SB_REGION) {
    const ignored = configured === "cf-connecting-ip" ? null : configured;
    return { headers: ["cf-connecting-ip", ...appended], ignored };
  }
  if (!behindGateway && (env.DENO_DEPLOY || env.DENO_DEPLOYMENT_ID)) return { headers: [], ignored: configured };
  return { headers: configured === null ? appended : [configured, ...appended], ignored: null };
}

export type AddressWarning = "client_address:header:ignored" | "client_address:header:missing";
export type ClientAddress = (headers: Headers, connection: string | null) => string | null;

/** Where no header has an address the connection's own one counts, so that a wrong name never switches the limit off. */
export function createClientAddress(
  { headers: names, ignored }: AddressSource,
  warn: (event: AddressWarning, header: string) => void,
): ClientAddress {
  let hasWarned = false;
  if (ignored !== null) warn("client_address:header:ignored", ignored);
  return (headers, connection) => {
    for (const name of names) {
      const address = lastUrl(headers.get(name) ?? "");
      if (address !== null) return address;
      if (hasWarned || name === APPENDED) continue;
      hasWarned = true;
      warn("client_address:header:missing", name);
    }
    return connection;
  };
}

/** A client can write the entries before the last, which the edge appends. Also reads Forwarded (RFC 7239). */
function lastUrl(text: string): string | null {
  const entry = text.split(",").at(-1)!;
  const forwarded = /(?:^|;)\s*for=("[^"]*"|[^;\s]*)/i.exec(entry)?.[1];
  const node = (forwarded ?? entry).trim().replace(/^"|"$/g, "");
  return ipAddress(/^\[([^\]]*)\](?::\d+)?$/.exec(node)?.[1] ?? /^([\d.]+):\d+$/.exec(node)?.[1] ?? node);
}

function ipAddress(text: string): string | null {
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(text)) {
    const octets = text.split(".").map(Number);
    return octets.every((octet) => octet <= 255) ? octets.join(".") : null;
  }
  const plain = text.replace(/%.*$/, "");
  return plain.includes(":") && URL.canParse(`http://[${plain}]/`) ? plain : null;
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
