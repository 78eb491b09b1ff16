/**
 * Chooses what to archive of an MPD: the video representations in the order in which they are tried, one audio track per language and
 * role, subtitles; in every period. Pure.
 * Example: `chooseTracks(mpd, { wanted: "720p" }, "label").videos[0]` → { role: "video", perPeriod: [Representation, Representation], chosen: { … } }.
 */
import type { AdaptationSet, Mpd, Period, Representation } from "../../core/dash/mpd.ts";
import { KeepstreamError } from "../../core/errors.ts";
import type { ChosenVariant, Omission } from "../../core/media_report.ts";
import { rankAudio } from "./codec_rank.ts";
import type { Role } from "./hls_plan.ts";
import { notOffered, orderWished, type QualityPolicy, type Wish } from "./quality_policy.ts";
import { offeredHeights } from "./variant_choice.ts";

const MAX_VIDEOS_TRIED = 6;
const MAX_AUDIO = 16;
const MAX_SUBTITLES = 48;

export type ChosenTrack = {
  /** Identifies the track among those of its source. */
  readonly id: string;
  readonly role: Role;
  readonly language: string | null;
  readonly name: string | null;
  readonly isDefault: boolean;
  readonly forced?: boolean;
  /** One for each period. */
  readonly perPeriod: readonly Representation[];
};

export type Choice = {
  /** Best first; empty if the MPD has audio only. */
  readonly videos: readonly (ChosenTrack & { readonly chosen: ChosenVariant })[];
  readonly others: readonly ChosenTrack[];
  readonly leftOut: readonly Omission[];
  /** Of the video, largest first. */
  readonly offered: readonly number[];
};

type Track = Omit<ChosenTrack, "perPeriod" | "id"> & { readonly representation: Representation };

export function chooseTracks({ periods }: Mpd, wish: Wish, policy: QualityPolicy): Choice {
  const longest = [...periods].sort((a, b) => (b.durationSeconds ?? 0) - (a.durationSeconds ?? 0))[0];
  if (longest === undefined) throw new KeepstreamError("unsupported", "the MPD has no period with content");
  const everywhere = ({ representation, ...track }: Track): ChosenTrack => {
    const perPeriod = periods.map((period, i) =>
      period === longest ? representation : counterpart(period, i, { ...track, representation })
    );
    const id = JSON.stringify([
      track.role,
      track.language,
      track.name,
      perPeriod.map((one) => [one.id, one.bandwidth]),
    ]);
    return { ...track, id, perPeriod };
  };
  const choice = chooseVideos(longest, wish, policy);
  const videos = choice.videos.map(({ chosen, ...video }) => ({ ...everywhere(video), chosen }));
  const audio = chooseAudio(longest);
  if (videos.length + audio.length === 0) playable(longest, "video"); // throws
  const { subtitles, leftOut } = chooseSubtitles(longest, periods);
  const others = [...audio.map(everywhere), ...subtitles.map(everywhere)];
  return { videos, others, leftOut, offered: choice.offered };
}

function chooseVideos(
  period: Period,
  wish: Wish,
  policy: QualityPolicy,
): { videos: (Track & { readonly chosen: ChosenVariant })[]; offered: readonly number[] } {
  if (setsOf(period, "video").length === 0) {
    if (wish.exact) throw notOffered(wish.wanted);
    return { videos: [], offered: [] };
  }
  const representations = playable(period, "video");
  const variants = representations.map(({ bandwidth, width, height, codecs, frameRate }, i) => ({
    ...{ url: String(i), bandwidth, width, height, codecs, frameRate },
    ...{ audio: null, subtitles: null },
  }));
  const ordered = orderWished({ variants, renditions: [] }, wish, policy);
  const videos = ordered.slice(0, MAX_VIDEOS_TRIED).map(({ variant, chosen }) => {
    const representation = representations[Number(variant.url)]!;
    return { role: "video" as const, language: null, name: null, isDefault: true, representation, chosen };
  });
  return { videos, offered: offeredHeights({ variants }) };
}

/** Of the sets with the same language and role, the codec that most browsers play. */
function chooseAudio(period: Period): Track[] {
  if (setsOf(period, "audio").length === 0) return [];
  playable(period, "audio"); // refuses a silent archive of protected audio
  const sets = setsOf(period, "audio").filter((set) => set.representations.some(isPlayable));
  const groups = Map.groupBy(sets, ({ language, roles, label }) => JSON.stringify([language, roles, label]));
  return [...groups.values()].slice(0, MAX_AUDIO).map((alike, i) => {
    const [{ language, label, roles }] = alike as [AdaptationSet];
    const representation = bestAudio(alike.flatMap((set) => set.representations.filter(isPlayable)));
    const isDefault = roles.includes("main") || i === 0;
    return { role: "audio", language, name: label, isDefault, representation };
  });
}

function chooseSubtitles(period: Period, all: readonly Period[]): { subtitles: Track[]; leftOut: Omission[] } {
  const subtitles: Track[] = [];
  const leftOut: Omission[] = [];
  for (const { language, label, roles, representations } of setsOf(period, "text")) {
    const representation = representations.find(isPlayable);
    const name = (label ?? language ?? "subtitles").slice(0, 60);
    if (representation === undefined) {
      const type = representations[0]?.mimeType.slice(0, 60) ?? "no representation";
      leftOut.push({ kind: "subtitles", code: "unreadable", detail: `${name}: ${type}` });
    } else if (!all.every((one) => subtitlesIn(one, language).length > 0)) {
      leftOut.push({ kind: "subtitles", code: "not_found", detail: `${name}: not in every period of the MPD` });
    } else if (subtitles.length < MAX_SUBTITLES) {
      const forced = roles.includes("forced-subtitle") ? { forced: true } : {};
      subtitles.push({ role: "subtitles", language, name: label, isDefault: false, ...forced, representation });
    }
  }
  return { subtitles, leftOut };
}

/** What continues a track in another period: the same language if there is one, and the most similar representation. */
function counterpart(period: Period, index: number, { role, language, representation }: Track): Representation {
  if (role === "subtitles") return subtitlesIn(period, language)[0]!;
  const contentType = role;
  const all = setsOf(period, contentType);
  const sameLanguage = all.filter((set) => set.language === language);
  const sets = role === "audio" && sameLanguage.length > 0 ? sameLanguage : all;
  const candidates = sets.flatMap((set) => set.representations.filter(isPlayable));
  if (candidates.length === 0) {
    if (all.length > 0) playable(period, contentType); // names the protection
    throw new KeepstreamError("unsupported", `period ${index + 1} of the MPD has no ${contentType}`);
  }
  const distance = (one: Representation) =>
    (family(one.codecs) === family(representation.codecs) ? 0 : 1e9) +
    Math.abs((one.height ?? 0) - (representation.height ?? 0)) * 1e5 +
    Math.min(1e5, Math.abs(one.bandwidth - representation.bandwidth) / 1e3);
  return candidates.reduce((best, one) => distance(one) < distance(best) ? one : best);
}

function subtitlesIn(period: Period, language: string | null): readonly Representation[] {
  const sets = setsOf(period, "text").filter((set) => set.language === language);
  return sets.flatMap(({ representations }) => representations.filter(isPlayable));
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
  return period.sets.filter((set) => set.contentType === contentType && set.representations.length > 0);
}

/** The segment pipeline reads fragmented MP4 and text. A representation with a dependency is an enhancement layer. */
function isPlayable({ protection, mimeType, level }: Representation): boolean {
  return protection.length === 0 && level.element.get("dependencyId") === null && /\/mp4$|vtt|ttml|^$/.test(mimeType);
}

function bestAudio(representations: readonly Representation[]): Representation {
  const rank = ({ codecs }: Representation) => rankAudio(codecs, null).rank;
  return representations.reduce((best, one) =>
    rank(one) < rank(best) || (rank(one) === rank(best) && one.bandwidth > best.bandwidth) ? one : best
  );
}

function family(codecs: string | null): string {
  return (codecs ?? "").slice(0, 4).toLowerCase();
}
