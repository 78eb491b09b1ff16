/**
 * Subtitles of a source as WebVTT, the only format that browsers load: WebVTT as it is, SubRip (SRT) converted. Pure.
 * Example: `1\n0:00:01,5 --> 0:00:02,000\nHi\n` → `WEBVTT\n\n1\n00:00:01.500 --> 00:00:02.000\nHi\n`
 */

const TIMING =
  /^[ \t]*(\d{1,3}:\d{1,2}:\d{1,2}[,.]\d{1,3})[ \t]*-{2,}>[ \t]*(\d{1,3}:\d{1,2}:\d{1,2}[,.]\d{1,3})[^\n]*$/;
/** A SubRip file starts with a number or a timing. */
const MAX_LINES_BEFORE_TIMING = 5;
/** Positions and styles of ASS that some SubRip files contain. */
const OVERRIDES = /\{\\[^}\n]{0,200}\}/g;

/** Null for any other format. */
export function asWebVtt(text: string): string | null {
  const plain = text.replace(/^\uFEFF/, "");
  if (/^WEBVTT(?:[ \t\r\n]|$)/.test(plain)) return plain;
  const lines = plain.split(/\r\n|\r|\n/);
  const first = lines.filter((line) => line.trim() !== "").slice(0, MAX_LINES_BEFORE_TIMING);
  if (!first.some((line) => TIMING.test(line))) return null;
  const converted = lines.map((line) => {
    const timing = TIMING.exec(line);
    if (timing !== null) return `${clock(timing[1]!)} --> ${clock(timing[2]!)}`;
    // In WebVTT, only a timing may contain the arrow.
    return line.replace(OVERRIDES, "").replaceAll("-->", "→");
  });
  return `WEBVTT\n\n${converted.join("\n").trimStart()}`;
}

function clock(text: string): string {
  const [hours, minutes, seconds, fraction] = text.split(/[:,.]/) as [string, string, string, string];
  const two = (part: string) => part.padStart(2, "0");
  return `${two(hours)}:${two(minutes)}:${two(seconds)}.${fraction.padEnd(3, "0")}`;
}
