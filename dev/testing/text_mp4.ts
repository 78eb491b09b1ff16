/**
 * Fragmented MP4 with a text track (wvtt, stpp), for tests. Example:
 * `textSegment({ start: 0, samples: [{ duration: 2000, bytes: wvttSample("One") }] })` with `textInit("wvtt")`; 1,000 ticks per second.
 */
import type { Bytes } from "../emulators/origin/clip.ts";

export const TICKS_PER_SECOND = 1000;

export function box(type: string, ...parts: readonly Uint8Array[]): Bytes {
  return concat([u32(8 + parts.reduce((sum, part) => sum + part.length, 0)), utf8(type), ...parts]);
}

export function textInit(format: string): Bytes {
  const entry = box(format, new Uint8Array(6), Uint8Array.of(0, 1));
  const tables = ["stts", "stsc", "stco"].map((type) => box(type, u32(0), u32(0)));
  const stbl = box("stbl", box("stsd", u32(0), u32(1), entry), ...tables, box("stsz", u32(0), u32(0), u32(0)));
  const hdlr = box("hdlr", u32(0), u32(0), utf8("text"), new Uint8Array(13));
  const mdhd = box("mdhd", u32(0), u32(0), u32(0), u32(TICKS_PER_SECOND), u32(0), u32(0x55c40000));
  const tkhd = box("tkhd", u32(7), u32(0), u32(0), u32(1), new Uint8Array(68));
  const trak = box("trak", tkhd, box("mdia", mdhd, hdlr, box("minf", box("nmhd", u32(0)), stbl)));
  const trex = box("trex", u32(0), u32(1), u32(1), u32(0), u32(0), u32(0));
  const mvhd = box("mvhd", u32(0), u32(0), u32(0), u32(TICKS_PER_SECOND), u32(0), new Uint8Array(80));
  return concat([box("ftyp", utf8("iso6"), u32(0)), box("moov", mvhd, trak, box("mvex", trex))]);
}

/** `start` and the durations in ticks. */
export function textSegment(
  { start, samples }: { start: number; samples: readonly { readonly duration: number; readonly bytes: Uint8Array }[] },
): Bytes {
  const fields = samples.flatMap(({ duration, bytes }) => [u32(duration), u32(bytes.length)]);
  const moof = (offset: number) =>
    box(
      "moof",
      box("mfhd", u32(0), u32(1)),
      box(
        "traf",
        box("tfhd", u32(0x020000), u32(1)), // offsets count from moof
        box("tfdt", u32(0x01000000), u32(Math.floor(start / 2 ** 32)), u32(start % 2 ** 32)),
        box("trun", u32(0x000301), u32(samples.length), u32(offset), ...fields),
      ),
    );
  return concat([moof(moof(0).length + 8), box("mdat", ...samples.map(({ bytes }) => bytes))]);
}

/** A sample with one cue for each text; without texts, none is shown. */
export function wvttSample(...texts: readonly string[]): Bytes {
  if (texts.length === 0) return box("vtte");
  return concat(texts.map((text) => box("vttc", box("sttg", utf8("align:start")), box("payl", utf8(text)))));
}

export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text);
}

function u32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
