/**
 * Reads an MPD into the same list of segments as a playlist, for the same download. Refuses live streams, DRM and excessive sizes. If the
 * best video representation is missing on the host, the next one is taken; missing subtitles are left out. Both is reported.
 * Example: `await planDash(url, { wanted: "720p", … })` → { renditions: [{ role: "video", segments: […] }, …], variant, leftOut: [] }.
 */
import { type Mpd, parseMpd } from "../../core/dash/mpd.ts";
import type { DashSegment } from "../../core/dash/segments.ts";
import { KeepstreamError } from "../../core/errors.ts";
import type { Segment } from "../../core/hls/playlist.ts";
import type { ChosenVariant, Omission } from "../../core/media_report.ts";
import { redactUrl } from "../../core/redact.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";
import { type Choice, chooseTracks, type ChosenTrack } from "./dash_choice.ts";
import { MAX_SEGMENTS, readPart } from "./dash_part.ts";
import type { HlsPlan, PlannedRendition } from "./hls_plan.ts";
import { furtherHeights, type Wish } from "./quality_policy.ts";
import { readCapped } from "./read_playlist.ts";
import { nominalHeight } from "./variant_choice.ts";

/** Audio frames and rounding. */
const MAX_OVERLAP_SECONDS = 0.5;

export type DashOptions = MediaRequest & Wish;

/** `offsets`: the timestamp at the start of each period. */
type Planned = { readonly rendition: PlannedRendition; readonly offsets: readonly number[] };

export async function planDash(mpdUrl: string, options: DashOptions): Promise<HlsPlan> {
  const mpd = await readMpd(mpdUrl, options);
  const policy = await options.qualities?.() ?? "label";
  const { videos, others, leftOut, offered } = chooseTracks(mpd, options, policy);
  const plan = (track: ChosenTrack) => planTrack(track, mpd, options);
  const video = videos.length === 0 ? null : await firstReachable(videos, plan);
  const results = await Promise.allSettled(others.map(plan));
  const planned = video === null ? [] : [video.planned];
  const missing: Omission[] = [];
  for (const [i, result] of results.entries()) {
    if (result.status === "fulfilled") planned.push(result.value);
    else missing.push(omission(others[i]!, result.reason));
  }
  // A video without one of its languages is better than none, but silence is not what the source has.
  const hadAudio = others.some(({ role }) => role === "audio");
  const hasAudio = planned.some(({ rendition }) => rendition.role === "audio");
  if (planned.length === 0 || (hadAudio && !hasAudio)) {
    throw (results.find(({ status }) => status === "rejected") as PromiseRejectedResult).reason;
  }
  const renditions = planned.map((one) => onClockOf(planned[0]!, one));
  const { durationSeconds } = renditions[0]!;
  const variant = video?.chosen ?? null;
  const main = variant === null ? null : nominalHeight(variant);
  const heights = furtherHeights(policy, { offered, main });
  return { renditions, durationSeconds, variant, audioGroup: null, leftOut: [...leftOut, ...missing], heights };
}

async function readMpd(mpdUrl: string, options: MediaRequest): Promise<Mpd> {
  const { response, url } = await openMedia(mpdUrl, options);
  const parsed = parseMpd(await readCapped(response, options.signal), new URL(url));
  if (!parsed.ok) {
    const { code, reason } = parsed.error;
    throw new KeepstreamError(code === "too_large" ? code : "unsupported", `${redactUrl(url)} ${reason}`);
  }
  if (!parsed.value.isDynamic) return parsed.value;
  throw new KeepstreamError("unsupported", `${redactUrl(url)} is live: its type is dynamic`);
}

async function firstReachable(
  videos: Choice["videos"],
  plan: (track: ChosenTrack) => Promise<Planned>,
): Promise<{ planned: Planned; chosen: ChosenVariant }> {
  for (const [passed, { chosen, ...video }] of videos.entries()) {
    try {
      const planned = await plan(video);
      const reason = passed === 0 ? chosen.reason : `${chosen.reason}; ${passed} before it could not be read`;
      return { planned, chosen: { ...chosen, reason } };
    } catch (error) {
      const mayBeReplaced = error instanceof KeepstreamError && error.retryable;
      if (!mayBeReplaced || passed === videos.length - 1) throw error;
    }
  }
  throw new KeepstreamError("unsupported", "the MPD has no video"); // unreachable: there is at least one
}

async function planTrack(
  { perPeriod, ...track }: ChosenTrack,
  { periods }: Mpd,
  options: DashOptions,
): Promise<Planned> {
  const segments: Segment[] = [];
  const offsets: number[] = [];
  for (const [period, representation] of perPeriod.entries()) {
    const part = await readPart(representation, periods[period]!.durationSeconds, options);
    const map = part.init === null ? null : { ...part.init, key: null };
    offsets.push(part.offsetSeconds);
    if (period < periods.length - 1) checkEnd(part.segments, periods[period]!.durationSeconds, period);
    for (const segment of part.segments) {
      const sequence = BigInt(segments.length);
      segments.push({ ...segment, sequence, discontinuity: period, key: null, map, gap: false });
    }
    if (segments.length > MAX_SEGMENTS) throw new KeepstreamError("too_large", `more than ${MAX_SEGMENTS} segments`);
  }
  if (segments.length === 0) throw new KeepstreamError("unsupported", `the MPD has no ${track.role} segment`);
  const durationSeconds = segments.reduce((sum, one) => sum + one.durationSeconds, 0);
  return { rendition: { ...track, segments, durationSeconds }, offsets };
}

/** Players cut a segment where its period ends; an archive would repeat or add frames there. */
function checkEnd(segments: readonly DashSegment[], durationSeconds: number | null, period: number): void {
  const seconds = segments.reduce((sum, one) => sum + one.durationSeconds, 0);
  if (durationSeconds === null || seconds - durationSeconds <= MAX_OVERLAP_SECONDS) return;
  const reason = `has segments of ${seconds.toFixed(1)} s in ${durationSeconds.toFixed(1)} s`;
  throw new KeepstreamError("unsupported", `period ${period + 1} of the MPD ${reason}: it ends inside a segment`);
}

/** The same point of a period may have different timestamps in the tracks (presentationTimeOffset). */
function onClockOf(main: Planned, { rendition, offsets }: Planned): PlannedRendition {
  const shifts = offsets.map((offset, period) => main.offsets[period]! - offset);
  if (shifts.every((shift) => shift === 0)) return rendition;
  const segments = rendition.segments.map((one) => ({ ...one, timestampShift: shifts[one.discontinuity]! }));
  return { ...rendition, segments };
}

/** @throws what is not a missing audio track or subtitle */
function omission({ role, language, name }: ChosenTrack, error: unknown): Omission {
  const isMissing = error instanceof KeepstreamError &&
    (error.code === "source_expired" || (role === "subtitles" && error.code !== "policy_denied"));
  if (!isMissing) throw error;
  const kind = role === "subtitles" ? "subtitles" : "audio";
  const code = error.code === "source_expired"
    ? "not_found"
    : error.code === "unsupported"
    ? "unreadable"
    : "unavailable";
  return { kind, code, detail: `${(name ?? language ?? role).slice(0, 60)}: it could not be read (${error.code})` };
}
