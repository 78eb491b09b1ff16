/**
 * A track of timed text (tx3g), as MP4 players read it. Pure. 3GPP TS 26.245 §5.16; ISO/IEC 14496-12 §8.4.5 (nmhd).
 * Example: samples at 1–2 s and 5–6 s → four samples, two of them empty.
 */
import type { OutputTrack } from "./moov.ts";
import { box, join, text as letters, u32s } from "./write_boxes.ts";

export interface TextSample {
  /** Seconds. Samples do not overlap and are in order. */
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
}

const TICKS_PER_SECOND = 1000;
/** No text is shown. */
const EMPTY = new Uint8Array(2);

/** The track, and the bytes of its samples, which the caller stores at `path`. */
export function buildTextTrack(
  samples: readonly TextSample[],
  path: string,
): { readonly track: OutputTrack; readonly bytes: Uint8Array<ArrayBuffer> } {
  const shown: { at: number; bytes: Uint8Array }[] = [];
  let end = 0;
  for (const sample of samples) {
    const [from, to] = [sample.start, sample.end].map((seconds) => Math.round(seconds * TICKS_PER_SECOND));
    if (from! > end) shown.push({ at: end, bytes: EMPTY });
    if (to! <= Math.max(from!, end)) continue;
    shown.push({ at: Math.max(from!, end), bytes: sample.bytes });
    end = to!;
  }
  const sizes = Uint32Array.from(shown, ({ bytes }) => bytes.length);
  const offsets = new Float64Array(shown.length);
  for (let i = 1; i < shown.length; i++) offsets[i] = offsets[i - 1]! + sizes[i - 1]!;
  const track: OutputTrack = {
    ...{ timescale: TICKS_PER_SECOND, tkhd: TKHD, hdlr: HDLR, mediaHeader: box("nmhd", new Uint8Array(4)) },
    ...{ language: UNDETERMINED, entries: [ENTRY], files: [path], start: 0, mediaTime: 0 },
    ...{ handlerType: "sbtl", isDefault: false },
    samples: {
      count: shown.length,
      offsets,
      sizes,
      decode: Float64Array.from(shown, ({ at }) => at),
      composition: new Int32Array(shown.length),
      sync: new Uint8Array(shown.length).fill(1),
      files: new Uint16Array(shown.length),
      lastDuration: end - (shown.at(-1)?.at ?? 0),
    },
  };
  return { track, bytes: join(shown.map(({ bytes }) => bytes)) };
}

/** `und` in 15 bits. */
const UNDETERMINED = 0x55c4;
const ALTERNATE_GROUP = 3;
const UNITY_MATRIX = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000];
const TKHD = box("tkhd", u32s([0, 0, 0, 0, 0, 0, 0, 0, ALTERNATE_GROUP, 0, ...UNITY_MATRIX, 0, 0]));
const HDLR = box("hdlr", u32s([0, 0]), letters("sbtl"), u32s([0, 0, 0]), letters("SubtitleHandler\0"));
/** White Arial at the bottom centre; players choose their own font and place. */
const ENTRY = box(
  "tx3g",
  ...[u32s([0]), Uint8Array.of(0, 0, 0, 1), u32s([0])], // reserved, data reference, display flags
  ...[Uint8Array.of(1, 0xff), u32s([0, 0, 0])], // centre, bottom; background, box
  ...[Uint8Array.of(0, 0, 0, 0, 0, 1, 0, 16), u32s([0xffffffff])], // characters, font, face, size, colour
  box("ftab", Uint8Array.of(0, 1, 0, 1, 5), letters("Arial")),
);
