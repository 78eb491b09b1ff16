/**
 * Chooses what to archive of an MPD: one video representation, one audio track per language and role, subtitles; in every period. Pure.
 * Example: `chooseTracks(mpd, "720p").tracks` → [{ role: "video", perPeriod: [Representation, Representation] }, { role: "audio", … }].
 */
import type { AdaptationSet, Mpd, Period, Representation } from "../../core/dash/mpd.ts";
import { KeepstreamError } from "../../core/errors.ts";
import type { ChosenVariant } from "../../core/media_report.ts";
import type { Role } from "./hls_plan.ts";
import { orderVariants } from "./variant_choice.ts";

const MAX_AUDIO = 16;
const MAX_SUBTITLES = 48;

export type ChosenTrack = {
  readonly role: Role;
  readonly language: string | null;
  readonly name: string | null;
  readonly isDefault: boolean;
  /** One for each period. */
  readonly perPeriod: readonly Representation[];
};

type Track = Omit<ChosenTrack, "perPeriod"> & { readonly representation: Representation };

export type Choice = { readonly tracks: readonly ChosenTrack[]; readonly variant: ChosenVariant };

export function chooseTracks({ periods }: Mpd, wanted: string | null): Choice {
  const longest = [...periods].sort((a, b) => (b.durationSeconds ?? 0) - (a.durationSeconds ?? 0))[0];
  if (longest === undefined) throw new KeepstreamError("unsupported", "the MPD has no period with content");
  const { variant, ...video } = chooseVideo(longest, wanted);
  const audio = chooseAudio(longest).slice(0, MAX_AUDIO);
  // Cues of one file per period would need another offset for each.
  const subtitles = periods.length === 1 ? chooseSubtitles(longest).slice(0, MAX_SUBTITLES) : [];
  const tracks = [video, ...audio, ...subtitles].map(({ representation, ...track }) => ({
    ...track,
    perPeriod: periods.map((period, i) =>
      period === longest ? representation : counterpart(period, i, { ...track, representation })
    ),
  }));
  return { tracks, variant };
}

function chooseVideo(period: Period, wanted: string | null): Track & { readonly variant: ChosenVariant } {
  const representations = playable(period, "video");
  const variants = representations.map(({ bandwidth, width, height, codecs, frameRate }, i) => ({
    ...{ url: String(i), bandwidth, width, height, codecs, frameRate },
    ...{ audio: null, subtitles: null },
  }));
  const [best] = orderVariants({ variants, renditions: [] }, wanted);
  const representation = representations[Number(best!.variant.url)]!;
  return { role: "video", language: null, name: null, isDefault: true, representation, variant: best!.chosen };
}

/** Of the sets with the same language and role, the codec that most browsers play. */
function chooseAudio(period: Period): Track[] {
  if (period.sets.every(({ contentType }) => contentType !== "audio")) return [];
  playable(period, "audio"); // refuses a silent archive of protected audio
  const sets = setsOf(period, "audio").filter((set) => set.representations.some(isPlayable));
  const groups = Map.groupBy(sets, ({ language, roles, label }) => JSON.stringify([language, roles, label]));
  return [...groups.values()].map((alike, i) => {
    const [{ language, label, roles }] = alike as [AdaptationSet];
    const representation = bestAudio(alike.flatMap((set) => set.representations.filter(isPlayable)));
    const isDefault = roles.includes("main") || i === 0;
    return { role: "audio", language, name: label, isDefault, representation };
  });
}

function chooseSubtitles(period: Period): Track[] {
  return setsOf(period, "text").flatMap(({ language, label, representations }) => {
    const representation = representations.find((one) => isPlayable(one) && /vtt|mp4/.test(one.mimeType));
    return representation === undefined
      ? []
      : [{ role: "subtitles" as const, language, name: label, isDefault: false, representation }];
  });
}

/** What continues a track in another period: the same language if there is one, and the most similar representation. */
function counterpart(period: Period, index: number, { role, language, representation }: Track): Representation {
  const contentType = role === "video" ? "video" : "audio";
  const all = setsOf(period, contentType);
  const sameLanguage = all.filter((set) => set.language === language);
  const sets = role === "audio" && sameLanguage.length > 0 ? sameLanguage : all;
  const candidates = sets.flatMap((set) => set.representations.filter(isPlayable));
  if (candidates.length === 0) {
    playable(period, contentType);
    throw new KeepstreamError("unsupported", `period ${index + 1} has no ${contentType}`);
  }
  const distance = (one: Representation) =>
    (family(one.codecs) === family(representation.codecs) ? 0 : 1e9) +
    Math.abs((one.height ?? 0) - (representation.height ?? 0)) * 1e5 +
    Math.min(1e5, Math.abs(one.bandwidth - representation.bandwidth) / 1e3);
  return candidates.reduce((best, one) => distance(one) < distance(best) ? one : best);
}

/** The clear MP4 representations of a type. */
function playable(period: Period, contentType: "video" | "audio"): Representation[] {
  const all = setsOf(period, contentType).flatMap((set) => set.representations);
  const found = all.filter(isPlayable);
  if (found.length > 0) return found;
  const systems = [...new Set(all.flatMap(({ protection }) => protection))];
  if (systems.length > 0) {
    throw new KeepstreamError("drm", `the ${contentType} of the MPD is protected with ${systems.join(", ")}`);
  }
  const types = [...new Set(all.map(({ mimeType }) => mimeType.slice(0, 40)))];
  const offered = types.length === 0 ? "" : `: only ${types.join(", ")}`;
  throw new KeepstreamError("unsupported", `the MPD has no ${contentType} in MP4 segments${offered}`);
}

function setsOf(period: Period, contentType: AdaptationSet["contentType"]): readonly AdaptationSet[] {
  return period.sets.filter((set) => set.contentType === contentType);
}

/** The segment pipeline reads fragmented MP4 and text. A representation with a dependency is an enhancement layer. */
function isPlayable({ protection, mimeType, level }: Representation): boolean {
  return protection.length === 0 && level.element.get("dependencyId") === null && /\/mp4$|vtt|^$/.test(mimeType);
}

function bestAudio(representations: readonly Representation[]): Representation {
  const rank = ({ codecs }: Representation) =>
    /^mp4a/.test(codecs ?? "mp4a") ? 0 : /^(?:opus|flac)/i.test(codecs!) ? 1 : 2;
  return representations.reduce((best, one) =>
    rank(one) < rank(best) || (rank(one) === rank(best) && one.bandwidth > best.bandwidth) ? one : best
  );
}

function family(codecs: string | null): string {
  return (codecs ?? "").slice(0, 4).toLowerCase();
}
