// Parses an HLS playlist for downloads: variants and renditions, or segments with key, initialization section and byte range.
// Example: parsePlaylist("#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n", new URL("https://cdn.test/m.m3u8"))
//          → { kind: "media", endList: true, segments: [{ url: "https://cdn.test/a.ts", durationSeconds: 4, … }] }
// URLs are absolute but unchecked: check them with core/url_policy.ts before a fetch. The proxy rewrites with core/hls/rewrite.ts.
// As lenient as players: a tag that cannot be read is skipped, unless the bytes of a segment depend on it (key, map, byte range).
// Linear in the length of the text: 10,000 segments take a few milliseconds.
import { err, ok, type Result } from "../result.ts";
import { malformed, moreThan, type PlaylistError } from "./errors.ts";
import { MediaBuilder, type MediaPlaylist } from "./media_playlist.ts";
import { MultivariantBuilder, type MultivariantPlaylist } from "./multivariant_playlist.ts";
import { References } from "./references.ts";

export type { PlaylistError } from "./errors.ts";
export type { MediaPlaylist } from "./media_playlist.ts";
export type { MultivariantPlaylist, Rendition, Variant } from "./multivariant_playlist.ts";
export { type ByteSpan, type InitSection, type Segment, segmentIv, type SegmentKey } from "./segment.ts";

export type Playlist = MultivariantPlaylist | MediaPlaylist;

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
const MAX_SEGMENTS = 20_000;
const MAX_VARIANTS = 200;

/** Whether text starts with #EXTM3U, after a byte order mark and white space. */
export function looksLikePlaylist(text: string): boolean {
  return /^\s*#EXTM3U(?:[ \t\r\n]|$)/.test(text);
}

/** `base` is the playlist's URL after redirects. */
export function parsePlaylist(text: string, base: URL, options: ParseOptions = {}): Result<Playlist, PlaylistError> {
  const isPlaylist = looksLikePlaylist(text) || (options.typedAsHls === true && /^\s*#EXT/.test(text));
  if (!isPlaylist) return err({ code: "not_a_playlist", reason: "does not start with #EXTM3U" });
  const parser = new Parser(base, options);
  const maxLines = options.maxLines ?? MAX_LINES;
  let at = 0;
  for (let number = 1; at < text.length; number++) {
    if (number > maxLines) return err(moreThan(maxLines, "lines"));
    let end = text.indexOf("\n", at);
    if (end === -1) end = text.length;
    const line = text.slice(at, end).trim();
    at = end + 1;
    if (line === "") continue;
    const problem = line.startsWith("#") ? parser.tag(line) : parser.uri(line);
    if (problem !== null) return err({ ...problem, line: number });
    if (parser.exhausted) return err({ code: "too_large", reason: "too many directories or URLs", line: number });
  }
  return parser.finish();
}

/** What the playlist is shows only at its end. */
class Parser {
  readonly #references: References;
  readonly #multivariant: MultivariantBuilder;
  readonly #media: MediaBuilder;

  constructor(base: URL, options: ParseOptions) {
    this.#references = new References(base, options.variables);
    this.#multivariant = new MultivariantBuilder(this.#references, options.maxVariants ?? MAX_VARIANTS);
    this.#media = new MediaBuilder(this.#references, options.maxSegments ?? MAX_SEGMENTS);
  }

  get exhausted(): boolean {
    return this.#references.exhausted;
  }

  tag(line: string): PlaylistError | null {
    const colon = line.indexOf(":");
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1);
    switch (name) {
      case "#EXT-X-DEFINE":
        return this.#references.define(value);
      case "#EXT-X-STREAM-INF":
        return this.#multivariant.streamInf(value);
      case "#EXT-X-MEDIA":
        return this.#multivariant.media(value);
      default:
        return this.#media.tag(name, value);
    }
  }

  uri(line: string): PlaylistError | null {
    const url = this.#references.absolute(line);
    if (this.#multivariant.expectsUrl) return this.#multivariant.url(url);
    if (typeof url !== "string") return url;
    const isStray = this.#multivariant.hasTags && !this.#media.expectsUrl;
    return isStray ? null : this.#media.url(url);
  }

  finish(): Result<Playlist, PlaylistError> {
    if (this.#multivariant.hasVariants && this.#media.hasSegments) {
      return err(malformed("contains variants and segments"));
    }
    if (!this.#multivariant.hasTags || this.#media.hasSegments) return ok(this.#media.finish());
    const playlist = this.#multivariant.finish();
    return "kind" in playlist ? ok(playlist) : err(playlist);
  }
}
