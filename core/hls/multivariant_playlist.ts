// Collects the variants and renditions of a multivariant playlist. Those that cannot be read are skipped, except audio.
import { malformed, moreThan, type PlaylistError } from "./errors.ts";
import type { References } from "./references.ts";
import { Attributes } from "./syntax.ts";
import { parseNumber } from "./values.ts";

const MAX_SKIPPED = 20;

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

export class MultivariantBuilder {
  readonly #references: References;
  readonly #maxEntries: number;
  readonly #renditions: Rendition[] = [];
  readonly #variants: Variant[] = [];
  readonly #skipped: string[] = [];
  /** Attributes of the variant whose URL is the next line. */
  #streamInf: Attributes | null = null;
  #hasTags = false;

  constructor(references: References, maxEntries: number) {
    this.#references = references;
    this.#maxEntries = maxEntries;
  }

  /** Whether the playlist has tags that only a multivariant playlist has. */
  get hasTags(): boolean {
    return this.#hasTags;
  }

  get hasVariants(): boolean {
    return this.#variants.length > 0;
  }

  get expectsUrl(): boolean {
    return this.#streamInf !== null;
  }

  streamInf(value: string): PlaylistError | null {
    const attributes = this.#references.attributes(value);
    if (!(attributes instanceof Attributes)) return attributes;
    this.#hasTags = true;
    this.#streamInf = attributes;
    return null;
  }

  media(value: string): PlaylistError | null {
    const attributes = this.#references.attributes(value);
    if (!(attributes instanceof Attributes)) return attributes;
    this.#hasTags = true;
    const type = attributes.get("TYPE");
    if (type !== "AUDIO" && type !== "VIDEO" && type !== "SUBTITLES" && type !== "CLOSED-CAPTIONS") {
      return this.#skip("#EXT-X-MEDIA of an unknown TYPE");
    }
    const uri = attributes.get("URI");
    const url = uri === undefined ? null : this.#references.absolute(uri);
    if (url !== null && typeof url !== "string") {
      // Without its audio, the video would be archived silently.
      return type === "AUDIO" || url.code === "too_large" ? url : this.#skip(`${type}: ${url.reason}`);
    }
    this.#renditions.push(toRendition(attributes, { type, url }));
    return this.#renditions.length > this.#maxEntries ? moreThan(this.#maxEntries, "renditions") : null;
  }

  /** Adds the variant that the last EXT-X-STREAM-INF announced. */
  url(url: string | PlaylistError): PlaylistError | null {
    const attributes = this.#streamInf!;
    this.#streamInf = null;
    if (typeof url !== "string") return url.code === "too_large" ? url : this.#skip(`a variant: ${url.reason}`);
    this.#variants.push(toVariant(attributes, url));
    return this.#variants.length > this.#maxEntries ? moreThan(this.#maxEntries, "variants") : null;
  }

  finish(): MultivariantPlaylist | PlaylistError {
    if (this.#variants.length === 0) return malformed(this.#skipped[0] ?? "no variant has a URL");
    return {
      kind: "multivariant",
      variants: this.#variants,
      renditions: this.#renditions,
      variables: this.#references.variables,
      skipped: this.#skipped,
    };
  }

  #skip(reason: string): null {
    if (this.#skipped.length < MAX_SKIPPED) this.#skipped.push(reason);
    return null;
  }
}

function toVariant(attributes: Attributes, url: string): Variant {
  const size = /^(\d{1,5})x(\d{1,5})$/i.exec(attributes.get("RESOLUTION") ?? "");
  return {
    url,
    bandwidth: parseNumber(attributes.get("BANDWIDTH")) ?? 0,
    width: size === null ? null : Number(size[1]),
    height: size === null ? null : Number(size[2]),
    codecs: attributes.get("CODECS") ?? null,
    frameRate: parseNumber(attributes.get("FRAME-RATE")),
    audio: attributes.get("AUDIO") ?? null,
    subtitles: attributes.get("SUBTITLES") ?? null,
  };
}

function toRendition(attributes: Attributes, { type, url }: Pick<Rendition, "type" | "url">): Rendition {
  const groupId = attributes.get("GROUP-ID") ?? "";
  return {
    type,
    groupId,
    name: attributes.get("NAME") ?? groupId,
    language: attributes.get("LANGUAGE") ?? null,
    isDefault: attributes.get("DEFAULT") === "YES",
    forced: attributes.get("FORCED") === "YES",
    channels: attributes.get("CHANNELS") ?? null,
    url,
  };
}
