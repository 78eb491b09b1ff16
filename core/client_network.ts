// The network that a rate limit counts as one client: an IPv4 address, or the /64 of an IPv6 address, the least a subscriber gets.
// Example: clientNetwork("2001:db8:1:2::9") → "2001:db8:1:2", clientNetwork("::ffff:198.51.100.7") → "198.51.100.7".
import { formatIpv4, mappedIpv4, parseIpv6 } from "./ip_address.ts";

/** Text that is no IPv6 address is returned unchanged. */
export function clientNetwork(address: string): string {
  const v6 = parseIpv6(address);
  if (v6 === null) return address;
  const v4 = mappedIpv4(v6);
  return v4 !== null ? formatIpv4(v4) : v6.slice(0, 4).map((part) => part.toString(16)).join(":");
}
