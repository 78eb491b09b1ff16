// Collects the segments of a media playlist with what applies to each: duration, byte range, key, initialization section.
import { ByteRanges } from "./byte_ranges.ts";
import { malformed, moreThan, type PlaylistError } from "./errors.ts";
import type { References } from "./references.ts";
import type { InitSection, Segment, SegmentKey } from "./segment.ts";
import { Attributes } from "./syntax.ts";
import { parseByteRange, parseDuration, parseIv, parseNumber, parseSequence } from "./values.ts";

/** Longer durations are wrong. */
const MAX_SEGMENT_SECONDS = 3600;

export interface MediaPlaylist {
  readonly kind: "media";
  /** 0 if the playlist does not state it. */
  readonly targetDurationSeconds: number;
  readonly mediaSequence: bigint;
  /** false: a live or unfinished playlist. */
  readonly endList: boolean;
  readonly iFramesOnly: boolean;
  readonly segments: readonly Segment[];
  /** Of all segments together. */
  readonly durationSeconds: number;
}

export class MediaBuilder {
  readonly #references: References;
  readonly #maxSegments: number;
  readonly #segments: Segment[] = [];
  readonly #byteRanges = new ByteRanges();
  #targetDuration = 0;
  #mediaSequence = 0n;
  #endList = false;
  #iFramesOnly = false;
  #total = 0;
  #duration: number | null = null;
  /** The value of an EXTINF that cannot be read. */
  #unreadableDuration: string | null = null;
  #discontinuity = 0;
  #gap = false;
  #key: SegmentKey | null = null;
  /** Consecutive EXT-X-KEY tags (one per DRM system) are alternatives; the first one after a segment starts a new set. */
  #keysOpen = false;
  #map: InitSection | null = null;

  constructor(references: References, maxSegments: number) {
    this.#references = references;
    this.#maxSegments = maxSegments;
  }

  get hasSegments(): boolean {
    return this.#segments.length > 0;
  }

  /** Whether the next URL is a segment's: an EXTINF precedes it. */
  get expectsUrl(): boolean {
    return this.#duration !== null || this.#unreadableDuration !== null;
  }

  /** Tags of multivariant playlists and unknown ones are ignored. */
  tag(name: string, value: string): PlaylistError | null {
    switch (name) {
      case "#EXTINF":
        return this.#extinf(value);
      case "#EXT-X-BYTERANGE":
        return this.#byteRanges.set(value);
      case "#EXT-X-KEY":
        return this.#extKey(value);
      case "#EXT-X-MAP":
        return this.#extMap(value);
      case "#EXT-X-DISCONTINUITY":
        this.#discontinuity++;
        break;
      case "#EXT-X-GAP":
        this.#gap = true;
        break;
      case "#EXT-X-TARGETDURATION":
        this.#targetDuration = parseNumber(value.trim()) ?? this.#targetDuration;
        break;
      case "#EXT-X-MEDIA-SEQUENCE":
        // It has to precede the first segment (RFC 8216 §4.3.3.2).
        if (!this.hasSegments) this.#mediaSequence = parseSequence(value.trim()) ?? this.#mediaSequence;
        break;
      case "#EXT-X-ENDLIST":
        this.#endList = true;
        break;
      case "#EXT-X-I-FRAMES-ONLY":
        this.#iFramesOnly = true;
        break;
    }
    return null;
  }

  /** Adds a segment. */
  url(url: string): PlaylistError | null {
    const durationSeconds = this.#duration ?? this.#assumedDuration();
    if (durationSeconds === null) {
      const text = this.#unreadableDuration;
      return malformed(text === null ? "a segment without #EXTINF" : `#EXTINF:${text.slice(0, 20)} is not a duration`);
    }
    if (this.#segments.length === this.#maxSegments) return moreThan(this.#maxSegments, "segments");
    this.#segments.push({
      url,
      durationSeconds,
      sequence: BigInt.asUintN(64, this.#mediaSequence + BigInt(this.#segments.length)),
      discontinuity: this.#discontinuity,
      byteRange: this.#byteRanges.take(url, this.#map),
      key: this.#key,
      map: this.#map,
      gap: this.#gap,
    });
    this.#total += durationSeconds;
    this.#duration = null;
    this.#unreadableDuration = null;
    this.#gap = false;
    this.#keysOpen = false;
    return null;
  }

  finish(): MediaPlaylist {
    this.#byteRanges.markUnproven(this.#segments);
    return {
      kind: "media",
      targetDurationSeconds: this.#targetDuration,
      mediaSequence: this.#mediaSequence,
      endList: this.#endList,
      iFramesOnly: this.#iFramesOnly,
      segments: this.#segments,
      durationSeconds: this.#total,
    };
  }

  /** Players take the target duration for an EXTINF that cannot be read, but not for a missing one. */
  #assumedDuration(): number | null {
    const known = this.#targetDuration > 0 && this.#targetDuration <= MAX_SEGMENT_SECONDS;
    return this.#unreadableDuration !== null && known ? this.#targetDuration : null;
  }

  #extinf(value: string): PlaylistError | null {
    const seconds = parseDuration(value);
    if (seconds === null) {
      this.#unreadableDuration = value;
      return null;
    }
    this.#duration = seconds;
    return seconds > MAX_SEGMENT_SECONDS ? malformed("a segment of more than an hour") : null;
  }

  #extKey(value: string): PlaylistError | null {
    const attributes = this.#references.attributes(value);
    if (!(attributes instanceof Attributes)) return attributes;
    if (!this.#keysOpen) this.#key = null;
    this.#keysOpen = true;
    const method = attributes.get("METHOD");
    if (method === undefined) return malformed("#EXT-X-KEY without METHOD");
    if (method === "NONE") {
      this.#key = null;
      return null;
    }
    const uri = attributes.get("URI");
    if (uri === undefined) return malformed("#EXT-X-KEY without URI");
    const url = this.#references.absolute(uri);
    if (typeof url !== "string") return url;
    const iv = parseIv(attributes.get("IV"));
    if (iv === undefined) return malformed("an IV that is not 128 bits of hexadecimal");
    const keyFormat = attributes.get("KEYFORMAT") ?? "identity";
    // The first identity key of a set, or else its first key.
    if (this.#key === null || (keyFormat === "identity" && this.#key.keyFormat !== "identity")) {
      this.#key = { method, url, keyFormat, iv };
    }
    return null;
  }

  #extMap(value: string): PlaylistError | null {
    const attributes = this.#references.attributes(value);
    if (!(attributes instanceof Attributes)) return attributes;
    const uri = attributes.get("URI");
    if (uri === undefined) return malformed("#EXT-X-MAP without URI");
    const url = this.#references.absolute(uri);
    if (typeof url !== "string") return url;
    const text = attributes.get("BYTERANGE");
    const range = text === undefined ? null : parseByteRange(text);
    if (text !== undefined && range === null) return malformed(`byte range ${text.slice(0, 40)}`);
    const byteRange = range === null ? null : { offset: range.offset ?? 0, length: range.length };
    this.#map = { url, byteRange, key: this.#key };
    return null;
  }
}
