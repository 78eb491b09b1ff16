/**
 * Which heights of a source are archived. `label`: one file per server, of the height that it states; `all`: every offered height, too;
 * `720,360`: those of these heights, too. Pure. Example: `furtherHeights(parseQualities("720,360"), { offered: [1080, 720, 360], main: 1080 })`
 * → [720, 360].
 */
import { KeepstreamError } from "../../core/errors.ts";
import {
  nominalHeight,
  type Offer,
  offeredHeights,
  orderVariants,
  type RankedVariant,
  SIZE_TOLERANCE,
  wantedHeight,
} from "./variant_choice.ts";

export type QualityPolicy = "label" | "all" | readonly number[];

/** Which variant a job archives. */
export type Wish = {
  /** The height that the server states. */
  readonly wanted: string | null;
  /** Only variants of exactly `wanted`: the job is a further height of a source. */
  readonly exact?: boolean | undefined;
  /** Called if the source offers several heights. @default label */
  readonly qualities?: (() => Promise<QualityPolicy>) | undefined;
};

/** Each is a job and a file; a source that offers more is hostile. */
const MAX_FURTHER_HEIGHTS = 9;
const MIN_HEIGHT = 72;
const MAX_HEIGHT = 8640;

/** As `read_qualities` returns it; `label` for a policy that is unknown to this version. */
export function parseQualities(text: string | null): QualityPolicy {
  if (text === "all") return "all";
  return /^\d{2,4}(?:,\d{2,4})*$/.test(text ?? "") ? text!.split(",").map(Number) : "label";
}

/** The heights to archive beside the one of the job itself, largest first. */
export function furtherHeights(
  policy: QualityPolicy,
  { offered, main }: { offered: readonly number[]; main: number | null },
): readonly number[] {
  if (policy === "label") return [];
  const heights = new Set(offered.filter((height) => height >= MIN_HEIGHT && height <= MAX_HEIGHT && height !== main));
  const wanted = policy === "all" ? [...heights] : [...heights].filter((height) => isListed(height, policy));
  return wanted.sort((a, b) => b - a).slice(0, MAX_FURTHER_HEIGHTS);
}

/** For a server that states no height: the largest offered one of the list. null: the largest of all. */
export function preferredHeight(policy: QualityPolicy, offered: readonly number[]): string | null {
  if (policy === "label" || policy === "all") return null;
  const listed = offered.filter((height) => isListed(height, policy));
  return listed.length === 0 ? null : `${Math.max(...listed)}p`;
}

/** Best first. @throws {KeepstreamError} if none has the exact height. */
export function orderWished(offer: Offer, { wanted, exact }: Wish, policy: QualityPolicy): readonly RankedVariant[] {
  if (!exact) return orderVariants(offer, wanted ?? preferredHeight(policy, offeredHeights(offer)));
  const height = wantedHeight(wanted);
  const ordered = orderVariants(offer, wanted).filter(({ variant }) => nominalHeight(variant) === height);
  if (ordered.length === 0) throw notOffered(wanted);
  return ordered;
}

export function notOffered(wanted: string | null): KeepstreamError {
  return new KeepstreamError("unsupported", `the source does not offer ${wanted ?? "this height"}`);
}

/** 1088 means 1080, as in a playlist. */
function isListed(height: number, policy: readonly number[]): boolean {
  return policy.some((listed) => Math.abs(listed - height) <= SIZE_TOLERANCE);
}
