// Media and subtitles in a value of a player: an object, a list of sources, JSON. What is beside the video is left out and counted.
// Example: new MediaFinder(page).add({ sources: [{ file: "/a.m3u8", label: "720p" }], tracks: [{ file: "/en.vtt" }] }).
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { type MediaKind, mediaKind, mediaKindOfType } from "../page/media_kind.ts";
import type { WorkBudget } from "../page/parse_budget.ts";
import { fromBase64, parseJson } from "../script/calls.ts";
import { isObject, JsonText, type ScriptObject, type Value } from "../script/values.ts";
import type { FoundSubtitle } from "../source_list.ts";
import { isDecoyName, isDecoyUrl } from "./decoys.ts";
import { labelledUrls } from "./labelled_urls.ts";
import { heightOf } from "./quality.ts";

export interface Candidate {
  readonly url: HttpUrl;
  /** Null if neither the URL nor the page states it. */
  readonly kind: MediaKind | null;
  /** The page's label, such as "720p". */
  readonly label: string | null;
  readonly height: number | null;
  readonly isDefault: boolean;
}

/** What a value says about the URLs in it. */
interface Hint {
  readonly key: string;
  readonly label: Value | undefined;
  readonly type: Value | undefined;
  readonly isDefault: boolean;
  /** Whether a property on the way to the value names media: `video: { … }`. */
  readonly isWithinMedia: boolean;
}

export interface FinderOptions {
  /** The value is a page's whole state: URLs without an extension count only within `video`, `stream`, …; other episodes do not. */
  readonly isPageState?: boolean;
}

const MAX_DEPTH = 16;
const MAX_CANDIDATES = 200;
const URL_KEY =
  /^(?:contents?|file|files|src|source|sources|url|urls|uri|link|links|path|stream|streams|video|videos|play|media|manifest|hls\d?|dash|mp4|webm|m3u8|mpd|master|playlist|embed)?[_-]?(?:url|uri|link|file|src|path|source|hls|dash|mp4|stream|hd|sd)?\d?$/i;
const MEDIA_NAME = /video|stream|source|media|player|playback|episode|file|hls|dash|mp4/i;
/** Lists of a page's state in which the page's own video is one of many. */
export const OTHERS_KEY =
  /^(?:episodes|seasons|series|movies|items|queue|history|comments|users|genres|latest|popular|trending)$/i;
const TRACK_KEY = /^(?:tracks?|captions?|subtitles?|subs?|texttracks?|cc|vtt|srt)(?:_?(?:url|file|list|tracks?))?$/i;
const KIND_KEY: Readonly<Record<string, MediaKind>> = {
  hls: "hls",
  m3u8: "hls",
  hlsurl: "hls",
  dash: "dash",
  mpd: "dash",
  mp4: "mp4",
  webm: "webm",
  mkv: "mkv",
};
const SUBTITLE = /\.(?:vtt|srt|ass)$/i;
const TRACK_KINDS = new Set(["captions", "subtitles", "subtitle", "caption"]);

export class MediaFinder {
  candidates: Candidate[] = [];
  readonly subtitles: FoundSubtitle[] = [];
  /** URLs left out because they are beside the video. */
  decoys = 0;
  /** Sources left out because they are encrypted for a licence server. */
  protectedBy: string | null = null;
  readonly #base: string;
  readonly #work: WorkBudget;
  readonly #visited = new Set<Value>();
  readonly #urls = new Set<string>();
  readonly #isPageState: boolean;

  constructor(page: { readonly url: string; readonly work: WorkBudget }, { isPageState = false }: FinderOptions = {}) {
    this.#base = page.url;
    this.#work = page.work;
    this.#isPageState = isPageState;
  }

  /** Whether there is a candidate that need not be probed. */
  get isSettled(): boolean {
    return this.candidates.some(({ kind }) => kind !== null);
  }

  get isEmpty(): boolean {
    return this.candidates.length === 0;
  }

  /** `key` is the name of the property or variable that has the value. */
  add(value: Value | undefined, key = "file", more: { readonly label?: Value; readonly type?: Value } = {}): this {
    if (value !== undefined) {
      this.#walk(value, { key, label: more.label, type: more.type, isDefault: false, isWithinMedia: false }, 0);
    }
    return this;
  }

  /** The kind of the candidates that state none. */
  assumeKind(kind: MediaKind): this {
    this.candidates = this.candidates.map((candidate) => ({ ...candidate, kind: candidate.kind ?? kind }));
    return this;
  }

  addTracks(value: Value | undefined): this {
    if (value !== undefined) this.#tracks(value, 0);
    return this;
  }

  #walk(value: Value, hint: Hint, depth: number): void {
    this.#work.spend(1);
    if (typeof value === "string") return this.#text(value, hint, depth);
    if (value instanceof JsonText) return this.#walk(value.value, hint, depth + 1);
    if (typeof value !== "object" || value === null || depth > MAX_DEPTH || this.#visited.has(value)) return;
    this.#visited.add(value);
    if (Array.isArray(value)) { for (const item of value) this.#walk(item, hint, depth + 1); }
    else if (isObject(value)) this.#object(value, hint, depth);
  }

  #object(object: ScriptObject, outer: Hint, depth: number): void {
    const entries = Object.entries(object);
    this.#work.spend(entries.length);
    if (isDecoyObject(object)) {
      this.decoys++;
      return;
    }
    const drm = drmOf(object);
    if (drm !== null) {
      this.protectedBy ??= drm;
      return;
    }
    const label = firstOf(object, [
      "label",
      "quality",
      "size",
      "res",
      "resolution",
      "height",
      "definition",
      "name",
      "title",
      "html",
    ]);
    const type = firstOf(object, [
      "type",
      "mimeType",
      "mime",
      "mime_type",
      "encodingFormat",
      "contentType",
      "format",
      "ext",
    ]);
    const isDefault = object.default === true || object.selected === true || object.default === "true";
    for (const [key, value] of entries) {
      if (isDecoyName(key)) {
        if (typeof value === "string" ? isMedia(value, this.#base) : hasContent(value)) this.decoys++;
      } else if (TRACK_KEY.test(key)) this.#tracks(value, depth + 1);
      else if (this.#isPageState && OTHERS_KEY.test(key)) continue;
      else {
        const byKey = heightOf(/^\d{3,4}p?$|^[a-z\d]{2,6}$/i.test(key) ? key : undefined);
        this.#walk(value, {
          key: byKey !== null || key === "" ? outer.key : key,
          label: byKey !== null ? key : label ?? outer.label,
          type: KIND_KEY[key.toLowerCase()] ?? type ?? outer.type,
          isDefault: isDefault || outer.isDefault,
          isWithinMedia: outer.isWithinMedia || MEDIA_NAME.test(key),
        }, depth + 1);
      }
    }
  }

  #text(text: string, hint: Hint, depth: number): void {
    if (text.length < 4 || this.candidates.length >= MAX_CANDIDATES) return;
    this.#work.spend(text.length >> 2);
    const labelled = labelledUrls(text);
    if (labelled !== null) {
      for (const { label, url } of labelled) this.#text(url, { ...hint, label: label ?? hint.label }, depth + 1);
      return;
    }
    const url = parsedMedia(text, this.#base);
    if (url !== null) return this.#url(url, text, hint);
    if (depth >= MAX_DEPTH) return;
    const isStructure = /^\s*(?:\{\s*"|\[\s*[[{"])/.test(text);
    if (isStructure || isUrlKey(hint.key) || MEDIA_NAME.test(hint.key)) this.#encoded(text, hint, depth);
  }

  /** JSON or a URL as base64, JSON as a text, HTML. */
  #encoded(text: string, hint: Hint, depth: number): void {
    const decoded = /^[\w+/=-]{16,}$/.test(text) ? fromBase64(text) : text;
    if (decoded === null || decoded === undefined) return;
    const plain = decoded.trim();
    if (/^[[{]/.test(plain)) {
      const { value } = parseJson(plain);
      if (value !== undefined) this.#walk(value, hint, depth + 1);
    } else if (decoded !== text && /^(?:https?:)?\/\//i.test(plain)) this.#text(plain, hint, MAX_DEPTH);
  }

  #url(url: HttpUrl, text: string, { key, label, type, isDefault, isWithinMedia }: Hint): void {
    const path = new URL(url).pathname;
    const kind = kindOf(url, type);
    if (SUBTITLE.test(path)) return this.#subtitle(url, { label });
    // Beside its URL, an object with a type has other texts.
    if (mediaKind(url) === null && !isUrlKey(key)) return;
    if (kind === null && (!looksLikeFile(text, path) || (this.#isPageState && !isWithinMedia))) return;
    if (isDecoyUrl(url)) {
      this.decoys++;
      return;
    }
    if (this.#urls.has(url)) return;
    this.#urls.add(url);
    const named = typeof label === "string" || typeof label === "number" ? String(label).trim().slice(0, 80) : null;
    this.candidates.push({ url, kind, label: named, height: heightOf(label), isDefault });
  }

  #tracks(value: Value, depth: number): void {
    this.#work.spend(1);
    if (depth > MAX_DEPTH) return;
    if (typeof value === "string") {
      for (const { label, url } of labelledUrls(value) ?? [{ label: null, url: value }]) {
        const parsed = parseHttpUrl(url, this.#base);
        if (parsed !== null && SUBTITLE.test(new URL(parsed).pathname)) {
          this.#subtitle(parsed, { label: label ?? undefined });
        }
      }
    } else if (Array.isArray(value)) { for (const item of value) this.#tracks(item, depth + 1); }
    else if (isObject(value)) this.#track(value, depth);
  }

  #track(track: ScriptObject, depth: number): void {
    const reference = firstOf(track, ["file", "src", "url", "link", "path"]);
    if (typeof reference !== "string") {
      for (const [key, value] of Object.entries(track)) if (!isDecoyName(key)) this.#tracks(value, depth + 1);
      return;
    }
    const { kind } = track;
    if (typeof kind === "string" && !TRACK_KINDS.has(kind.toLowerCase())) return;
    const url = parseHttpUrl(reference, this.#base);
    const language = firstOf(track, ["srclang", "lang", "language", "code"]);
    if (url !== null && (SUBTITLE.test(new URL(url).pathname) || kind !== undefined)) {
      this.#subtitle(url, { label: firstOf(track, ["label", "name", "title"]), language });
    }
  }

  #subtitle(url: HttpUrl, { label, language }: { label?: Value | undefined; language?: Value | undefined }): void {
    if (
      this.#urls.has(url) || this.subtitles.length >= MAX_CANDIDATES ||
      isDecoyName(new URL(url).pathname.split("/").at(-1)!)
    ) return;
    this.#urls.add(url);
    this.subtitles.push({
      url,
      ...(typeof language === "string" && { language }),
      ...(typeof label === "string" && { label }),
    });
  }
}

/** By the extension of a playlist, the stated type, any other extension: players go by the type of a file without one. */
export function kindOf(url: string, type: Value | undefined): MediaKind | null {
  const byUrl = mediaKind(url);
  if (byUrl === "hls" || byUrl === "dash" || typeof type !== "string") return byUrl;
  const stated = type.toLowerCase();
  return mediaKindOfType(stated) ?? KIND_KEY[stated.replace(/^\./, "")] ?? byUrl;
}

/** The URL of a text that may name media: one with a path or a query, without blanks. */
function parsedMedia(text: string, base: string): HttpUrl | null {
  const reference = text.trim();
  if (reference.length > 8192 || /[\s<>"{}|\\^`]/.test(reference) || !/[./?]/.test(reference)) return null;
  return parseHttpUrl(reference, base);
}

function isMedia(text: string, base: string): boolean {
  const url = parsedMedia(text, base);
  return url !== null && mediaKind(url) !== null;
}

function isUrlKey(key: string): boolean {
  return URL_KEY.test(key);
}

/** Without an extension, but with a host, a path or a query. */
function looksLikeFile(text: string, path: string): boolean {
  return !/\.[a-z][a-z0-9]{0,4}$/i.test(path) && path !== "/" && /^(?:https?:)?\/|^[\w./-]+\?/i.test(text.trim());
}

function firstOf(object: ScriptObject, names: readonly string[]): Value | undefined {
  for (const name of names) {
    const value = Object.hasOwn(object, name) ? object[name] : undefined;
    if (typeof value === "string" || typeof value === "number") return value;
  }
  return undefined;
}

/** `{ type: "trailer", … }`, `{ isAd: true, … }`. */
function isDecoyObject(object: ScriptObject): boolean {
  for (const name of ["type", "kind", "role", "category", "purpose", "name", "title", "id", "class"]) {
    const value = object[name];
    if (typeof value === "string" && value.length < 40 && !value.includes("/") && isOnlyDecoy(value)) return true;
  }
  return ["isAd", "is_ad", "ad", "isTrailer", "is_trailer", "trailer", "preview", "isPreview"].some((name) =>
    object[name] === true
  );
}

/** "Trailer", "Trailer 2", "pre-roll", but not "Next Door" or "The Preview Room". */
function isOnlyDecoy(text: string): boolean {
  const words = text.toLowerCase().split(/[^a-z]+/).filter((word) => word !== "");
  return words.length > 0 && words.length <= 2 &&
    words.every((word) => word === "official" || word === "pre" || isDecoyName(word));
}

function drmOf(object: ScriptObject): string | null {
  for (const name of ["drm", "keySystems", "key_systems", "protection", "protData"]) {
    const value = object[name];
    if (isObject(value) && Object.keys(value).length > 0) return Object.keys(value)[0]!.slice(0, 40);
  }
  return null;
}

function hasContent(value: Value): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}
