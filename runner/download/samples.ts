/**
 * Samples of a file on disk, compared with the host's bytes: some hosts generate a new ETag for every response, so another ETag does not
 * prove a change. Example: `await hostHas(await readSamples(path, spans), url, request)`.
 */
import type { ByteSpan } from "../../core/hls/playlist.ts";
import { isRetryable } from "../../core/errors.ts";
import { retry } from "../../core/retry.ts";
import { SAMPLE_FETCH } from "../retry_policies.ts";
import type { MediaRequest } from "../network/guarded_fetch.ts";
import { fetchPiece } from "./segment_fetch.ts";

const SAMPLES = 5;
const SAMPLE_BYTES = 2048;

export type Sample = { readonly offset: number; readonly bytes: Uint8Array };

/** Evenly distributed spans, including both ends. Pure; `kept` is ascending. */
export function sampleSpans(kept: readonly ByteSpan[]): ByteSpan[] {
  const total = kept.reduce((sum, span) => sum + span.length, 0);
  const wanted = Array.from({ length: SAMPLES }, (_, i) => Math.floor(i * (total - SAMPLE_BYTES) / (SAMPLES - 1)));
  const spans = wanted.map((at) => spanAt(kept, Math.max(0, at)));
  return spans.filter((span, i) => span !== null && span.offset !== spans[i - 1]?.offset) as ByteSpan[];
}

/** The position of the `at`th kept byte, moved back if its span is too short. */
function spanAt(kept: readonly ByteSpan[], at: number): ByteSpan | null {
  let before = 0;
  for (const { offset, length } of kept) {
    if (at < before + length) {
      const taken = Math.min(SAMPLE_BYTES, length);
      return { offset: offset + Math.min(at - before, length - taken), length: taken };
    }
    before += length;
  }
  return null;
}

export async function readSamples(path: string, spans: readonly ByteSpan[]): Promise<Sample[]> {
  using file = await Deno.open(path);
  const samples: Sample[] = [];
  for (const { offset, length } of spans) {
    const bytes = new Uint8Array(length);
    await file.seek(offset, Deno.SeekMode.Start);
    let filled = 0;
    for (let read: number | null = 0; read !== null && filled < length; filled += read ?? 0) {
      read = await file.read(bytes.subarray(filled));
    }
    samples.push({ offset, bytes: bytes.subarray(0, filled) });
  }
  return samples;
}

/** Sequential requests: the host may refuse parallel ones. */
export async function hostHas(samples: readonly Sample[], url: string, request: MediaRequest): Promise<boolean> {
  for (const { offset, bytes } of samples) {
    const there = await fetchSample(url, { offset, length: bytes.length }, request);
    if (!there.every((byte, i) => byte === bytes[i])) return false;
  }
  return samples.length > 0;
}

async function fetchSample(url: string, byteRange: ByteSpan, request: MediaRequest): Promise<Uint8Array> {
  return await retry(() => fetchPiece({ url, byteRange }, { ...request, dropSlow: false }), SAMPLE_FETCH, {
    signal: request.signal,
    retryable: isRetryable,
  });
}
