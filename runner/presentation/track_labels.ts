/** Language, name and flags of a track, as an MP4 states them and a menu shows them. Pure. Example: jpn → { language: "ja", label: "Japanese" }. */
import { boxAt, type BoxBody, childBoxes } from "../mp4/boxes.ts";
import type { TrackTables } from "./track_tables.ts";

export interface TrackLabels {
  /** BCP 47; null if unknown. */
  readonly language: string | null;
  readonly label: string;
  readonly isDefault: boolean;
  readonly forced: boolean;
}

const MAX_NAME = 60;
/** Names that a muxer writes, not a person. */
const MUXER_NAME =
  /handler|gpac|bento|l-smash|isom?[ _-]?media|core media|mainconcept|^(video|audio|sound|subtitles?|text|stream|track|media)?[\s\d]*$/i;
const UNKNOWN = new Set(["und", "mis", "mul", "zxx"]);
const KIND = { video: "Video", audio: "Audio", subtitles: "Subtitles" };
/** ISO/IEC 23009-1 §5.8.5.5. */
const ROLES = "urn:mpeg:dash:role:2011";
/** tx3g: all samples are forced. */
const ALL_FORCED = 0x80000000;

export function labelsOf(track: TrackTables, kind: "video" | "audio" | "subtitles", number: number): TrackLabels {
  const { trak, entries } = track;
  const [root] = childBoxes(trak, { start: 0, end: trak.length }) ?? [];
  const find = (path: readonly string[]) => root === undefined ? null : boxAt(trak, root, path);
  const tkhd = find(["tkhd"]);
  const language = languageOf(track, text(trak, find(["mdia", "elng"]), 4));
  const forced = kind === "subtitles" &&
    (isForcedRole(trak, find(["udta"])) || (displayFlags(entries[0]!) & ALL_FORCED) !== 0);
  const name = [text(trak, find(["udta", "name"]), 0), text(trak, find(["mdia", "hdlr"]), 24)].find((name) =>
    !MUXER_NAME.test(name)
  );
  return {
    language,
    label: name ?? languageLabel({ language, kind, number, forced }),
    isDefault: tkhd !== null && (trak[tkhd.body + 3]! & 1) === 1,
    forced,
  };
}

/** Of a track without a name. */
export function languageLabel(
  { language, kind, number, forced }: {
    language: string | null;
    kind: keyof typeof KIND;
    number: number;
    forced: boolean;
  },
): string {
  if (kind === "video") return KIND.video;
  const name = language === null ? undefined : new Intl.DisplayNames(["en"], { type: "language" }).of(language);
  return `${name ?? `${KIND[kind]} ${number}`}${forced ? " (forced)" : ""}`;
}

/** BCP 47 of a tag or of three letters; null if unknown or invalid. */
export function languageTag(tag: string): string | null {
  if (UNKNOWN.has(tag) || !/^[a-z]{2,3}(-[a-z\d]{2,8}){0,3}$/i.test(tag)) return null;
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? null;
  } catch {
    return null; // not a valid tag
  }
}

/** The extended tag, if valid, else the three letters of mdhd. */
function languageOf({ language }: TrackTables, extended: string): string | null {
  const letters = [10, 5, 0].map((shift) => String.fromCharCode(0x60 + (language >> shift & 31))).join("");
  return languageTag(extended) ?? languageTag(letters);
}

/** UTF-8 up to the first NUL, without control characters. */
function text(trak: Uint8Array, box: BoxBody | null, skip: number): string {
  if (box === null || box.body + skip >= box.end) return "";
  const bytes = trak.subarray(box.body + skip, box.end);
  const end = bytes.indexOf(0);
  const decoded = new TextDecoder().decode(bytes.subarray(0, end === -1 ? undefined : end));
  return decoded.replace(/[\p{Cc}\p{Cf}\u2028\u2029\uFFFD]/gu, " ").trim().slice(0, MAX_NAME).toWellFormed();
}

/** `kind` (ISO/IEC 14496-12 §8.10.4): a scheme and a value. */
function isForcedRole(trak: Uint8Array, udta: BoxBody | null): boolean {
  const kinds = udta === null ? [] : childBoxes(trak, { start: udta.body, end: udta.end }) ?? [];
  return kinds.filter(({ type }) => type === "kind").some(({ body, end }) => {
    const [scheme, value] = new TextDecoder().decode(trak.subarray(Math.min(body + 4, end), end)).split("\0");
    return scheme === ROLES && (value === "forced-subtitle" || value === "forced_subtitle");
  });
}

function displayFlags(entry: Uint8Array): number {
  return entry.length < 20 ? 0 : new DataView(entry.buffer, entry.byteOffset).getUint32(16);
}
