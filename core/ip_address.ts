// Reads IP addresses in their plain forms. docs/decisions/0014-small-core-helpers.md compares it with ipaddr.js.
// Example: parseIpv6("::ffff:198.51.100.7") → [0, 0, 0, 0, 0, 0xffff, 0xc633, 0x6407]

/** The 32 bits of a dotted address with four decimal parts; null for every other spelling. */
export function parseIpv4(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  const parts = match.slice(1).map(Number);
  if (parts.some((part) => part > 255)) return null;
  return ((parts[0]! << 24) | (parts[1]! << 16) | (parts[2]! << 8) | parts[3]!) >>> 0;
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** The eight 16-bit parts of an IPv6 address; a zone (`%eth0`) is ignored. */
export function parseIpv6(text: string): readonly number[] | null {
  const halves = text.replace(/%.*$/, "").split("::");
  if (halves.length > 2) return null;
  const [head, tail] = halves.map(parseHextets);
  if (head === null || head === undefined || tail === null) return null;
  if (tail === undefined) return head.length === 8 ? head : null;
  const gap = 8 - head.length - tail.length;
  return gap < 1 ? null : [...head, ...new Array<number>(gap).fill(0), ...tail];
}

/** The IPv4 address inside an IPv4-mapped one, `::ffff:0:0/96`. */
export function mappedIpv4(v6: readonly number[]): number | null {
  const isMapped = v6.slice(0, 5).every((part) => part === 0) && v6[5] === 0xffff;
  return isMapped ? ((v6[6]! << 16) | v6[7]!) >>> 0 : null;
}

function parseHextets(text: string): number[] | null {
  if (text === "") return [];
  const out: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    const v4 = index === parts.length - 1 ? parseIpv4(part) : null;
    if (v4 !== null) out.push(v4 >>> 16, v4 & 0xffff);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) out.push(parseInt(part, 16));
    else return null;
  }
  return out;
}
