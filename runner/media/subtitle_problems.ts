/**
 * Collects what is missing in a subtitle rendition. Example: `problems.add("empty", "empty", 2)`, then `problems.omissions(1)` → one with the
 * detail `subtitles en "English", segment 3 of 9: empty`.
 */
import type { DownloadedRendition } from "../download/hls.ts";
import type { Omission } from "../../core/media_report.ts";

const MAX_NAMED_SEGMENTS = 5;

export class SubtitleProblems {
  readonly #rendition: DownloadedRendition;
  readonly #found = new Map<string, { readonly reason: string; readonly segments: number[] }>();

  constructor(rendition: DownloadedRendition) {
    this.#rendition = rendition;
  }

  add(code: string, reason: string, segment?: number): void {
    const found = this.#found.get(code) ?? { reason, segments: [] };
    this.#found.set(code, found);
    if (segment !== undefined) found.segments.push(segment + 1);
  }

  /** One per code, with the first segments that have it. */
  omissions(cues: number): Omission[] {
    const { language, name, segments } = this.#rendition;
    const title = ["subtitles", language, name === null ? null : JSON.stringify(name)].filter((part) => part).join(" ");
    if (cues === 0) this.add("no_cues", "the track is left out: it has no cue");
    return [...this.#found].map(([code, { reason, segments: numbers }]) => {
      const place = numbers.length === 0 ? "" : `, ${listOf(numbers)} of ${segments.length}`;
      return { kind: "subtitles", code, detail: `${title}${place}: ${reason}` };
    });
  }
}

/** Example: "segment 3", "segments 3, 4 and 10 more". */
function listOf(numbers: readonly number[]): string {
  const named = numbers.slice(0, MAX_NAMED_SEGMENTS).join(", ");
  const more = numbers.length - MAX_NAMED_SEGMENTS;
  return `segment${numbers.length > 1 ? "s" : ""} ${named}${more > 0 ? ` and ${more} more` : ""}`;
}
