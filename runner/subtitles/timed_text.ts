/**
 * WebVTT cue text as a sample of MP4 timed text (tx3g): plain text, with bold, italic and underlined as styles. Pure. W3C WebVTT §4.2.2,
 * 3GPP TS 26.245 §5.17. Example: "<v Bob>Hi <i>you</i> &amp; me" → "Hi you & me" with characters 3 to 6 in italics.
 */
import { box, join } from "../mp4/write_boxes.ts";

const FACES: Readonly<Record<string, number>> = { b: 1, i: 2, u: 4 };
const ENTITIES: Readonly<Record<string, string>> = {
  ...{ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", lrm: "\u200e", rlm: "\u200f" },
};
/** A tag, an entity, or an override of ASS that converters leave in the text. */
const MARKUP = /<(\/?)([A-Za-z]*)[^<>]*>|&(#\d{1,7}|#x[\da-f]{1,6}|[a-z]{1,8});|\{\\[^{}]*\}/gi;
const MAX_STYLES = 500;

interface Style {
  readonly start: number;
  readonly end: number;
  readonly face: number;
}

export function timedTextSample(cueText: string): Uint8Array {
  const { text, styles } = parseCueText(cueText);
  const bytes = new TextEncoder().encode(text);
  const length = Uint8Array.of(bytes.length >> 8, bytes.length & 255);
  return join(styles.length === 0 ? [length, bytes] : [length, bytes, stylesBox(styles)]);
}

/** Positions count Unicode characters. */
export function parseCueText(cueText: string): { readonly text: string; readonly styles: readonly Style[] } {
  let [text, characters, at, since, face] = ["", 0, 0, 0, 0];
  const styles: Style[] = [];
  const append = (piece: string) => {
    text += piece;
    characters += [...piece].length;
  };
  const restyle = (next: number) => {
    if (next === face) return;
    if (face !== 0 && characters > since && styles.length < MAX_STYLES) {
      styles.push({ start: since, end: characters, face });
    }
    [face, since] = [next, characters];
  };
  for (const match of cueText.matchAll(MARKUP)) {
    append(cueText.slice(at, match.index));
    at = match.index + match[0].length;
    const [whole, slash, tag, entity] = match;
    if (entity !== undefined) append(decode(entity) ?? whole);
    const flag = FACES[tag?.toLowerCase() ?? ""] ?? 0;
    restyle(slash === "/" ? face & ~flag : face | flag);
  }
  append(cueText.slice(at));
  restyle(0);
  return { text, styles };
}

function decode(entity: string): string | null {
  if (!entity.startsWith("#")) return ENTITIES[entity.toLowerCase()] ?? null;
  const code = entity[1]!.toLowerCase() === "x" ? parseInt(entity.slice(2), 16) : Number(entity.slice(1));
  return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : null;
}

function stylesBox(styles: readonly Style[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(2 + 12 * styles.length));
  view.setUint16(0, styles.length);
  for (const [i, { start, end, face }] of styles.entries()) {
    const record = 2 + 12 * i;
    view.setUint16(record, start);
    view.setUint16(record + 2, end);
    view.setUint16(record + 4, 1); // font
    view.setUint8(record + 6, face);
    view.setUint8(record + 7, 16); // size
    view.setUint32(record + 8, 0xffffffff); // colour
  }
  return box("styl", new Uint8Array(view.buffer));
}
