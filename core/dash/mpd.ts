// Parses an MPD (ISO/IEC 23009-1) for downloads: its periods, adaptation sets and representations, with base URLs and protection.
// Example: parseMpd(text, new URL("https://cdn.test/v/m.mpd")) → { isDynamic: false, periods: [{ sets: [{ contentType: "video", … }] }] }
// Segments are listed per representation (core/dash/segments.ts), because all of them together can be millions.
import { err, ok, type Result } from "../result.ts";
import { type Level, levelsOf, looksLikeMpd } from "./levels.ts";
import { parseXml, type XmlElement, type XmlError } from "./xml.ts";
import { protectionName } from "./protection.ts";

const MAX_PERIODS = 200;
const MAX_REPRESENTATIONS = 2000;

export interface Mpd {
  readonly isDynamic: boolean;
  readonly periods: readonly Period[];
}

export interface Period {
  readonly startSeconds: number;
  /** null if the MPD does not state it. */
  readonly durationSeconds: number | null;
  readonly sets: readonly AdaptationSet[];
}

export interface AdaptationSet {
  readonly contentType: "video" | "audio" | "text" | "image" | "other";
  readonly id: string | null;
  readonly language: string | null;
  readonly label: string | null;
  /** Values of Role elements: main, alternate, commentary, dub, caption, subtitle, … */
  readonly roles: readonly string[];
  readonly representations: readonly Representation[];
}

export interface Representation {
  readonly id: string;
  readonly bandwidth: number;
  readonly width: number | null;
  readonly height: number | null;
  readonly frameRate: number | null;
  readonly codecs: string | null;
  readonly mimeType: string;
  /** Names of DRM systems; empty for clear content. */
  readonly protection: readonly string[];
  /** The MPD, period, adaptation set and representation elements, for core/dash/segments.ts. */
  readonly level: Level;
}

export interface MpdError extends Omit<XmlError, "code"> {
  readonly code: XmlError["code"] | "not_an_mpd" | "unsupported";
}

/** `base` is the MPD's URL after redirects. */
export function parseMpd(text: string, base: URL): Result<Mpd, MpdError> {
  if (!looksLikeMpd(text)) return err({ code: "not_an_mpd", reason: "is not an MPD" });
  const xml = parseXml(text);
  if (!xml.ok) return xml;
  const root = xml.value;
  const elements = root.all("Period");
  if (elements.length > MAX_PERIODS) return err({ code: "too_large", reason: `more than ${MAX_PERIODS} periods` });
  const remote = elements.some((period) => isRemote(period) || period.children.some(isRemote));
  if (remote) return err({ code: "unsupported", reason: "contains elements at other URLs (xlink:href)" });
  const levels = levelsOf(root, base);
  if (!levels.ok) return err({ code: "malformed", reason: levels.error });
  if (levels.value.length > MAX_REPRESENTATIONS) {
    return err({ code: "too_large", reason: `more than ${MAX_REPRESENTATIONS} representations` });
  }
  const bySet = Map.groupBy(levels.value, ({ set }) => set);
  const timing = periodTiming(root, elements);
  return ok({
    isDynamic: root.get("type") === "dynamic",
    periods: elements.flatMap((period, i) => {
      const sets = period.all("AdaptationSet").map((set) => adaptationSet(set, bySet.get(set) ?? []));
      return sets.length === 0 ? [] : [{ ...timing[i]!, sets }];
    }),
  });
}

/** `PT1H2M3.5S` → 3723.5; null if it is not a duration. */
export function parseDuration(text: string | null): number | null {
  const match =
    /^P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,6})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:\.\d{1,12})?)S)?)?$/
      .exec(text ?? "");
  if (match === null) return null;
  const [years, months, days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0));
  return (((years! * 365 + months! * 30 + days!) * 24 + hours!) * 60 + minutes!) * 60 + seconds!;
}

/** A remote element that resolves to nothing is removed by players. */
function isRemote(element: XmlElement): boolean {
  return /^https?:|^[^:]+$/i.test(element.get("xlink:href") ?? "");
}

function periodTiming(root: XmlElement, periods: readonly XmlElement[]) {
  const total = parseDuration(root.get("mediaPresentationDuration"));
  const starts: number[] = [];
  for (const [i, period] of periods.entries()) {
    const before = i === 0 ? 0 : starts[i - 1]! + (parseDuration(periods[i - 1]!.get("duration")) ?? 0);
    starts.push(parseDuration(period.get("start")) ?? before);
  }
  return periods.map((period, i) => {
    const end = starts[i + 1] ?? total;
    const stated = parseDuration(period.get("duration"));
    const left = end === null ? null : end - starts[i]!;
    // A total that ends before the period starts is wrong.
    return { startSeconds: starts[i]!, durationSeconds: stated ?? (left !== null && left > 0 ? left : null) };
  });
}

function adaptationSet(set: XmlElement, levels: readonly Level[]): AdaptationSet {
  const representations = levels.map((level) => representation(level));
  return {
    contentType: contentType(set, representations),
    id: set.get("id"),
    language: set.get("lang"),
    label: set.child("Label")?.text || null,
    roles: set.all("Role").flatMap((role) => role.get("value") ?? []),
    representations: isSpecial(set) ? [] : representations,
  };
}

function representation(level: Level): Representation {
  const { set, element } = level;
  const either = (name: string) => element.get(name) ?? set.get(name);
  const protections = [...set.all("ContentProtection"), ...element.all("ContentProtection")];
  return {
    id: element.get("id") ?? "",
    bandwidth: toInteger(element.get("bandwidth")) ?? 0,
    width: toInteger(either("width")),
    height: toInteger(either("height")),
    frameRate: frameRate(either("frameRate")),
    codecs: either("codecs"),
    mimeType: (either("mimeType") ?? "").toLowerCase(),
    protection: [...new Set(protections.map(protectionName))],
    level,
  };
}

function contentType(set: XmlElement, representations: readonly Representation[]): AdaptationSet["contentType"] {
  const [first] = representations;
  const mime = first?.mimeType ?? "";
  if (/ttml|vtt/.test(mime) || /^(?:wvtt|stpp)/.test(first?.codecs ?? "")) return "text";
  const stated = set.get("contentType") ?? set.child("ContentComponent")?.get("contentType") ?? mime.split("/")[0]!;
  return stated === "video" || stated === "audio" || stated === "text" || stated === "image" ? stated : "other";
}

/** Descriptors that every player understands; a set with another EssentialProperty has to be ignored. */
const UNDERSTOOD = /^urn:mpeg:(?:mpegB:cicp|dash:role|dash:srd:2014)/;

/** Trick play, thumbnails, and sets for players with an extension. */
function isSpecial(set: XmlElement): boolean {
  return set.all("EssentialProperty").some((property) => !UNDERSTOOD.test(property.get("schemeIdUri") ?? "")) ||
    set.all("SupplementalProperty").some((one) => one.get("schemeIdUri") === "http://dashif.org/guidelines/trickmode");
}

function frameRate(text: string | null): number | null {
  const match = /^(\d{1,9}(?:\.\d{1,9})?)(?:\/(\d{1,9}))?$/.exec(text ?? "");
  return match === null ? null : Number(match[1]) / Number(match[2] ?? 1);
}

function toInteger(text: string | null): number | null {
  return text !== null && /^\d{1,12}$/.test(text) ? Number(text) : null;
}
