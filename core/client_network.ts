// What counts as one client: an IPv4 address, or the /64 of an IPv6 one, which is what a subscriber has at least.
// Example: clientNetwork("2001:db8:1:2::9") → "2001:db8:1:2", clientNetwork("::ffff:198.51.100.7") → "198.51.100.7".
// Runs on: Deno, edge runtime, workerd.

export function clientNetwork(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const left = hextetsOf(head);
  const right = hextetsOf(tail ?? "");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const all = [...left, ...Array<number>(zeros).fill(0), ...right];
  const isMapped = all.length === 8 && all.slice(0, 6).join(":") === "0:0:0:0:0:65535";
  if (isMapped) return all.slice(6).flatMap((part) => [part >> 8, part & 255]).join(".");
  return all.slice(0, 4).map((part) => part.toString(16)).join(":");
}

function hextetsOf(text: string): number[] {
  const dotted = text.replace(
    /(\d+)\.(\d+)\.(\d+)\.(\d+)$/,
    (_whole, ...parts) => {
      const [a, b, c, d] = parts.map(Number) as [number, number, number, number];
      return `${(256 * a + b).toString(16)}:${(256 * c + d).toString(16)}`;
    },
  );
  return dotted.split(":").filter((part) => part !== "").map((part) => parseInt(part, 16));
}
