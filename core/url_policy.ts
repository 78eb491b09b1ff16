// Which URLs the system may fetch: public http(s) URLs, never hosts of a private network.
// Example: checkUrl("http://0x7f.1/", {}) → policy_denied; checkUrl("file:///etc/passwd", {}) → invalid_input
// A name that resolves to a private address is refused when connecting, with isPrivateAddress.
import { mappedIpv4, parseIpv4, parseIpv6 } from "./ip_address.ts";
import { err, ok, type Result } from "./result.ts";

/** The longest URL that is fetched. Signed links contain it, and servers refuse much longer ones. */
export const MAX_URL_LENGTH = 16_384;
export const DEFAULT_PORTS: readonly number[] = [80, 443, 8080];

/** Parses EXTRA_PORTS: comma-separated ports. */
export function parseExtraPorts(text: string): Result<readonly number[], string> {
  const parts = text.split(",").map((part) => part.trim()).filter((part) => part !== "");
  const wrong = parts.find((part) => !/^\d{1,5}$/.test(part) || Number(part) < 1 || Number(part) > 65_535);
  return wrong === undefined ? ok(parts.map(Number)) : err(`${wrong} is not a port`);
}

export interface UrlPolicy {
  /** Ports in addition to 80, 443 and 8080. */
  readonly extraPorts?: readonly number[];
  /** If set, only these hosts: `cdn.test` exactly, `.cdn.test` for every host below it. */
  readonly allowedHosts?: readonly string[];
  /** This system's own hosts, with port as in `URL.host`. */
  readonly ownHosts?: readonly string[];
  /** Development: exact origins (`http://127.0.0.1:5000`) that are allowed in spite of the other rules. */
  readonly allowedOrigins?: readonly string[];
}

export interface UrlRefusal {
  readonly code: "invalid_input" | "policy_denied";
  readonly reason: string;
}

/** Parses a URL that may be fetched. The normalized URL is checked, so that no spelling bypasses the policy. */
export function checkUrl(text: string, policy: UrlPolicy): Result<URL, UrlRefusal> {
  if (text.length > MAX_URL_LENGTH) return invalid(`longer than ${MAX_URL_LENGTH} characters`);
  const url = parse(text);
  if (url === null) return invalid("not an absolute URL");
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    return invalid(`scheme ${url.protocol} is not http or https`);
  }
  const denied = denyReason(url, policy);
  if (denied !== null) return err({ code: "policy_denied", reason: denied });
  // After the host rules: a private host is policy_denied in every spelling.
  if (hasControlCharacter(text)) return invalid("contains a control character");
  return ok(url);
}

function denyReason(url: URL, policy: UrlPolicy): string | null {
  if (url.username !== "" || url.password !== "") return "it contains user information";
  if (policy.ownHosts?.includes(url.host)) return "it is this system's own host";
  if (policy.allowedOrigins?.includes(url.origin)) return null;
  const host = url.hostname.replace(/\.$/, "");
  if (isPrivateHost(host)) return "not a public host";
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  if (!DEFAULT_PORTS.includes(port) && !policy.extraPorts?.includes(port)) return `port ${port}`;
  if (policy.allowedHosts !== undefined && !policy.allowedHosts.some((rule) => matchesHost(host, rule))) {
    return "host not on the operator's list";
  }
  return null;
}

function matchesHost(host: string, rule: string): boolean {
  return rule.startsWith(".") ? host.endsWith(rule) : host === rule;
}

const PRIVATE_SUFFIXES = [".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".onion", ".invalid"];

/** Whether a normalized host is private: a private IP literal, a local suffix, or a name without a dot. */
export function isPrivateHost(host: string): boolean {
  if (host.startsWith("[")) return isPrivateAddress(host.slice(1, -1));
  if (/^\d+\.\d+\.\d+\.\d+$/.test(host)) return isPrivateAddress(host);
  return !host.includes(".") || PRIVATE_SUFFIXES.some((suffix) => host.endsWith(suffix));
}

/** Whether an IP address (dotted IPv4, IPv6 with or without a zone) is not a public unicast address. */
export function isPrivateAddress(ip: string): boolean {
  const v4 = parseIpv4(ip);
  if (v4 !== null) return isPrivateIpv4(v4);
  const v6 = parseIpv6(ip);
  if (v6 === null) return true;
  const mapped = mappedIpv4(v6);
  if (mapped !== null) return isPrivateIpv4(mapped);
  // Global unicast is 2000::/3; ULA, link-local, multicast, NAT64 and loopback are outside of it.
  if ((v6[0]! & 0xe000) !== 0x2000) return true;
  const [a, b] = [v6[0]!, v6[1]!];
  const ietf = a === 0x2001 && b < 0x0200; // Teredo, ORCHID, benchmarking
  const documentation = (a === 0x2001 && b === 0x0db8) || (a === 0x3fff && b < 0x1000);
  const sixToFour = a === 0x2002;
  return ietf || documentation || sixToFour;
}

/** [network, prefix length] of IANA's special-purpose registry, plus multicast and the reserved range above it. */
const PRIVATE_IPV4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];

function isPrivateIpv4(address: number): boolean {
  return PRIVATE_IPV4.some(([network, bits]) => (address >>> (32 - bits)) === (parseIpv4(network)! >>> (32 - bits)));
}

function hasControlCharacter(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return /[\u0000-\u001f\u007f]/.test(text);
}

function parse(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function invalid(reason: string): Result<URL, UrlRefusal> {
  return err({ code: "invalid_input", reason });
}
