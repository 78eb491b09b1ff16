/**
 * The order in which the variants of a multivariant playlist are tried: the wanted height, then what browsers play (AVC and AAC before
 * HEVC and AC-3), audio languages, frame rate, bandwidth. Pure.
 * Example: `orderVariants(playlist, "1080p")[0]` → { variant: 1920x1088 with AVC, chosen: { …, reason: "matches 1080p" } }.
 */
import type { MultivariantPlaylist, Rendition, Variant } from "../../core/hls/playlist.ts";
import type { ChosenVariant } from "../../core/media_report.ts";
import { type CodecRank, rankAudio, rankVideo } from "./codec_rank.ts";

export type RankedVariant = { readonly variant: Variant; readonly chosen: ChosenVariant };

/** Encoders round sizes up to macroblocks: 1920x1088 is 1080p. */
export const SIZE_TOLERANCE = 16;
const COMMON_HEIGHTS = [144, 240, 360, 480, 576, 720, 1080, 1440, 2160, 4320];

type Candidate = {
  readonly variant: Variant;
  readonly distance: number;
  readonly video: CodecRank;
  readonly audio: CodecRank;
  readonly languages: number;
};

export type Offer = Pick<MultivariantPlaylist, "variants" | "renditions">;

/** Best first. Variants that are redundant copies of each other stay in the playlist's order. */
export function orderVariants(playlist: Offer, wanted: string | null): RankedVariant[] {
  const height = wantedHeight(wanted);
  const all = playlist.variants.map((variant) => toCandidate(variant, height, playlist));
  const withVideo = all.filter(({ variant }) => variant.height !== null || hasVideo(variant.codecs));
  const candidates = withVideo.length > 0 ? withVideo : all;
  const ratesKnown = candidates.every(({ variant }) => variant.frameRate !== null);
  const rate = ({ variant }: Candidate) => ratesKnown ? Math.round(variant.frameRate!) : 0;
  candidates.sort((a, b) =>
    a.distance - b.distance || a.video.rank - b.video.rank || a.audio.rank - b.audio.rank ||
    b.languages - a.languages || rate(b) - rate(a) || b.variant.bandwidth - a.variant.bandwidth
  );
  return candidates.map((candidate) => ({
    variant: candidate.variant,
    chosen: { ...describeVariant(candidate.variant), reason: reasonFor(candidate, candidates, wanted) },
  }));
}

/** Whether two reports are of the same variant, whatever the reasons. */
export function isSameVariant(a: ChosenVariant | null, b: ChosenVariant | null): boolean {
  if (a === null || b === null) return a === b;
  return a.width === b.width && a.height === b.height && a.bandwidth === b.bandwidth && a.codecs === b.codecs &&
    a.frame_rate === b.frame_rate;
}

/** The p of a size: the shorter side of a portrait video, and 1080 for a film of 1920x800. null if the size is unknown. */
export function nominalHeight({ width, height }: Pick<Variant, "width" | "height">): number | null {
  if (width === null || height === null || width === 0 || height === 0) return null;
  const nominal = Math.max(Math.min(width, height), Math.round(Math.max(width, height) * 9 / 16));
  return COMMON_HEIGHTS.find((common) => Math.abs(common - nominal) <= SIZE_TOLERANCE) ?? nominal;
}

/** The heights that a choice of variants offers, largest first. Variants whose size is unknown have none. */
export function offeredHeights({ variants }: Pick<Offer, "variants">): readonly number[] {
  const withVideo = variants.filter(({ codecs }) => hasVideo(codecs));
  return [...new Set(withVideo.flatMap((variant) => nominalHeight(variant) ?? []))].sort((a, b) => b - a);
}

/** Infinity: the largest. */
export function wantedHeight(wanted: string | null): number {
  const height = Number(/^(\d{3,4})(?:p|$)/i.exec(wanted ?? "")?.[1] ?? Infinity);
  return COMMON_HEIGHTS.find((common) => Math.abs(common - height) <= SIZE_TOLERANCE) ?? height;
}

function toCandidate(variant: Variant, height: number, playlist: Offer): Candidate {
  const group = audioRenditions(playlist, variant.audio);
  return {
    variant,
    distance: distanceTo(height, variant),
    video: rankVideo(variant.codecs),
    audio: rankAudio(audioCodecs(variant, playlist), variant.audio),
    languages: new Set(group.map(({ language, name }) => language ?? name)).size,
  };
}

/** The wanted height, then the next lower ones, then the next higher ones; an unknown size last. */
function distanceTo(wanted: number, variant: Variant): number {
  const own = nominalHeight(variant);
  if (own === null) return 1e6;
  if (wanted === Infinity) return 1e5 - own;
  if (own === wanted) return 0;
  // 2560x1080 is 1080p, too, if there is no 1920x1080.
  if (Math.abs(Math.min(variant.width!, variant.height!) - wanted) <= SIZE_TOLERANCE) return 1;
  return own < wanted ? 1 + wanted - own : 1e5 + own - wanted;
}

/** The audio codecs of a variant, or else of other variants with the same audio group. */
function audioCodecs(variant: Variant, { variants }: Offer): string | null {
  if (rankAudio(variant.codecs, null).name !== null || variant.audio === null) return variant.codecs;
  const others = variants.filter(({ audio, codecs }) => audio === variant.audio && codecs !== null);
  return others.map(({ codecs }) => codecs).join(",") || null;
}

function audioRenditions({ renditions }: Offer, group: string | null): readonly Rendition[] {
  return group === null ? [] : renditions.filter(({ type, groupId }) => type === "AUDIO" && groupId === group);
}

function hasVideo(codecs: string | null): boolean {
  return codecs === null || rankVideo(codecs).name !== null;
}

function describeVariant({ width, height, bandwidth, codecs, frameRate }: Variant): Omit<ChosenVariant, "reason"> {
  return { width, height, bandwidth, codecs, frame_rate: frameRate };
}

function reasonFor(own: Candidate, all: readonly Candidate[], wanted: string | null): string {
  const matches = own.distance <= 1 ? "matches" : "closest to";
  const height = wantedHeight(wanted) === Infinity ? "the largest size" : `${matches} ${wanted}`;
  const equal = all.filter(({ distance }) => distance === own.distance);
  const codecs = [own.video, own.audio].flatMap(({ name }) => name ?? []).join(" and ");
  const worse = new Set(
    equal.flatMap(({ video, audio }) => [
      ...(video.rank > own.video.rank && video.name !== null ? [video.name] : []),
      ...(audio.rank > own.audio.rank && audio.name !== null ? [audio.name] : []),
    ]),
  );
  if (worse.size > 0) return `${height}; ${codecs || "unknown codecs"} before ${[...worse].join(" and ")}`;
  const rare = [own.video, own.audio].flatMap(({ name, isRare }) => name !== null && isRare ? [name] : []);
  return rare.length > 0 ? `${height}; ${rare.join(" and ")} only` : height;
}
