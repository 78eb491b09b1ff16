/**
 * Reads downloaded subtitle renditions of any format into cues on the archive's timeline. What cannot be read is reported and left out; it
 * never fails the video. Example: `const { tracks, leftOut } = await collectSubtitles(renditions, clock)`.
 */
import type { DownloadedRendition } from "../download/hls.ts";
import type { Cue } from "../subtitles/cue.ts";
import { mergeCues, withoutOverlaps } from "../subtitles/cue_list.ts";
import { type ClockPart, type CueGroup, placeCues } from "../subtitles/placement.ts";
import { readSegment, type SubtitleSegment } from "../subtitles/read_segment.ts";
import type { Omission } from "../../core/media_report.ts";
import { SubtitleProblems } from "./subtitle_problems.ts";

export interface SubtitleClock {
  /** The parts of the video. */
  readonly parts: readonly ClockPart[];
  /** Of the video; cues end with it. */
  readonly durationSeconds: number;
}

export interface SubtitleTrack {
  /** Sorted, without overlaps; at least one. */
  readonly cues: readonly Cue[];
  /** The same with overlaps and settings, which a text track cannot have. */
  readonly styled: readonly Cue[];
  readonly language: string | null;
  readonly name: string | null;
  readonly isDefault: boolean;
  readonly forced?: boolean;
}

export interface Subtitles {
  readonly tracks: readonly SubtitleTrack[];
  readonly leftOut: readonly Omission[];
}

const MAX_SEGMENT_BYTES = 4 * 1024 * 1024;
/** Of one rendition, and of all. A film of two hours has 0.2 MB as WebVTT, up to 10 MB as TTML with its styles in every segment. */
const MAX_BYTES = 16 * 1024 * 1024;
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;
const MAX_CUES = 100_000;

/** Renditions of other roles are ignored. */
export async function collectSubtitles(
  renditions: readonly DownloadedRendition[],
  clock: SubtitleClock,
): Promise<Subtitles> {
  const tracks: SubtitleTrack[] = [];
  const leftOut: Omission[] = [];
  const budget = { bytes: MAX_TOTAL_BYTES };
  for (const rendition of renditions) {
    if (rendition.role !== "subtitles") continue;
    const problems = new SubtitleProblems(rendition);
    const { cues, styled } = cuesOf(await readGroups(rendition, { problems, budget }), { clock, problems });
    leftOut.push(...problems.omissions(cues.length));
    if (cues.length === 0) continue;
    const { language, name, isDefault, forced } = rendition;
    tracks.push({ cues, styled, language, name, isDefault, ...(forced ? { forced } : {}) });
  }
  return { tracks, leftOut };
}

async function readGroups(
  rendition: DownloadedRendition,
  { problems, budget }: { problems: SubtitleProblems; budget: { bytes: number } },
): Promise<CueGroup[]> {
  const groups: CueGroup[] = [];
  const readInit = initReader();
  let [at, bytes, cues] = [0, 0, 0];
  for (const [i, { discontinuity, durationSeconds, timestampShift = 0 }] of rendition.segments.entries()) {
    const window = { start: at, end: at += durationSeconds };
    const missing = rendition.missing.get(i);
    if (missing !== undefined) {
      const code = missing.code === "source_expired" ? "not_found" : "unavailable";
      problems.add(code, `missing: ${missing.message}`, i);
      continue;
    }
    const { size } = await Deno.stat(rendition.files[i]!);
    bytes += size;
    budget.bytes -= size;
    if (size > MAX_SEGMENT_BYTES || bytes > MAX_BYTES || budget.bytes < 0 || cues > MAX_CUES) {
      problems.add("too_large", "left out with those after it: too much text", i);
      break;
    }
    const segment = await readFiles(rendition, i, readInit);
    for (const { code, reason } of segment.problems) problems.add(code, reason, i);
    for (const group of segment.groups) {
      cues += group.cues.length;
      const offsets = group.offsets.map((offset) => offset === null ? null : offset + timestampShift);
      groups.push({ ...group, offsets, discontinuity, window });
    }
  }
  return groups;
}

async function readFiles(
  { files, maps }: DownloadedRendition,
  i: number,
  readInit: ReturnType<typeof initReader>,
): Promise<SubtitleSegment> {
  const map = maps[i] ?? null;
  return readSegment(await Deno.readFile(files[i]!), map === null ? null : await readInit(map));
}

/** Keeps the latest init section: segments in a row share it. null if it is too large. */
function initReader(): (path: string) => Promise<Uint8Array | null> {
  let latest: { readonly path: string; readonly bytes: Uint8Array | null } | null = null;
  return async (path) => {
    if (latest?.path !== path) {
      const { size } = await Deno.stat(path);
      latest = { path, bytes: size > MAX_SEGMENT_BYTES ? null : await Deno.readFile(path) };
    }
    return latest.bytes;
  };
}

/** On the archive's timeline, as a text track can contain them. */
function cuesOf(
  groups: readonly CueGroup[],
  { clock, problems }: { clock: SubtitleClock; problems: SubtitleProblems },
): { readonly cues: readonly Cue[]; readonly styled: readonly Cue[] } {
  const end = clock.durationSeconds;
  const placed = placeCues(groups, clock.parts);
  const visible = placed.filter((cue) => cue.end > 0 && cue.start < end);
  if (visible.length < placed.length) {
    const count = placed.length - visible.length;
    problems.add("outside", `cues before the start or after the end of the video: ${count}`);
  }
  const merged = mergeCues(
    visible.map((cue) => ({ ...cue, start: Math.max(0, cue.start), end: Math.min(cue.end, end) })),
  );
  const { cues, dropped } = withoutOverlaps(merged);
  if (dropped > 0) problems.add("too_many", `cues left out, too many at one time or in all: ${dropped}`);
  return { cues, styled: dropped > 0 ? cues : merged };
}
