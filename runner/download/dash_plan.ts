/**
 * Reads an MPD into the same list of segments as a playlist, for the same download. Refuses live streams, DRM and excessive sizes.
 * Example: `await planDash(url, { wanted: "720p", … })` → { renditions: [{ role: "video", segments: […] }, …] }.
 */
import { parseMpd } from "../../core/dash/mpd.ts";
import { type DashPiece, type DashSegment, segmentsOf } from "../../core/dash/segments.ts";
import { KeepstreamError } from "../../core/errors.ts";
import type { Segment } from "../../core/hls/playlist.ts";
import { redactUrl } from "../../core/redact.ts";
import { checkUrl } from "../../core/url_policy.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";
import { chooseTracks, type ChosenTrack } from "./dash_choice.ts";
import { readIndexedFile } from "./dash_index.ts";
import type { HlsPlan, PlannedRendition } from "./hls_plan.ts";
import { readCapped } from "./read_playlist.ts";

const MAX_SEGMENTS = 20_000;
const MAX_ALTERNATIVES = 4;

export type DashOptions = MediaRequest & { readonly wanted: string | null };

type Part = { readonly init: DashPiece | null; readonly segments: readonly DashSegment[] };

export async function planDash(address: string, options: DashOptions): Promise<HlsPlan> {
  const { response, url } = await openMedia(address, options);
  const parsed = parseMpd(await readCapped(response, options.signal), new URL(url));
  if (!parsed.ok) {
    const { code, reason } = parsed.error;
    throw new KeepstreamError(code === "too_large" ? code : "unsupported", `${redactUrl(url)} ${reason}`);
  }
  const mpd = parsed.value;
  if (mpd.isDynamic) throw new KeepstreamError("unsupported", `${redactUrl(url)} is live: its type is dynamic`);
  const { tracks, variant } = chooseTracks(mpd, options.wanted);
  const durations = mpd.periods.map(({ durationSeconds }) => durationSeconds);
  const renditions = await Promise.all(tracks.map((track) => planTrack(track, durations, options)));
  return { renditions, durationSeconds: renditions[0]!.durationSeconds, variant, audioGroup: null, leftOut: [] };
}

async function planTrack(
  { perPeriod, ...track }: ChosenTrack,
  durations: readonly (number | null)[],
  options: DashOptions,
): Promise<PlannedRendition> {
  const segments: Segment[] = [];
  for (const [period, representation] of perPeriod.entries()) {
    const part = await reachablePart(representation, durations[period]!, options);
    const map = part.init === null ? null : { ...part.init, key: null };
    for (const segment of part.segments) {
      segments.push({
        ...segment,
        sequence: BigInt(segments.length),
        discontinuity: period,
        key: null,
        map,
        gap: false,
      });
    }
    if (segments.length > MAX_SEGMENTS) throw new KeepstreamError("too_large", `more than ${MAX_SEGMENTS} segments`);
  }
  if (segments.length === 0) throw new KeepstreamError("unsupported", `the MPD has no ${track.role} segment`);
  return { ...track, segments, durationSeconds: segments.reduce((sum, one) => sum + one.durationSeconds, 0) };
}

/** The segments at the first of several base URLs that has them. */
async function reachablePart(
  representation: ChosenTrack["perPeriod"][number],
  durationSeconds: number | null,
  options: DashOptions,
): Promise<Part> {
  const count = Math.min(representation.level.bases.length, MAX_ALTERNATIVES);
  for (let alternative = 0;; alternative++) {
    const isLast = alternative === count - 1;
    try {
      const part = await planPart(representation, { durationSeconds, alternative }, options);
      if (!isLast) await reach(part.init ?? part.segments[0], options);
      return part;
    } catch (error) {
      if (isLast || !(error instanceof KeepstreamError && error.retryable)) throw error;
    }
  }
}

async function planPart(
  representation: ChosenTrack["perPeriod"][number],
  { durationSeconds, alternative }: { durationSeconds: number | null; alternative: number },
  options: DashOptions,
): Promise<Part> {
  const listed = segmentsOf(representation, { durationSeconds, maxSegments: MAX_SEGMENTS, alternative });
  if (!listed.ok) {
    const { code, reason } = listed.error;
    throw new KeepstreamError(code === "too_large" ? code : "unsupported", `the MPD ${reason}`);
  }
  const found = listed.value;
  if (found.kind === "listed") {
    checkPieces([...found.segments, ...(found.init === null ? [] : [found.init])], options);
    return found;
  }
  checkPieces([{ url: found.url, byteRange: null }, ...(found.init === null ? [] : [found.init])], options);
  // A WebVTT file has no index.
  if (!/\/mp4$|^$/.test(representation.mimeType)) {
    return { init: null, segments: [{ url: found.url, byteRange: null, durationSeconds: durationSeconds ?? 0 }] };
  }
  return await readIndexedFile(found, { ...options, durationSeconds, maxSegments: MAX_SEGMENTS });
}

async function reach(piece: DashPiece | undefined, options: MediaRequest): Promise<void> {
  if (piece === undefined) return;
  const start = piece.byteRange?.offset ?? 0;
  const { response } = await openMedia(piece.url, { ...options, range: { start, end: start } });
  await response.body?.cancel();
}

/** Every URL of an untrusted MPD is checked before the first request. */
function checkPieces(pieces: readonly DashPiece[], options: MediaRequest): void {
  const checked = new Set<string>();
  for (const { url } of pieces) {
    if (checked.has(url)) continue;
    checked.add(url);
    const target = checkUrl(url, options.policy);
    if (target.ok) continue;
    throw new KeepstreamError("policy_denied", `the MPD names ${redactUrl(url)}: ${target.error.reason}`);
  }
}
