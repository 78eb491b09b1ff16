/** A subtitle cue of any format, with WebVTT markup in its text. Example: { start: 1, end: 2.5, text: "One &amp; <i>two</i>" }. */

export interface Cue {
  /** Seconds. */
  readonly start: number;
  readonly end: number;
  /** WebVTT cue text: lines without blank ones, `&` and `<` escaped. */
  readonly text: string;
  /** Of WebVTT: `line:0 align:start`. */
  readonly settings?: string;
}

/** MP4 stores the length of a text in 16 bits. */
export const MAX_CUE_LENGTH = 8_000;

/** Plain text as cue text. */
export function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Removes blank lines and blanks at the ends of lines. "" if nothing is left. */
export function cleanText(text: string): string {
  return text.split("\n").map((line) => line.trimEnd()).filter((line) => line !== "").join("\n");
}
