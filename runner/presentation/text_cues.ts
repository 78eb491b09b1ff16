/**
 * Samples of MP4 timed text (tx3g) as WebVTT: bold, italic and underlined stay, other styles are left to the player. Pure.
 * Example: "Hi you" with characters 3 to 6 in italics, 1 s to 3.5 s → "00:00:01.000 --> 00:00:03.500\nHi <i>you</i>".
 * 3GPP TS 26.245 §5.17; W3C WebVTT §3.
 */
import { childBoxes } from "../mp4/boxes.ts";
import type { TextCue } from "../mp4/moov.ts";

const TAGS = [[1, "b"], [2, "i"], [4, "u"]] as const;
const STYLE_BYTES = 12;
/** Cue times of RFC 8216 §3.5, on a clock on which every track starts at 0. */
const HEADER = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n";

/** "" for a gap, and for a sample that cannot be read. */
export function textOfSample(sample: Uint8Array): string {
  if (sample.length < 2) return "";
  const length = sample[0]! << 8 | sample[1]!;
  if (length === 0 || 2 + length > sample.length) return "";
  const bytes = sample.subarray(2, 2 + length);
  const isUtf16 = bytes[0] === 0xfe && bytes[1] === 0xff;
  const text = new TextDecoder(isUtf16 ? "utf-16be" : "utf-8").decode(bytes).replaceAll("\0", "");
  return cueText(text, facesOf(sample, 2 + length));
}

/** By character: the face of each styled range. */
function facesOf(sample: Uint8Array, at: number): { start: number; end: number; face: number }[] {
  const styl = childBoxes(sample, { start: at, end: sample.length })?.find(({ type }) => type === "styl");
  if (styl === undefined || styl.body + 2 > styl.end) return [];
  const view = new DataView(sample.buffer, sample.byteOffset + styl.body, styl.end - styl.body);
  const count = Math.min(view.getUint16(0), Math.floor((view.byteLength - 2) / STYLE_BYTES));
  return Array.from({ length: count }, (_, i) => {
    const record = 2 + STYLE_BYTES * i;
    return { start: view.getUint16(record), end: view.getUint16(record + 2), face: view.getUint8(record + 6) & 7 };
  });
}

function cueText(text: string, faces: readonly { start: number; end: number; face: number }[]): string {
  const characters = [...text];
  const faceAt = new Uint8Array(characters.length);
  for (const { start, end, face } of faces) faceAt.fill(face, start, end);
  let [out, face] = ["", 0];
  for (const [i, character] of characters.entries()) {
    // A tag does not span lines, so that removing a blank line leaves none open.
    const next = character === "\n" ? 0 : faceAt[i]!;
    if (next !== face) out += close(face) + open(next);
    face = next;
    out += escape(character, characters, i);
  }
  return withoutBlankLines(out + close(face));
}

function open(face: number): string {
  return TAGS.map(([bit, tag]) => face & bit ? `<${tag}>` : "").join("");
}

function close(face: number): string {
  return TAGS.toReversed().map(([bit, tag]) => face & bit ? `</${tag}>` : "").join("");
}

/** `&` stays unless it begins an entity: a player in use shows `&amp;` as it is written. ">" is escaped because of "-->". */
function escape(character: string, characters: readonly string[], i: number): string {
  if (character === "<") return "&lt;";
  if (character === ">" && characters[i - 1] === "-" && characters[i - 2] === "-") return "&gt;";
  if (character === "&" && /^&[#\w]+;/.test(characters.slice(i, i + 12).join(""))) return "&amp;";
  return character === "\r" ? "" : character;
}

function withoutBlankLines(text: string): string {
  return text.split(/[\n\u2028\u2029]/).map((line) => line.trimEnd()).filter((line) => line !== "").join("\n");
}

export function writeWebVtt(cues: readonly TextCue[]): string {
  const blocks = cues.map(({ start, end, text, settings }) => {
    // Times inside a text are on the clock of the source.
    const shown = withoutBlankLines(text.replace(/<\d[\d:.]{0,20}>/g, "").replaceAll("-->", "--&gt;"));
    return `${clock(start)} --> ${clock(end)}${settings === undefined ? "" : ` ${settings}`}\n${shown}\n`;
  });
  return `${HEADER}\n${blocks.join("\n")}`;
}

function clock(seconds: number): string {
  const ms = Math.round(seconds * 1000);
  const [hours, minutes] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60];
  const rest = ms % 60_000;
  return `${two(hours)}:${two(minutes)}:${two(Math.floor(rest / 1000))}.${String(rest % 1000).padStart(3, "0")}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
