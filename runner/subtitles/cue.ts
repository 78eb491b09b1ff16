/**
 * Subtitle cues of any format, and WebVTT as their common output. Pure.
 * Example: `formatWebVtt([{ start: 1, end: 2.5, text: "One" }])` → "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nOne\n".
 */

export interface Cue {
  /** Seconds. */
  readonly start: number;
  readonly end: number;
  /** WebVTT cue text: lines without blank ones, `&` and `<` escaped. */
  readonly text: string;
}

/** mov_text stores the length of a text in 16 bits. */
export const MAX_CUE_LENGTH = 8_000;

export function formatWebVtt(cues: readonly Cue[]): string {
  const blocks = cues.map(({ start, end, text }) => `${formatTime(start)} --> ${formatTime(end)}\n${text}`);
  return `WEBVTT\n\n${blocks.join("\n\n")}\n`;
}

/** Plain text as cue text. */
export function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Removes blank lines and arrows, which would end the cue. "" if nothing is left. */
export function cleanText(text: string): string {
  return text.split("\n").map((line) => line.replaceAll("-->", "--&gt;").trimEnd()).filter((line) => line !== "")
    .join("\n");
}

function formatTime(seconds: number): string {
  const ms = Math.round(seconds * 1000);
  const part = (value: number, width: number) => String(Math.floor(value)).padStart(width, "0");
  return `${part(ms / 3_600_000, 2)}:${part((ms / 60_000) % 60, 2)}:${part((ms / 1000) % 60, 2)}.${part(ms % 1000, 3)}`;
}
