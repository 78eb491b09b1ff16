/** Language and name of a track, as MP4 stores them. Pure. */
import type { DownloadedRendition } from "../download/hls.ts";
import type { OutputTrack } from "../mp4/moov.ts";
import { mp4Language } from "./language.ts";

const HDLR_NAME_AT = 32;
const MAX_NAME = 60;

export function describeTrack(
  track: OutputTrack,
  { language, name, isDefault, forced = false }: Pick<
    DownloadedRendition,
    "language" | "name" | "isDefault" | "forced"
  >,
): OutputTrack {
  return {
    ...track,
    language: packLanguage(mp4Language(language)) ?? track.language,
    hdlr: printable(name) === "" ? track.hdlr : renameHandler(track.hdlr, printable(name)),
    isDefault,
    forced,
  };
}

/** Three letters in 15 bits. ISO/IEC 14496-12 §8.4.2. */
export function packLanguage(letters: string | null): number | null {
  return letters === null
    ? null
    : [...letters].reduce((packed, letter) => packed << 5 | (letter.charCodeAt(0) - 0x60), 0);
}

/** Replaces the name at the end of an hdlr box. */
function renameHandler(hdlr: Uint8Array, name: string): Uint8Array {
  const text = new TextEncoder().encode(`${name}\0`);
  const renamed = new Uint8Array(HDLR_NAME_AT + text.length);
  renamed.set(hdlr.subarray(0, HDLR_NAME_AT));
  renamed.set(text, HDLR_NAME_AT);
  new DataView(renamed.buffer).setUint32(0, renamed.length);
  return renamed;
}

/** Labels come from the source. */
export function printable(name: string | null): string {
  // deno-lint-ignore no-control-regex
  return (name ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ").trim().slice(0, MAX_NAME);
}
