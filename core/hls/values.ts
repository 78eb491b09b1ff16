// The values of playlist tags: durations, numbers, byte ranges, IVs. Pure. Each parser returns null for text that it cannot read.
// Example: parseDuration(".5,title") → 0.5

/** The longest text of a number; players read as many digits as a double has and ignore the rest. */
const NUMBER = String.raw`(?:\d{1,40}(?:\.\d{0,100})?|\.\d{1,100})`;
const DURATION = new RegExp(`^\\s*(${NUMBER})(?![\\w.])`);
const DECIMAL = new RegExp(`^${NUMBER}$`);
/** The largest decimal-integer of RFC 8216 §4.2. */
const MAX_SEQUENCE = 2n ** 64n - 1n;

/** The duration of an EXTINF, without its title. */
export function parseDuration(value: string): number | null {
  const match = DURATION.exec(value);
  return match === null ? null : Number(match[1]);
}

export function parseNumber(text: string | undefined): number | null {
  return text !== undefined && DECIMAL.test(text) ? Number(text) : null;
}

/** Exact, because the IV of AES-128 depends on it. */
export function parseSequence(text: string): bigint | null {
  if (!/^\d{1,20}$/.test(text)) return null;
  const sequence = BigInt(text);
  return sequence > MAX_SEQUENCE ? null : sequence;
}

export function parseByteRange(text: string): { length: number; offset: number | null } | null {
  const match = /^\s*(\d{1,15})(?:@(\d{1,15}))?\s*$/.exec(text);
  if (match === null) return null;
  return { length: Number(match[1]), offset: match[2] === undefined ? null : Number(match[2]) };
}

/** null: none; undefined: invalid. Shorter numbers are padded with leading zeros, as in players. */
export function parseIv(text: string | undefined): Uint8Array<ArrayBuffer> | null | undefined {
  if (text === undefined) return null;
  const match = /^0x([0-9a-f]{1,32})$/i.exec(text);
  if (match === null) return undefined;
  const digits = match[1]!.padStart(32, "0");
  return Uint8Array.from({ length: 16 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
