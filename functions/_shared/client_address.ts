// Identifies clients for the rate limit: a keyed hash of the IP address that the platform reports, so that no address is stored.
// An IPv6 client is identified by its /64. Example: clientAddress(headers, "203.0.113.7") → "198.51.100.1". Runs on: Deno, edge runtime.
import { clientNetwork } from "../../core/client_network.ts";
import { formatIpv4, parseIpv4, parseIpv6 } from "../../core/ip_address.ts";

const APPENDED = "x-forwarded-for";

export interface AddressSource {
  /** Headers that the platform's edge overwrites; the first one that contains an address is used. */
  readonly headers: readonly string[];
  /** The value of CLIENT_ADDRESS_HEADER if it is ignored, because the platform already reports the address. */
  readonly ignored: string | null;
}

/**
 * @param env SB_REGION is set only on hosted Supabase, which is served through Cloudflare. SB_EXECUTION_ID does not do: a self-hosted
 *   edge runtime sets it, too, and clients can send it Cloudflare's header. DENO_DEPLOY… is set on Deno Deploy.
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

/** Falls back to the address of the connection, so that a wrong header name never disables the limit. */
export function createClientAddress(
  { headers: names, ignored }: AddressSource,
  warn: (event: AddressWarning, header: string) => void,
): ClientAddress {
  let hasWarned = false;
  if (ignored !== null) warn("client_address:header:ignored", ignored);
  return (headers, connection) => {
    for (const name of names) {
      const address = lastAddress(headers.get(name) ?? "");
      if (address !== null) return address;
      if (hasWarned || name === APPENDED) continue;
      hasWarned = true;
      warn("client_address:header:missing", name);
    }
    return connection;
  };
}

/** The entry that the edge appended; a client can write the ones before it. Also parses Forwarded (RFC 7239). */
function lastAddress(text: string): string | null {
  const entry = text.split(",").at(-1)!;
  const forwarded = /(?:^|;)\s*for=("[^"]*"|[^;\s]*)/i.exec(entry)?.[1];
  const node = (forwarded ?? entry).trim().replace(/^"|"$/g, "");
  return parseIpAddress(/^\[([^\]]*)\](?::\d+)?$/.exec(node)?.[1] ?? /^([\d.]+):\d+$/.exec(node)?.[1] ?? node);
}

function parseIpAddress(text: string): string | null {
  const v4 = parseIpv4(text);
  if (v4 !== null) return formatIpv4(v4);
  return parseIpv6(text) === null ? null : text.replace(/%.*$/, "");
}

export type ClientId = (address: string | null) => Promise<string | null>;

/** A stable id of 32 hex digits for an address; null without an address. */
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
