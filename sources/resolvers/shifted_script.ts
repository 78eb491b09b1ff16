// Decodes a packed script of which every character is a number: digits from an alphabet, a separator, and an offset to subtract.
// Example: decodeShifted("bcazbaaz", ',8,"abcz",3,3,9)', 100) → two characters. Runs on: Deno, edge runtime.

const ARGUMENTS =
  /^\s{0,4},\s{0,4}\d{1,6}\s{0,4},\s{0,4}(["'])([^"'\\]{2,64})\1\s{0,4},\s{0,4}(\d{1,5})\s{0,4},\s{0,4}(\d{1,2})\s{0,4},\s{0,4}\d{1,6}\s{0,4}\)/;
const MAX_DIGITS = 16;

/** `tail` is what follows the payload in the script: `,8,"alphabet",offset,radix,0)`. Null if it is something else. */
export function decodeShifted(payload: string, tail: string, maxLength: number): string | null {
  const [, , alphabet = "", offset, base] = ARGUMENTS.exec(tail) ?? [];
  const radix = Number(base);
  const separator = alphabet[radix];
  if (separator === undefined || radix < 2) return null;
  const digits = new Map([...alphabet].slice(0, radix).map((character, digit) => [character, digit]));
  const bytes: number[] = [];
  let [value, length] = [0, 0];
  for (const character of payload) {
    const digit = digits.get(character);
    if (digit !== undefined) value = value * radix + digit;
    else if (character !== separator) return null;
    if (digit !== undefined && ++length > MAX_DIGITS) return null;
    if (digit !== undefined) continue;
    bytes.push((value - Number(offset)) & 0xff);
    [value, length] = [0, 0];
    if (bytes.length > maxLength) return null;
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}
