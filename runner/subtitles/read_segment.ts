/**
 * Reads one subtitle segment: WebVTT, TTML, or either of them in fragmented MP4 (wvtt, stpp). Pure.
 * Example: `readSegment(bytes, null)` → { groups: [{ cues: [{ start: 1, end: 2, text: "One" }], offsets: [0, 0, null] }], problems: [] }.
 */
import { readTextSamples, readTextTrack, type TextSample } from "./fmp4_samples.ts";
import type { CueGroup } from "./placement.ts";
import { parseTtml } from "./ttml.ts";
import { parseWebVtt } from "./web_vtt.ts";
import { readWvttCues } from "./wvtt.ts";

/** Cues without a map are on the source's clock, as RFC 8216 says, or relative to their sample, or on the presentation's timeline. */
export type SegmentCues = Pick<CueGroup, "cues" | "offsets">;

export interface SubtitleProblem {
  readonly code: "empty" | "unreadable" | "images" | "styles" | "invalid";
  /** What is in the segment. */
  readonly reason: string;
}

export interface SubtitleSegment {
  readonly groups: readonly SegmentCues[];
  readonly problems: readonly SubtitleProblem[];
}

/** `init`: the init section of a segment in MP4. */
export function readSegment(bytes: Uint8Array, init: Uint8Array | null): SubtitleSegment {
  if (isMp4(bytes)) return readMp4(bytes, init);
  if ((bytes[0] === 0xfe && bytes[1] === 0xff) || (bytes[0] === 0xff && bytes[1] === 0xfe)) {
    return unreadable("UTF-16 text; WebVTT is UTF-8");
  }
  const text = new TextDecoder().decode(bytes);
  if (text.trim() === "") return problem("empty", "empty");
  return text.trimStart().startsWith("<") ? readTtml([{ text }]) : readText(text);
}

function readText(text: string): SubtitleSegment {
  const isSubRip = /^\s*\d+\s*\r?\n\s*\d+:\d\d:\d\d,\d+ -->/.test(text);
  const parsed = parseWebVtt(isSubRip ? `WEBVTT\n\n${text}` : text);
  if (parsed === null) return unreadable("not WebVTT");
  const { cues, map, styles, invalid } = parsed;
  const offset = map === null ? 0 : map.source - map.local;
  return {
    groups: [{ cues, offsets: map === null ? UNMAPPED : [offset, offset, offset] }],
    problems: [
      ...(styles > 0
        ? [{ code: "styles" as const, reason: "STYLE or REGION blocks, which MP4 text cannot contain" }]
        : []),
      ...invalidCues(invalid),
    ],
  };
}

const UNMAPPED: readonly (number | null)[] = [0, 0, null];

function readMp4(bytes: Uint8Array, init: Uint8Array | null): SubtitleSegment {
  const track = init === null ? null : readTextTrack(init);
  if (track === null) return unreadable("fragmented MP4 without a readable init section");
  const samples = readTextSamples(bytes, track);
  if (samples === null) return unreadable("fragments that cannot be read");
  if (track.format === "stpp") {
    return readTtml(samples.filter(hasBytes).map((sample) => ({ text: documentOf(sample.bytes), sample })));
  }
  if (track.format !== "wvtt") {
    return unreadable(`the format ${printable(track.format)}; only wvtt and stpp are read`);
  }
  const cues = samples.map(readWvttCues);
  return {
    groups: cues.flatMap((found) => found === null ? [] : [{ cues: found, offsets: UNMAPPED }]),
    problems: cues.includes(null) ? [{ code: "unreadable", reason: "samples that are not WebVTT" }] : [],
  };
}

/** TTML in MP4 has the track's times; some packagers write times relative to the sample. */
function readTtml(documents: readonly { readonly text: string; readonly sample?: TextSample }[]): SubtitleSegment {
  const groups: SegmentCues[] = [];
  let [images, invalid, broken] = [0, 0, 0];
  for (const { text, sample } of documents) {
    const parsed = parseTtml(text);
    if (parsed === null) broken++;
    else {
      groups.push({ cues: parsed.cues, offsets: [0, sample?.start ?? 0, null] });
      images += parsed.images;
      invalid += parsed.invalid;
    }
  }
  const problems: SubtitleProblem[] = invalidCues(invalid);
  if (images > 0) problems.push({ code: "images", reason: "images instead of text" });
  if (broken > 0) problems.push({ code: "unreadable", reason: "TTML that cannot be read" });
  return { groups, problems };
}

/** The document at the start of a sample; images may follow. */
function documentOf(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes);
  const end = /<\/(?:[A-Za-z][\w.-]{0,40}:)?tt\s*>/g;
  const match = end.exec(text);
  return match === null ? text : text.slice(0, match.index + match[0].length);
}

function isMp4(bytes: Uint8Array): boolean {
  return /^(?:ftyp|styp|moof|sidx|emsg|prft|moov|free|skip|mdat|uuid)$/.test(
    new TextDecoder("latin1").decode(bytes.subarray(4, 8)),
  );
}

function hasBytes({ bytes }: TextSample): boolean {
  return bytes.length > 0;
}

function invalidCues(count: number): SubtitleProblem[] {
  return count === 0 ? [] : [{ code: "invalid", reason: `cues with invalid times or too much text: ${count}` }];
}

function unreadable(reason: string): SubtitleSegment {
  return problem("unreadable", reason);
}

function problem(code: SubtitleProblem["code"], reason: string): SubtitleSegment {
  return { groups: [], problems: [{ code, reason }] };
}

function printable(format: string): string {
  return JSON.stringify(format.replace(/[^\x20-\x7e]/g, "?"));
}
