// Lists the segments of one representation: SegmentTemplate, SegmentList, or the byte ranges of one file (SegmentBase).
// Example: <SegmentTemplate timescale="1000" duration="2000" media="$Number$.m4s" initialization="i.mp4"/> in a period of 5 s
//          → { kind: "listed", init: { url: "…/i.mp4" }, segments: [1.m4s, 2.m4s, 3.m4s] }
import type { ByteSpan } from "../hls/playlist.ts";
import { err, ok, type Result } from "../result.ts";
import { type SegmentInfo, segmentInfoOf } from "./levels.ts";
import type { MpdError, Representation } from "./mpd.ts";
import { fillTemplate } from "./template.ts";
import type { XmlElement } from "./xml.ts";

export interface DashPiece {
  readonly url: string;
  readonly byteRange: ByteSpan | null;
}

export interface DashSegment extends DashPiece {
  readonly durationSeconds: number;
}

interface Common {
  readonly init: DashPiece | null;
  /** The media time of the period's start (presentationTimeOffset). */
  readonly offsetSeconds: number;
}

export interface ListedSegments extends Common {
  readonly kind: "listed";
  readonly segments: readonly DashSegment[];
  /** Their number follows from the period's duration, which may be rounded. */
  readonly isCounted: boolean;
}

/** One file with an index (sidx), whose position may be unknown. */
export interface IndexedFile extends Common {
  readonly kind: "file";
  readonly url: string;
  readonly index: ByteSpan | null;
}

export type DashSegments = ListedSegments | IndexedFile;

export interface SegmentOptions {
  /** Of the period; null if unknown. */
  readonly durationSeconds: number | null;
  readonly maxSegments: number;
  /** Which of several base URLs. @default 0 */
  readonly alternative?: number;
}

type Listed = Result<DashSegments, MpdError>;

export function segmentsOf(representation: Representation, options: SegmentOptions): Listed {
  const { bases } = representation.level;
  const base = bases[Math.min(options.alternative ?? 0, bases.length - 1)]!;
  const info = new Inherited(representation);
  try {
    if (info.name === "SegmentTemplate") return new Lister(representation, { info, base, options }).template();
    if (info.name === "SegmentList") return new Lister(representation, { info, base, options }).list();
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    return err({ code: "malformed", reason: "has a segment URL or number that cannot be parsed" });
  }
  const initialization = info.child("Initialization");
  const init = initialization === null ? null : pieceOf(initialization, base);
  const offsetSeconds = Number(info.get("presentationTimeOffset") ?? 0) / Number(info.get("timescale") ?? 1) || 0;
  return ok({ kind: "file", url: base.href, init, index: parseRange(info.get("indexRange")), offsetSeconds });
}

/** The segment information that applies: each attribute and element from the lowest level that has it. */
class Inherited {
  readonly name: SegmentInfo["name"];
  readonly #elements: readonly XmlElement[];

  constructor({ level }: Representation) {
    ({ name: this.name, elements: this.#elements } = segmentInfoOf(level));
  }

  get(name: string): string | null {
    for (const element of this.#elements) {
      const value = element.get(name);
      if (value !== null) return value;
    }
    return null;
  }

  child(name: string): XmlElement | null {
    return this.#elements.find((one) => one.child(name) !== null)?.child(name) ?? null;
  }

  all(name: string): readonly XmlElement[] {
    return this.#elements.find((one) => one.child(name) !== null)?.all(name) ?? [];
  }
}

interface Span {
  readonly time: bigint;
  readonly duration: bigint;
}

class Lister {
  readonly #representation: Representation;
  readonly #info: Inherited;
  readonly #base: URL;
  readonly #options: SegmentOptions;
  readonly #timescale: bigint;

  constructor(
    representation: Representation,
    { info, base, options }: { info: Inherited; base: URL; options: SegmentOptions },
  ) {
    this.#representation = representation;
    this.#info = info;
    this.#base = base;
    this.#options = options;
    this.#timescale = BigInt(info.get("timescale") ?? 1);
    if (this.#timescale <= 0n) throw new SyntaxError("timescale");
  }

  template(): Listed {
    const media = this.#info.get("media");
    if (media === null) return malformed("has a SegmentTemplate without media");
    const spans = this.#spans(null);
    if (!Array.isArray(spans)) return err(spans);
    const startNumber = BigInt(this.#info.get("startNumber") ?? 1);
    const endNumber = this.#info.get("endNumber");
    const last = endNumber === null ? Infinity : Number(BigInt(endNumber) - startNumber);
    const segments = spans.slice(0, last + 1).flatMap((span, i) =>
      this.#isInPeriod(span) ? [this.#segment(this.#fill(media, startNumber + BigInt(i), span.time), null, span)] : []
    );
    const initialization = this.#info.get("initialization");
    const init = initialization === null
      ? this.#initElement()
      : { url: this.#resolve(this.#fill(initialization)), byteRange: null };
    const isCounted = this.#info.child("SegmentTimeline") === null;
    return ok({ kind: "listed", init, segments, isCounted, offsetSeconds: this.#offsetSeconds });
  }

  list(): Listed {
    const urls = this.#info.all("SegmentURL");
    if (urls.length > this.#options.maxSegments) return err(this.#tooMany());
    const spans = this.#spans(urls.length);
    if (!Array.isArray(spans)) return err(spans);
    if (spans.length < urls.length) return malformed("has more SegmentURL elements than durations");
    const segments = urls.map((url, i) =>
      this.#segment(url.get("media") ?? "", parseRange(url.get("mediaRange")), spans[i]!)
    );
    return ok({
      kind: "listed",
      init: this.#initElement(),
      segments,
      isCounted: false,
      offsetSeconds: this.#offsetSeconds,
    });
  }

  /** Start and duration of each segment, in units of the timescale. `count` is that of a SegmentList. */
  #spans(count: number | null): Span[] | MpdError {
    const timeline = this.#info.child("SegmentTimeline");
    if (timeline !== null) return this.#timelineSpans(timeline);
    const { durationSeconds, maxSegments } = this.#options;
    const total = durationSeconds === null ? null : this.#ticks(durationSeconds);
    const stated = this.#info.get("duration");
    if (stated === null) {
      // One segment that is as long as the period.
      return total === null ? unknownDuration() : [{ time: this.#offset, duration: total }];
    }
    const duration = BigInt(stated);
    if (duration <= 0n) return { code: "malformed", reason: "has a segment duration of 0" };
    if (count === null && total === null) return unknownDuration();
    // A period that ends within a millisecond of a segment's end does not have another one.
    const number = count ?? Number((total! + duration - 1n - this.#timescale / 1000n) / duration);
    if (number > maxSegments) return this.#tooMany();
    return Array.from({ length: number }, (_, i) => {
      const time = BigInt(i) * duration;
      const left = total === null ? duration : total - time;
      return { time: time + this.#offset, duration: left > 0n && left < duration ? left : duration };
    });
  }

  #timelineSpans(timeline: XmlElement): Span[] | MpdError {
    const spans: Span[] = [];
    let time = 0n;
    const { durationSeconds, maxSegments } = this.#options;
    const entries = timeline.all("S");
    for (const [i, entry] of entries.entries()) {
      const duration = BigInt(entry.get("d") ?? 0);
      if (duration <= 0n) return { code: "malformed", reason: "has an S element without a duration" };
      time = BigInt(entry.get("t") ?? time);
      let repeat = BigInt(entry.get("r") ?? 0);
      if (repeat < 0n) {
        const next = entries[i + 1]?.get("t") ?? null;
        if (next === null && durationSeconds === null) return unknownDuration();
        const end = next === null ? this.#offset + this.#ticks(durationSeconds!) : BigInt(next);
        repeat = (end - time + duration - 1n - this.#timescale / 1000n) / duration - 1n;
      }
      if (repeat >= maxSegments - spans.length) return this.#tooMany();
      for (; repeat >= 0n; repeat--) {
        spans.push({ time, duration });
        time += duration;
      }
    }
    return spans;
  }

  /** The media time of the period's start. */
  get #offset(): bigint {
    return BigInt(this.#info.get("presentationTimeOffset") ?? 0);
  }

  get #offsetSeconds(): number {
    return Number(this.#offset) / Number(this.#timescale);
  }

  #ticks(seconds: number): bigint {
    return BigInt(Math.round(seconds * 1e6)) * this.#timescale / 1_000_000n;
  }

  #isInPeriod({ time, duration }: Span): boolean {
    const { durationSeconds } = this.#options;
    const start = time - this.#offset;
    return start + duration > 0n && (durationSeconds === null || start < this.#ticks(durationSeconds));
  }

  #segment(path: string, byteRange: ByteSpan | null, { duration }: Span): DashSegment {
    return { url: this.#resolve(path), byteRange, durationSeconds: Number(duration) / Number(this.#timescale) };
  }

  #initElement(): DashPiece | null {
    const element = this.#info.child("Initialization");
    return element === null ? null : pieceOf(element, this.#base);
  }

  #fill(template: string, number?: bigint, time?: bigint): string {
    const { id, bandwidth } = this.#representation;
    return fillTemplate(template, { id, bandwidth, ...(number === undefined ? {} : { number, time: time! }) });
  }

  #resolve(path: string): string {
    return new URL(path, this.#base).href;
  }

  #tooMany(): MpdError {
    return { code: "too_large", reason: `more than ${this.#options.maxSegments} segments` };
  }
}

function pieceOf(element: XmlElement, base: URL): DashPiece {
  return { url: new URL(element.get("sourceURL") ?? "", base).href, byteRange: parseRange(element.get("range")) };
}

/** `0-799` → 800 bytes from 0. */
function parseRange(text: string | null): ByteSpan | null {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(text ?? "");
  if (match === null || Number(match[2]) < Number(match[1])) return null;
  return { offset: Number(match[1]), length: Number(match[2]) - Number(match[1]) + 1 };
}

function unknownDuration(): MpdError {
  return { code: "malformed", reason: "does not state how long its segments or its period last" };
}

function malformed(reason: string): Listed {
  return err({ code: "malformed", reason });
}
