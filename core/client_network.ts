// What counts as one client: an IPv4 address, or the /64 of an IPv6 one, which is what a subscriber has at least.
// Example: clientNetwork("2001:db8:1:2::9") → "2001:db8:1:2". Runs on: Deno, edge runtime, workerd.

export function clientNetwork(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const left = head.split(":").filter((part) => part !== "");
  const right = (tail ?? "").split(":").filter((part) => part !== "");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...Array<string>(zeros).fill("0"), ...right].slice(0, 4).map((part) => parseInt(part, 16)).join(":");
}
