/**
 * Reads a subtitle file that a provider lists beside the video: WebVTT, SubRip or TTML, in UTF-8, UTF-16 or Windows-1252. Pure.
 * Example: `readSubtitleFile(bytes)` → { cues: [{ start: 1, end: 2, text: "One" }], problems: [] }. ASS and SSA: `isAss`, then ffmpeg.
 */
import type { Cue } from "./cue.ts";
import { readSegment, type SubtitleProblem } from "./read_segment.ts";

export interface SubtitleFile {
  readonly cues: readonly Cue[];
  readonly problems: readonly SubtitleProblem[];
}

/** By its times: the numbers of cues may be missing. */
const SUBRIP = /^\s*(?:\d+\s*\r?\n\s*)?\d{1,3}:\d\d:\d\d[,.]\d{1,3}\s*-->/;

export function readSubtitleFile(bytes: Uint8Array): SubtitleFile {
  const text = decodeText(bytes);
  const isSubRip = SUBRIP.test(text);
  const { groups, problems } = readSegment(new TextEncoder().encode(isSubRip ? `WEBVTT\n\n${text}` : text), null);
  return { cues: groups.flatMap(({ cues }) => cues), problems };
}

/** Advanced SubStation Alpha or its predecessor. */
export function isAss(bytes: Uint8Array): boolean {
  return /^\s*\[Script Info\]/i.test(decodeText(bytes.subarray(0, 1024)));
}

/** Files without a byte order mark that are not UTF-8 are mostly Windows-1252. */
export function decodeText(bytes: Uint8Array): string {
  const mark = bytes[0] === 0xff && bytes[1] === 0xfe
    ? "utf-16le"
    : bytes[0] === 0xfe && bytes[1] === 0xff
    ? "utf-16be"
    : null;
  if (mark !== null) return new TextDecoder(mark).decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}
