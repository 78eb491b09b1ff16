/**
 * Subtitle files that a provider lists beside the video, as text tracks: reads them, brings their cues into a form that MP4 can contain, and
 * copies the video's file with them. Needs ffmpeg on PATH. It reads files that this process wrote: never a name from outside.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { Omission } from "../../core/media_report.ts";
import { type ListedFile, nameOf } from "../download/listed_subtitles.ts";
import { runChild } from "../process/child.ts";
import type { Cue } from "../subtitles/cue.ts";
import { mergeCues, withoutOverlaps } from "../subtitles/cue_list.ts";
import { decodeText, isAss, readSubtitleFile, type SubtitleFile } from "../subtitles/subtitle_text.ts";

export interface ListedTrack {
  /** As the file states them, sorted, without overlaps; at least one. */
  readonly cues: readonly Cue[];
  readonly language: string | null;
  readonly label: string | null;
}

const MAX_CUES = 100_000;
const MAX_CONVERTED_BYTES = 16 * 1024 * 1024;
const CONVERSION_TIMEOUT_MS = 30_000;
/** Outlines of signs, which ffmpeg leaves in the text. */
const ASS_DRAWING = /^m(?:\s+-?\d+(?:\.\d+)?){2}\s+[lbnsp]\b/;

/** What cannot be read is left out. @throws the signal's reason */
export async function readListedTracks(
  files: readonly ListedFile[],
  signal: AbortSignal,
): Promise<{ tracks: readonly ListedTrack[]; leftOut: readonly Omission[] }> {
  const tracks: ListedTrack[] = [];
  const leftOut: Omission[] = [];
  for (const file of files) {
    const omit = (code: string, reason: string) =>
      leftOut.push({ kind: "subtitles", code, detail: `${nameOf(file)}: ${reason}` });
    const { cues, problems } = await readFile(file.bytes, signal);
    for (const { code, reason } of problems) omit(code, reason);
    const sorted = mergeCues(cues.slice(0, MAX_CUES).map((cue, group) => ({ ...cue, group })));
    const placed = withoutOverlaps(sorted.filter((cue) => Number.isFinite(cue.end)));
    const dropped = placed.dropped + Math.max(0, cues.length - MAX_CUES);
    if (dropped > 0) omit("too_many", `cues left out, too many at one time or in all: ${dropped}`);
    if (placed.cues.length > 0) tracks.push({ cues: placed.cues, language: file.language, label: file.label });
    else omit("no_cues", "the track is left out: it has no cue");
  }
  return { tracks, leftOut };
}

async function readFile(bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<SubtitleFile> {
  if (!isAss(bytes)) return readSubtitleFile(bytes);
  const converted = await convertAss(decodeText(bytes), signal);
  if (converted === null) {
    return { cues: [], problems: [{ code: "unreadable", reason: "ffmpeg cannot read it as ASS" }] };
  }
  const { cues, problems } = readSubtitleFile(converted);
  return { cues: cues.filter(({ text }) => !ASS_DRAWING.test(text)), problems };
}

/** WebVTT; null if ffmpeg cannot read the text. */
async function convertAss(text: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const timeout = AbortSignal.timeout(CONVERSION_TIMEOUT_MS);
  const args = ["-v", "error", "-f", "ass", "-protocol_whitelist", "pipe", "-i", "pipe:0", "-f", "webvtt", "pipe:1"];
  try {
    const { code } = await runChild("ffmpeg", args, {
      signal: AbortSignal.any([signal, timeout]),
      feed: async (write) => void await write(new TextEncoder().encode(text)),
      onStdout: (piece) => {
        size += piece.length;
        if (size <= MAX_CONVERTED_BYTES) pieces.push(piece.slice());
      },
    });
    return code === 0 ? await new Blob(pieces).bytes() : null;
  } catch (error) {
    signal.throwIfAborted();
    if (timeout.aborted || (error instanceof KeepstreamError && error.code === "unknown")) return null;
    throw error;
  }
}

/** The cues until `end`, as a WebVTT file; null if there is none. */
export function webVttUntil(cues: readonly Cue[], end: number): string | null {
  const visible = cues.filter((cue) => cue.start < end);
  if (visible.length === 0) return null;
  const blocks = visible.map((cue) => `${stamp(cue.start)} --> ${stamp(Math.min(cue.end, end))}\n${cue.text}`);
  return `WEBVTT\n\n${blocks.join("\n\n")}\n`;
}

function stamp(seconds: number): string {
  const ms = Math.round(seconds * 1000);
  const pad = (value: number, length = 2) => String(Math.floor(value)).padStart(length, "0");
  return `${pad(ms / 3_600_000)}:${pad(ms / 60_000 % 60)}:${pad(ms / 1000 % 60)}.${pad(ms % 1000, 3)}`;
}
