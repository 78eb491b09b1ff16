// Unpacks scripts made by Dean Edwards' P.A.C.K.E.R.: `eval(function(p,a,c,k,e,d){…}('0 1="2"',62,3,'var|x|y'.split('|')))`.
// One pass, with caps: the usual regular expression is cubic (40 kB take half a minute), and 141 bytes can unpack to 20 MB.
// Runs on: Deno, edge runtime.

export const MAX_UNPACKED = 1024 * 1024;
const MAX_BLOCKS = 16;
const MAX_DECODER = 4096;
const MAX_WORDS = 65_536;
const HEAD = "function(p,a,c,k,e,";

/** The text of every packed block in the page that can be unpacked, in the page's order. */
export function unpackScripts(html: string): readonly string[] {
  const texts: string[] = [];
  let budget = MAX_UNPACKED;
  let at = html.indexOf(HEAD);
  for (let block = 0; block < MAX_BLOCKS && at !== -1; block++) {
    const call = readCall(html, at + HEAD.length);
    const text = call === null ? null : substitute(call, budget);
    if (text !== null) {
      texts.push(text);
      budget -= text.length;
    }
    at = html.indexOf(HEAD, call?.end ?? at + HEAD.length);
  }
  return texts;
}

interface PackedCall {
  readonly payload: string;
  readonly radix: number;
  readonly words: readonly string[];
  readonly end: number;
}

/** The arguments of the decoder: payload, radix, count, words; what follows (`,0,{}`) is of no use. */
function readCall(html: string, from: number): PackedCall | null {
  const open = callStart(html, from);
  if (open === -1) return null;
  const payload = readLiteral(html, open);
  if (payload === null) return null;
  const numbers = /^\s{0,8},\s{0,8}(\d{1,2})\s{0,8},\s{0,8}(\d{1,10})\s{0,8},\s{0,8}/.exec(
    html.slice(payload.end, payload.end + 64),
  );
  if (numbers === null) return null;
  const words = readLiteral(html, payload.end + numbers[0].length);
  if (words === null || !/^\.split\(\s?["']\|["']\s?\)/.test(html.slice(words.end, words.end + 16))) return null;
  const radix = Number(numbers[1]);
  const list = words.text.split("|");
  if (radix < 2 || radix > 62 || list.length > MAX_WORDS) return null;
  return { payload: payload.text, radix, words: list, end: words.end };
}

/** Where the first argument's quote stands: after the decoder's body, `}(`. */
function callStart(html: string, from: number): number {
  const body = html.slice(from, from + MAX_DECODER);
  const match = /\}\s{0,4}\(\s{0,4}(?=["'])/.exec(body);
  return match === null ? -1 : from + match.index + match[0].length;
}

function readLiteral(html: string, at: number): { readonly text: string; readonly end: number } | null {
  const quote = html[at];
  if (quote !== "'" && quote !== '"') return null;
  let text = "";
  let copied = at + 1;
  for (let next = at + 1; next < html.length; next++) {
    if (html[next] === quote) return { text: text + html.slice(copied, next), end: next + 1 };
    if (html[next] !== "\\") continue;
    text += html.slice(copied, next);
    copied = next + 1; // the escaped character itself is copied with what follows
    next++;
  }
  return null;
}

/** Words of the payload are numbers that index the list; null when the result would pass the budget. */
function substitute({ payload, radix, words }: PackedCall, budget: number): string | null {
  const parts: string[] = [];
  let length = 0;
  const pattern = /\w+|\W+/g;
  for (let match = pattern.exec(payload); match !== null; match = pattern.exec(payload)) {
    const token = match[0];
    const index = parseIndex(token, radix);
    const part = (index === null ? "" : words[index]) || token;
    length += part.length;
    if (length > budget) return null;
    parts.push(part);
  }
  return parts.join("");
}

/** Digits 0–9, a–z, A–Z; null for what is no number of the radix as the packer writes it. */
function parseIndex(token: string, radix: number): number | null {
  if (token.length > 6 || (token.length > 1 && token[0] === "0")) return null;
  let index = 0;
  for (let at = 0; at < token.length; at++) {
    const digit = digitOf(token.charCodeAt(at));
    if (digit === null || digit >= radix) return null;
    index = index * radix + digit;
  }
  return index;
}

function digitOf(code: number): number | null {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 122) return code - 87;
  if (code >= 65 && code <= 90) return code - 29;
  return null;
}
