/**
 * The segments of a representation in one period, at the first of several base URLs where they are. Every URL of the untrusted MPD is
 * checked before it is requested. Example: `await readPart(representation, 30, options)` → { init, segments, offsetSeconds: 0 }.
 */
import type { Representation } from "../../core/dash/mpd.ts";
import { type DashPiece, type DashSegment, segmentsOf } from "../../core/dash/segments.ts";
import { KeepstreamError } from "../../core/errors.ts";
import { redactUrl } from "../../core/redact.ts";
import { checkUrl } from "../../core/url_policy.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";
import { readIndexedFile } from "./dash_index.ts";

export const MAX_SEGMENTS = 20_000;
const MAX_ALTERNATIVES = 4;

export type DashPart = {
  readonly init: DashPiece | null;
  readonly segments: readonly DashSegment[];
  /** The segments' timestamp of the period's start (presentationTimeOffset). */
  readonly offsetSeconds: number;
};

export async function readPart(
  representation: Representation,
  durationSeconds: number | null,
  options: MediaRequest,
): Promise<DashPart> {
  const count = Math.min(representation.level.bases.length, MAX_ALTERNATIVES);
  for (let alternative = 0;; alternative++) {
    try {
      const part = await readAt(representation, { durationSeconds, alternative }, options);
      const first = part.init ?? part.segments[0];
      if (first !== undefined) await reach(first, options);
      return part;
    } catch (error) {
      const isLast = alternative === count - 1;
      if (isLast || !(error instanceof KeepstreamError && error.retryable)) throw error;
    }
  }
}

async function readAt(
  representation: Representation,
  { durationSeconds, alternative }: { durationSeconds: number | null; alternative: number },
  options: MediaRequest,
): Promise<DashPart> {
  const listed = segmentsOf(representation, { durationSeconds, maxSegments: MAX_SEGMENTS, alternative });
  if (!listed.ok) {
    const { code, reason } = listed.error;
    throw new KeepstreamError(code === "too_large" ? code : "unsupported", `the MPD ${reason}`);
  }
  const found = listed.value;
  const { init, offsetSeconds } = found;
  const pieces = found.kind === "listed" ? found.segments : [{ url: found.url, byteRange: null }];
  checkPieces(init === null ? pieces : [...pieces, init], options);
  if (found.kind === "listed") {
    return {
      init,
      offsetSeconds,
      segments: found.isCounted ? await withoutMissingEnd(found.segments, options) : found.segments,
    };
  }
  // A WebVTT or TTML file has no index.
  if (!/\/mp4$|^$/.test(representation.mimeType)) {
    const segments = [{ url: found.url, byteRange: null, durationSeconds: durationSeconds ?? 0 }];
    return { init: null, segments, offsetSeconds };
  }
  const file = await readIndexedFile(found, { ...options, durationSeconds, maxSegments: MAX_SEGMENTS });
  return { ...file, offsetSeconds };
}

/** A duration that is rounded up counts one segment too many, which would be very short. */
async function withoutMissingEnd(
  segments: readonly DashSegment[],
  options: MediaRequest,
): Promise<readonly DashSegment[]> {
  const [first, last] = [segments[0], segments.at(-1)];
  if (segments.length < 2 || last!.durationSeconds > first!.durationSeconds / 2) return segments;
  try {
    await reach(last!, options);
    return segments;
  } catch (error) {
    if (!(error instanceof KeepstreamError && error.code === "source_expired")) throw error;
    return segments.slice(0, -1);
  }
}

async function reach(piece: DashPiece, options: MediaRequest): Promise<void> {
  const start = piece.byteRange?.offset ?? 0;
  const { response } = await openMedia(piece.url, { ...options, range: { start, end: start } });
  await response.body?.cancel();
}

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
