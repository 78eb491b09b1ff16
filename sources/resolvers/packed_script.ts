// Unpacks scripts made by Dean Edwards' P.A.C.K.E.R.: `eval(function(p,a,c,k,e,d){…}('0 1="2"',62,3,'var|x|y'.split('|')))`, and those of a
// relative whose decoder subtracts an offset from each character: `eval(function(h,u,n,t,e,r){…}("…",7,"abc",3,2,9))`.
// One pass, with caps: the usual regular expression is cubic (40 kB take half a minute), and 141 bytes can unpack to 20 MB.
// Runs on: Deno, edge runtime.
import { unescape } from "../script/scanner.ts";
import { decodeShifted } from "./shifted_script.ts";

export const MAX_UNPACKED = 1024 * 1024;
const MAX_BLOCKS = 16;
const MAX_DECODER = 4096;
const MAX_WORDS = 65_536;
/** Up to 62, digits and letters are the digits; 95 uses the characters from U+00A1 on. */
const MAX_RADIX = 95;
const FIRST_HIGH_DIGIT = 161;
const MAX_ARGUMENTS = 400;
/** A decoder has six parameters, whose names do not matter. */
const HEAD = /function\s{0,4}\(\s{0,4}\w{1,8}(?:\s{0,4},\s{0,4}\w{1,8}){5}\s{0,4}\)/g;
/** Its call follows its body. */
const CALL = /\}\s{0,4}\(\s{0,4}(?=["'`])/g;
const NUMBERS = /^\s{0,8},\s{0,8}(\d{1,2})\s{0,8},\s{0,8}(\d{1,10})\s{0,8},\s{0,8}/;
const SPLIT = /^\s{0,4}(?:\.\s{0,4}split|\[\s{0,4}["']split["']\s{0,4}\])\s{0,4}\(\s{0,4}(["'`])\|\1\s{0,4}\)/;

export interface UnpackedBlocks {
  /** The text of every packed block that can be unpacked, in the script's order. */
  readonly texts: readonly string[];
  /** How many packed blocks there are. */
  readonly count: number;
}

export function unpackScripts(script: string): readonly string[] {
  return unpackBlocks(script).texts;
}

export function unpackBlocks(script: string, maxLength = MAX_UNPACKED): UnpackedBlocks {
  const texts: string[] = [];
  let [left, count, tried] = [maxLength, 0, -1];
  const [head, call] = [new RegExp(HEAD), new RegExp(CALL)];
  let match: RegExpExecArray | null = null;
  while (count < MAX_BLOCKS && head.exec(script) !== null) {
    if (match === null || match.index < head.lastIndex) {
      call.lastIndex = head.lastIndex;
      match = call.exec(script);
      if (match === null) break;
    }
    const open = match.index + match[0].length;
    if (open - head.lastIndex > MAX_DECODER || open === tried) continue;
    tried = open;
    const payload = readLiteral(script, open);
    if (payload === null) {
      count++; // cut off
      continue;
    }
    const packed = readArguments(script, payload);
    const text = packed === null
      ? decodeShifted(payload.text, script.slice(payload.end, payload.end + MAX_ARGUMENTS), left)
      : substitute(packed, left);
    if (packed === null && text === null) continue;
    count++;
    head.lastIndex = packed?.end ?? payload.end;
    if (text === null) continue;
    texts.push(text);
    left -= text.length;
  }
  return { texts, count };
}

interface Literal {
  readonly text: string;
  readonly end: number;
}

interface PackedCall {
  readonly payload: string;
  readonly radix: number;
  readonly words: readonly string[];
  readonly end: number;
}

/** After the payload: radix, count, words; what follows (`,0,{}`) is of no use. */
function readArguments(script: string, payload: Literal): PackedCall | null {
  const numbers = NUMBERS.exec(script.slice(payload.end, payload.end + 64));
  const words = numbers === null ? null : readLiteral(script, payload.end + numbers[0].length);
  if (words === null || !SPLIT.test(script.slice(words.end, words.end + 64))) return null;
  const radix = Number(numbers![1]);
  const list = words.text.split("|");
  if (radix < 2 || radix > MAX_RADIX || list.length > MAX_WORDS) return null;
  return { payload: payload.text, radix, words: list, end: words.end };
}

function readLiteral(script: string, at: number): Literal | null {
  const quote = script.charCodeAt(at);
  if (quote !== 34 && quote !== 39 && quote !== 96) return null;
  for (let next = at + 1; next < script.length; next++) {
    const code = script.charCodeAt(next);
    if (code === quote) return { text: unescape(script.slice(at + 1, next)), end: next + 1 };
    if (code === 92) next++;
  }
  return null;
}

/** Replaces the payload's words, which are indexes of the list; null if the result would exceed the budget. */
function substitute({ payload, radix, words }: PackedCall, budget: number): string | null {
  const parts: string[] = [];
  let length = 0;
  const pattern = radix > 62 ? /[\xa1-\xff]+|[^\xa1-\xff]+/g : /\w+|\W+/g;
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

/** Digits 0–9, a–z, A–Z; null for a token that is not a number as the packer writes it. */
function parseIndex(token: string, radix: number): number | null {
  if (token.length > 6 || (token.length > 1 && token[0] === "0")) return null;
  let index = 0;
  for (let at = 0; at < token.length; at++) {
    const code = token.charCodeAt(at);
    const digit = radix > 62 ? code - FIRST_HIGH_DIGIT : digitOf(code);
    if (digit === null || digit < 0 || digit >= radix) return null;
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
