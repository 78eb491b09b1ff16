// The byte ranges of a media playlist's segments: a range without an offset continues the range before it.
// Example: EXT-X-BYTERANGE:100@20, then EXT-X-BYTERANGE:50 of the same resource → { offset: 120, length: 50 }
import { malformed, type PlaylistError } from "./errors.ts";
import type { ByteSpan, InitSection, Segment } from "./segment.ts";
import { parseByteRange } from "./values.ts";

export class ByteRanges {
  #next: { length: number; offset: number | null } | null = null;
  /** The resource and position where a range without an offset continues. */
  #previous: { url: string; end: number } | null = null;
  /** Resources whose first range has no offset. */
  readonly #unproven = new Set<string>();

  /** Reads an EXT-X-BYTERANGE, which applies to the next segment. */
  set(value: string): PlaylistError | null {
    const range = parseByteRange(value);
    if (range === null) return malformed(`byte range ${value.slice(0, 40)}`);
    this.#next = range;
    return null;
  }

  /** The range of the segment at `url`; null for the whole resource. */
  take(url: string, map: InitSection | null): ByteSpan | null {
    const [range, previous] = [this.#next, this.#previous];
    this.#next = this.#previous = null;
    if (range === null) return null;
    const offset = range.offset ?? (previous?.url === url ? previous.end : this.#firstOffset(url, map));
    this.#previous = { url, end: offset + range.length };
    return { offset, length: range.length };
  }

  /** Where players start a resource's first range if the playlist does not state it: after the init section, or at 0. */
  #firstOffset(url: string, map: InitSection | null): number {
    this.#unproven.add(url);
    const init = map?.url === url ? map.byteRange : null;
    return init?.offset === 0 ? init.length : 0;
  }

  /** Marks the segments of those resources: such an offset is right only if the resource ends where its last range ends. */
  markUnproven(segments: Segment[]): void {
    if (this.#unproven.size === 0) return;
    const ends = new Map<string, number>();
    for (const { url, byteRange } of segments) {
      if (byteRange !== null) ends.set(url, Math.max(ends.get(url) ?? 0, byteRange.offset + byteRange.length));
    }
    for (const [i, segment] of segments.entries()) {
      if (segment.byteRange === null || !this.#unproven.has(segment.url)) continue;
      const byteRange = { ...segment.byteRange, resourceLength: ends.get(segment.url)! };
      segments[i] = { ...segment, byteRange };
    }
  }
}
