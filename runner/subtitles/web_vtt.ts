/**
 * Parses a WebVTT file or segment, as leniently as players do. Pure, linear time. W3C WebVTT §6.1, RFC 8216 §3.5.
 * Example: "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:0\n\n00:01.000 --> 00:02.000\nOne" → { map: { source: 10, local: 0 }, … }.
 */
import { cleanText, type Cue, MAX_CUE_LENGTH } from "./cue.ts";

export interface WebVtt {
  readonly cues: readonly Cue[];
  /** Maps cue times to the clock of the media: both values in seconds. null without X-TIMESTAMP-MAP. */
  readonly map: { readonly source: number; readonly local: number } | null;
  /** STYLE and REGION blocks, which are not kept. */
  readonly styles: number;
  /** Cues with invalid times, without a duration, or too long. */
  readonly invalid: number;
}

const TICKS_PER_SECOND = 90_000;
const TIMING = /^\s*([\d:.,]{1,24})\s*-->\s*([\d:.,]{1,24})(?:\s|$)/;
/** Those that need no REGION block. */
const SETTING =
  /^(?:vertical:(?:rl|lr)|line:-?[\d.]{1,8}%?(?:,(?:start|center|end))?|position:[\d.]{1,8}%(?:,[a-z-]{1,12})?|size:[\d.]{1,8}%|align:(?:start|center|end|left|right))$/;

/** null if the text is not WebVTT. */
export function parseWebVtt(text: string): WebVtt | null {
  const lines = text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n").replaceAll("\0", "\uFFFD").split("\n");
  if (!/^WEBVTT(?:[ \t]|$)/.test(lines[0]!)) return null;
  const cues: Cue[] = [];
  let [map, styles, invalid]: [WebVtt["map"], number, number] = [null, 0, 0];
  for (let at = 1; at < lines.length;) {
    const { head, timing, text, end } = readBlock(lines, at);
    at = end;
    const tag = cues.length > 0 ? undefined : head.find((line) => line.startsWith("X-TIMESTAMP-MAP="));
    if (tag !== undefined) map ??= parseMap(tag);
    if (/^(?:STYLE|REGION)\s*$/.test(head[0] ?? "")) styles++;
    if (timing === null) continue;
    const cue = parseCue(timing, text);
    if (cue === null) invalid++;
    else if (cue.text !== "") cues.push(cue);
  }
  return { cues, map, styles, invalid };
}

interface Block {
  /** Before the timing: header, identifier, or a whole NOTE, STYLE or REGION block. */
  readonly head: readonly string[];
  /** The line with the arrow. */
  readonly timing: string | null;
  readonly text: readonly string[];
  /** The line after the block. */
  readonly end: number;
}

/** A block ends at a blank line, or where the next cue starts: some packagers leave out the blank line. */
function readBlock(lines: readonly string[], from: number): Block {
  let at = from;
  while (lines[at] === "") at++;
  const isNote = /^NOTE(?:\s|$)/.test(lines[at] ?? "");
  const [head, text]: [string[], string[]] = [[], []];
  let timing: string | null = null;
  for (; at < lines.length && lines[at] !== ""; at++) {
    const line = lines[at]!;
    if (isNote || !line.includes("-->")) (timing === null ? head : text).push(line);
    else if (timing === null) timing = line;
    else break;
  }
  return { head, timing, text, end: at };
}

function parseCue(timing: string, lines: readonly string[]): Cue | null {
  const match = TIMING.exec(timing);
  const [start, end] = [parseTime(match?.[1] ?? ""), parseTime(match?.[2] ?? "")];
  const text = cleanText(lines.join("\n"));
  if (start === null || end === null || end <= start || text.length > MAX_CUE_LENGTH) return null;
  const settings = timing.slice(match![0].length).split(/\s+/).filter((one) => SETTING.test(one)).join(" ");
  return { start, end, text, ...(settings === "" ? {} : { settings }) };
}

/** A part that is missing or invalid counts as 0. */
function parseMap(tag: string): WebVtt["map"] {
  const ticks = /MPEGTS:\s*(\d{1,15})/i.exec(tag)?.[1];
  const local = /LOCAL:\s*([\d:.]{1,24})/i.exec(tag)?.[1];
  return { source: Number(ticks ?? 0) / TICKS_PER_SECOND, local: parseTime(local ?? "") ?? 0 };
}

/** Hours are optional. Decimal commas and plain seconds are invalid, and in use. */
function parseTime(text: string): number | null {
  const match = /^(?:(?:(\d{1,6}):)?(\d{1,2}):)?(\d{1,6})(?:[.,](\d{1,9}))?$/.exec(text);
  if (match === null) return null;
  const [, hours = "0", minutes = "0", seconds = "0", fraction = "0"] = match;
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) + Number(`0.${fraction}`);
}
