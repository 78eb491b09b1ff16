/**
 * Resolves a host name, checks its addresses, and connects to a checked address, so that a name cannot resolve to a public address for
 * the check and to a private one for the connection (DNS rebinding).
 */
import { lookup as lookupAll } from "node:dns/promises";
import { checkUrl, isPrivateAddress, type UrlPolicy } from "../../core/url_policy.ts";

const CONNECT_TIMEOUT_MS = 10_000;

export type Lookup = (hostname: string) => Promise<readonly string[]>;

export class DialRefused extends Error {
  override readonly name = "DialRefused";
}

/** The system's resolver, including the hosts file. */
export async function systemLookup(hostname: string): Promise<readonly string[]> {
  return (await lookupAll(hostname, { all: true })).map((entry) => entry.address);
}

/**
 * Opens a TCP connection to the host of `target`, an `http:` or `https:` URL.
 * Throws DialRefused if the policy or the address forbids it, Deno's errors if the host is unreachable.
 */
export async function dial(
  target: string,
  options: { policy: UrlPolicy; lookup: Lookup; connect?: typeof Deno.connect },
): Promise<Deno.TcpConn> {
  const checked = checkUrl(target, options.policy);
  if (!checked.ok) throw new DialRefused(checked.error.reason);
  const url = checked.value;
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const addresses = await checkedAddresses(url, options);
  let failure: unknown;
  for (const hostname of addresses) {
    try {
      return await connectInTime(options.connect ?? Deno.connect, { hostname, port });
    } catch (error) {
      failure = error;
    }
  }
  throw failure ?? new Deno.errors.NotFound("the host name has no address");
}

async function checkedAddresses(
  url: URL,
  options: { policy: UrlPolicy; lookup: Lookup },
): Promise<readonly string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  if (options.policy.allowedOrigins?.includes(url.origin)) return [host];
  const addresses = isLiteral(host) ? [host] : await options.lookup(host);
  // One private address among public ones indicates DNS rebinding: refuse the name.
  if (addresses.some(isPrivateAddress)) throw new DialRefused("the host name resolves to a private address");
  return addresses;
}

function isLiteral(host: string): boolean {
  return host.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

async function connectInTime(
  connect: typeof Deno.connect,
  to: { hostname: string; port: number },
): Promise<Deno.TcpConn> {
  const connecting = connect({ ...to, transport: "tcp" });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Deno.errors.TimedOut("connect timed out")), CONNECT_TIMEOUT_MS);
  });
  try {
    const conn = await Promise.race([connecting, timeout]);
    conn.setNoDelay(true);
    return conn;
  } catch (error) {
    connecting.then((late) => late.close(), () => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
