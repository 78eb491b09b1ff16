// Parses an HLS playlist for downloads: variants and renditions, or segments with key, initialization section and byte range.
// Example: parsePlaylist("#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n", new URL("https://cdn.test/m.m3u8"))
//          → { kind: "media", endList: true, segments: [{ url: "https://cdn.test/a.ts", durationSeconds: 4, … }] }
// URLs are absolute but unchecked: check them with core/url_policy.ts before a fetch. The proxy rewrites with core/hls/rewrite.ts.
// As lenient as players: a tag that cannot be read is skipped, unless the bytes of a segment depend on it (key, map, byte range).
// Linear in the length of the text: 10,000 segments take a few milliseconds.
import { Attributes, createResolver, MAX_ATTRIBUTES, type PlaylistError, Variables } from "./syntax.ts";
import { err, ok, type Result } from "../result.ts";
import { parseByteRange, parseDuration, parseIv, parseNumber, parseSequence } from "./values.ts";

export type { PlaylistError } from "./syntax.ts";

export type Playlist = MultivariantPlaylist | MediaPlaylist;

export interface MultivariantPlaylist {
  readonly kind: "multivariant";
  readonly variants: readonly Variant[];
  readonly renditions: readonly Rendition[];
  /** To pass to parsePlaylist for the media playlists, which may import them with EXT-X-DEFINE. */
  readonly variables: ReadonlyMap<string, string>;
  /** Variants and renditions that cannot be read, as messages. */
  readonly skipped: readonly string[];
}

export interface Variant {
  readonly url: string;
  /** Bits per second. */
  readonly bandwidth: number;
  readonly width: number | null;
  readonly height: number | null;
  readonly codecs: string | null;
  readonly frameRate: number | null;
  /** Group ids of renditions. */
  readonly audio: string | null;
  readonly subtitles: string | null;
}

export interface Rendition {
  readonly type: "AUDIO" | "VIDEO" | "SUBTITLES" | "CLOSED-CAPTIONS";
  readonly groupId: string;
  readonly name: string;
  readonly language: string | null;
  readonly isDefault: boolean;
  readonly forced: boolean;
  readonly channels: string | null;
  /** null: the rendition is part of the variant's own segments. */
  readonly url: string | null;
}

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

export interface Segment {
  readonly url: string;
  readonly durationSeconds: number;
  /** Media sequence number, which is the default IV of AES-128. */
  readonly sequence: bigint;
  /** Number of preceding EXT-X-DISCONTINUITY tags: segments with the same number share a timeline. */
  readonly discontinuity: number;
  readonly byteRange: ByteSpan | null;
  readonly key: SegmentKey | null;
  readonly map: InitSection | null;
  /** EXT-X-GAP: the segment is missing on the server. */
  readonly gap: boolean;
}

export interface ByteSpan {
  readonly offset: number;
  readonly length: number;
  /** The playlist does not state where the first range starts: the offset is right only if the resource has this length. */
  readonly resourceLength?: number;
}

export interface SegmentKey {
  /** AES-128, SAMPLE-AES, SAMPLE-AES-CTR, … as written. */
  readonly method: string;
  /** May be a `data:` URL, which contains the key. */
  readonly url: string;
  /** `identity`, or the name of a DRM system. */
  readonly keyFormat: string;
  /** 16 bytes; null for the sequence number (see segmentIv). */
  readonly iv: Uint8Array<ArrayBuffer> | null;
}

export interface InitSection {
  readonly url: string;
  readonly byteRange: ByteSpan | null;
  /** The key that applies to the EXT-X-MAP. */
  readonly key: SegmentKey | null;
}

export interface ParseOptions {
  /** Variables of the multivariant playlist. */
  readonly variables?: ReadonlyMap<string, string>;
  readonly maxSegments?: number;
  readonly maxLines?: number;
  readonly maxVariants?: number;
  /** The response's media type is one of HLS: #EXTM3U may be missing. */
  readonly typedAsHls?: boolean;
}

/** Seven for each of 20,000 segments. */
const MAX_LINES = 150_000;
const NO_VARIABLES: ReadonlyMap<string, string> = new Map();
/** Longer durations are wrong. */
const MAX_SEGMENT_SECONDS = 3600;
const MAX_SKIPPED = 20;

/** Whether text starts with #EXTM3U, after a byte order mark and white space. */
export function looksLikePlaylist(text: string): boolean {
  return /^\s*#EXTM3U(?:[ \t\r\n]|$)/.test(text);
}

/** `base` is the playlist's URL after redirects. */
export function parsePlaylist(text: string, base: URL, options: ParseOptions = {}): Result<Playlist, PlaylistError> {
  const isPlaylist = looksLikePlaylist(text) || (options.typedAsHls === true && /^\s*#EXT/.test(text));
  if (!isPlaylist) return err({ code: "not_a_playlist", reason: "does not start with #EXTM3U" });
  const state = new Parser(base, options);
  const maxLines = options.maxLines ?? MAX_LINES;
  let at = 0;
  for (let number = 1; at < text.length; number++) {
    if (number > maxLines) return err({ code: "too_large", reason: `more than ${maxLines} lines` });
    let end = text.indexOf("\n", at);
    if (end === -1) end = text.length;
    const line = text.slice(at, end).trim();
    at = end + 1;
    if (line === "") continue;
    const problem = line.startsWith("#") ? state.tag(line) : state.uri(line);
    if (problem !== null) return err({ ...problem, line: number });
    if (state.exhausted) return err({ code: "too_large", reason: "too many directories or URLs", line: number });
  }
  return state.finish();
}

/** The IV of a segment: the key's own, or the sequence number as a 128-bit big-endian integer. */
export function segmentIv(segment: Segment): Uint8Array<ArrayBuffer> {
  if (segment.key?.iv) return segment.key.iv;
  const iv = new Uint8Array(16);
  new DataView(iv.buffer).setBigUint64(8, segment.sequence);
  return iv;
}

type Problem = PlaylistError | null;

class Parser {
  readonly #base: URL;
  readonly #options: ParseOptions;
  readonly #resolver;
  readonly #variables = new Variables();
  readonly #variants: Variant[] = [];
  readonly #renditions: Rendition[] = [];
  readonly #segments: Segment[] = [];
  readonly #skipped: string[] = [];
  #isMultivariant = false;
  #streamInf: Attributes | null = null;
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
  #byteRange: { length: number; offset: number | null } | null = null;
  /** The resource and position where a byte range without an offset continues. */
  #previousRange: { url: string; end: number } | null = null;
  /** Resources whose first range has no offset. */
  readonly #unprovenRanges = new Set<string>();
  #key: SegmentKey | null = null;
  /** Consecutive EXT-X-KEY tags (one per DRM system) are alternatives; the first one after a segment starts a new set. */
  #keysOpen = false;
  #map: InitSection | null = null;

  constructor(base: URL, options: ParseOptions) {
    this.#base = base;
    this.#options = options;
    this.#resolver = createResolver(base, (href) => ({ href }));
  }

  /** The playlist has too many directories or URLs. */
  get exhausted(): boolean {
    return this.#resolver.exhausted;
  }

  tag(line: string): Problem {
    const colon = line.indexOf(":");
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1);
    switch (name) {
      case "#EXTINF":
        return this.#extinf(value);
      case "#EXT-X-BYTERANGE":
        return this.#setByteRange(value);
      case "#EXT-X-KEY":
        return this.#extKey(value);
      case "#EXT-X-MAP":
        return this.#extMap(value);
      case "#EXT-X-DISCONTINUITY":
        this.#discontinuity++;
        return null;
      case "#EXT-X-GAP":
        this.#gap = true;
        return null;
      case "#EXT-X-TARGETDURATION":
        this.#targetDuration = parseNumber(value.trim()) ?? this.#targetDuration;
        return null;
      case "#EXT-X-MEDIA-SEQUENCE":
        // It has to precede the first segment (RFC 8216 §4.3.3.2).
        if (this.#segments.length === 0) this.#mediaSequence = parseSequence(value.trim()) ?? this.#mediaSequence;
        return null;
      case "#EXT-X-ENDLIST":
        this.#endList = true;
        return null;
      case "#EXT-X-I-FRAMES-ONLY":
        this.#iFramesOnly = true;
        return null;
      case "#EXT-X-DEFINE":
        return this.#define(value);
      case "#EXT-X-STREAM-INF":
        return this.#extStreamInf(value);
      case "#EXT-X-MEDIA":
        return this.#extMedia(value);
      default:
        return null;
    }
  }

  uri(line: string): Problem {
    const url = this.#absolute(line);
    if (this.#streamInf !== null) return this.#addVariant(this.#streamInf, url);
    if (typeof url !== "string") return url;
    const duration = this.#duration ?? this.#assumedDuration();
    if (duration !== null) return this.#addSegment(url, duration);
    if (this.#unreadableDuration !== null) {
      return malformed(`#EXTINF:${this.#unreadableDuration.slice(0, 20)} is not a duration`);
    }
    return this.#isMultivariant ? null : malformed("a segment without #EXTINF");
  }

  /** Players take the target duration for an EXTINF that cannot be read, but not for a missing one. */
  #assumedDuration(): number | null {
    const known = this.#targetDuration > 0 && this.#targetDuration <= MAX_SEGMENT_SECONDS;
    return this.#unreadableDuration !== null && known ? this.#targetDuration : null;
  }

  finish(): Result<Playlist, PlaylistError> {
    if (this.#variants.length > 0 && this.#segments.length > 0) {
      return err(malformed("contains variants and segments"));
    }
    if (this.#isMultivariant && this.#segments.length === 0) {
      if (this.#variants.length === 0) {
        return err(malformed(this.#skipped[0] ?? "no variant has a URL"));
      }
      return ok({
        kind: "multivariant",
        variants: this.#variants,
        renditions: this.#renditions,
        variables: this.#variables.values,
        skipped: this.#skipped,
      });
    }
    this.#markUnprovenRanges();
    return ok({
      kind: "media",
      targetDurationSeconds: this.#targetDuration,
      mediaSequence: this.#mediaSequence,
      endList: this.#endList,
      iFramesOnly: this.#iFramesOnly,
      segments: this.#segments,
      durationSeconds: this.#total,
    });
  }

  #extinf(value: string): Problem {
    const seconds = parseDuration(value);
    if (seconds === null) {
      this.#unreadableDuration = value;
      return null;
    }
    this.#duration = seconds;
    return seconds > MAX_SEGMENT_SECONDS ? malformed("a segment of more than an hour") : null;
  }

  #setByteRange(value: string): Problem {
    const range = parseByteRange(value);
    if (range === null) return malformed(`byte range ${value.slice(0, 40)}`);
    this.#byteRange = range;
    return null;
  }

  #extKey(value: string): Problem {
    const attributes = this.#attributes(value);
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
    const url = this.#absolute(uri);
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

  #extMap(value: string): Problem {
    const attributes = this.#attributes(value);
    if (!(attributes instanceof Attributes)) return attributes;
    const uri = attributes.get("URI");
    if (uri === undefined) return malformed("#EXT-X-MAP without URI");
    const url = this.#absolute(uri);
    if (typeof url !== "string") return url;
    const text = attributes.get("BYTERANGE");
    const range = text === undefined ? null : parseByteRange(text);
    if (text !== undefined && range === null) return malformed(`byte range ${text.slice(0, 40)}`);
    const byteRange = range === null ? null : { offset: range.offset ?? 0, length: range.length };
    this.#map = { url, byteRange, key: this.#key };
    return null;
  }

  #define(value: string): Problem {
    const imported = this.#options.variables ?? NO_VARIABLES;
    return this.#variables.define(value, { imported, base: this.#base });
  }

  #extStreamInf(value: string): Problem {
    const attributes = this.#attributes(value);
    if (!(attributes instanceof Attributes)) return attributes;
    this.#isMultivariant = true;
    this.#streamInf = attributes;
    return null;
  }

  #extMedia(value: string): Problem {
    const attributes = this.#attributes(value);
    if (!(attributes instanceof Attributes)) return attributes;
    this.#isMultivariant = true;
    const type = attributes.get("TYPE");
    if (type !== "AUDIO" && type !== "VIDEO" && type !== "SUBTITLES" && type !== "CLOSED-CAPTIONS") {
      return this.#skip("#EXT-X-MEDIA of an unknown TYPE");
    }
    const uri = attributes.get("URI");
    const url = uri === undefined ? null : this.#absolute(uri);
    if (url !== null && typeof url !== "string") {
      // Without its audio, the video would be archived silently.
      return type === "AUDIO" || url.code === "too_large" ? url : this.#skip(`${type}: ${url.reason}`);
    }
    const groupId = attributes.get("GROUP-ID") ?? "";
    this.#renditions.push({
      type,
      groupId,
      name: attributes.get("NAME") ?? groupId,
      language: attributes.get("LANGUAGE") ?? null,
      isDefault: attributes.get("DEFAULT") === "YES",
      forced: attributes.get("FORCED") === "YES",
      channels: attributes.get("CHANNELS") ?? null,
      url,
    });
    return this.#renditions.length > this.#maxVariants ? tooLarge("renditions", this.#maxVariants) : null;
  }

  get #maxVariants(): number {
    return this.#options.maxVariants ?? 200;
  }

  /** Continues without a variant or rendition that cannot be read. */
  #skip(reason: string): null {
    if (this.#skipped.length < MAX_SKIPPED) this.#skipped.push(reason);
    return null;
  }

  #addVariant(attributes: Attributes, url: string | PlaylistError): Problem {
    this.#streamInf = null;
    if (typeof url !== "string") return url.code === "too_large" ? url : this.#skip(`a variant: ${url.reason}`);
    const size = /^(\d{1,5})x(\d{1,5})$/i.exec(attributes.get("RESOLUTION") ?? "");
    this.#variants.push({
      url,
      bandwidth: parseNumber(attributes.get("BANDWIDTH")) ?? 0,
      width: size === null ? null : Number(size[1]),
      height: size === null ? null : Number(size[2]),
      codecs: attributes.get("CODECS") ?? null,
      frameRate: parseNumber(attributes.get("FRAME-RATE")),
      audio: attributes.get("AUDIO") ?? null,
      subtitles: attributes.get("SUBTITLES") ?? null,
    });
    return this.#variants.length > this.#maxVariants ? tooLarge("variants", this.#maxVariants) : null;
  }

  #addSegment(url: string, durationSeconds: number): Problem {
    const maxSegments = this.#options.maxSegments ?? 20_000;
    if (this.#segments.length === maxSegments) return tooLarge("segments", maxSegments);
    this.#segments.push({
      url,
      durationSeconds,
      sequence: BigInt.asUintN(64, this.#mediaSequence + BigInt(this.#segments.length)),
      discontinuity: this.#discontinuity,
      byteRange: this.#takeByteRange(url),
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

  #takeByteRange(url: string): ByteSpan | null {
    const range = this.#byteRange;
    this.#byteRange = null;
    const previous = this.#previousRange;
    this.#previousRange = null;
    if (range === null) return null;
    const offset = range.offset ?? (previous !== null && previous.url === url ? previous.end : this.#firstOffset(url));
    this.#previousRange = { url, end: offset + range.length };
    return { offset, length: range.length };
  }

  /** Where players start a resource's first range if the playlist does not state it: after the init section, or at 0. */
  #firstOffset(url: string): number {
    this.#unprovenRanges.add(url);
    const init = this.#map?.url === url ? this.#map.byteRange : null;
    return init?.offset === 0 ? init.length : 0;
  }

  /** Such an offset is right only if the resource ends where its last range ends. */
  #markUnprovenRanges(): void {
    if (this.#unprovenRanges.size === 0) return;
    const ends = new Map<string, number>();
    for (const { url, byteRange } of this.#segments) {
      if (byteRange !== null) ends.set(url, Math.max(ends.get(url) ?? 0, byteRange.offset + byteRange.length));
    }
    for (const [i, segment] of this.#segments.entries()) {
      if (segment.byteRange === null || !this.#unprovenRanges.has(segment.url)) continue;
      const byteRange = { ...segment.byteRange, resourceLength: ends.get(segment.url)! };
      this.#segments[i] = { ...segment, byteRange };
    }
  }

  #attributes(value: string): Attributes | PlaylistError {
    const attributes = Attributes.parse(value);
    if (attributes === null) return tooLarge("attributes in one tag", MAX_ATTRIBUTES);
    return (value.includes("{$") ? attributes.expand(this.#variables) : null) ?? attributes;
  }

  #absolute(uri: string): string | PlaylistError {
    const text = this.#expand(uri);
    if (typeof text !== "string") return text;
    const resolved = this.#resolver.resolve(text);
    if (resolved === null) return malformed("a URL that cannot be parsed");
    return "other" in resolved ? resolved.other.href : resolved.directory.href + resolved.rest;
  }

  #expand(text: string): string | PlaylistError {
    if (!text.includes("{$")) return text;
    const expanded = this.#variables.expand(text);
    return expanded.ok ? expanded.value : expanded.error;
  }
}

function malformed(reason: string): PlaylistError {
  return { code: "malformed", reason };
}

function tooLarge(what: string, limit: number): PlaylistError {
  return { code: "too_large", reason: `more than ${limit} ${what}` };
}
