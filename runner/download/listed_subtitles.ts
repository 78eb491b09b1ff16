/**
 * Fetches subtitle files that a provider lists beside the video. What fails is left out, never an error.
 * Example: `await fetchListed([{ url: "https://site.test/en.srt", language: "en" }], request)` → { files: [{ bytes, language: "en", … }], leftOut: [] }.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { Omission } from "../../core/media_report.ts";
import { redactText } from "../../core/redact.ts";
import { retry } from "../../core/retry.ts";
import type { Subtitle } from "../../sources/source_list.ts";
import type { MediaRequest } from "../network/guarded_fetch.ts";
import { LISTED_SUBTITLE_FETCH } from "../retry_policies.ts";
import { fetchPiece } from "./segment_fetch.ts";

export interface ListedFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly language: string | null;
  readonly label: string | null;
}

const MAX_FILES = 48;
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;
const AT_ONCE = 4;
const TIMEOUT_MS = 30_000;
/** Codes that may pass. */
const TRANSIENT = new Set(["network", "timeout", "upstream_5xx", "rate_limited"]);
/** Of a text track, as pages state it. Others are chapters, thumbnails or data. */
const KINDS = new Set(["", "subtitles", "subtitle", "captions", "caption", "forced", "sdh", "descriptions"]);

/** @throws what ends the job: the signal's reason */
export async function fetchListed(
  listed: readonly Subtitle[],
  request: MediaRequest,
): Promise<{ files: readonly ListedFile[]; leftOut: readonly Omission[] }> {
  const wanted = withoutRepetitions(listed.filter(({ kind }) => KINDS.has((kind ?? "").toLowerCase())));
  const files: (ListedFile | null)[] = wanted.map(() => null);
  const leftOut: Omission[] = [];
  const tooMany = wanted.length - MAX_FILES;
  if (tooMany > 0) leftOut.push({ kind: "subtitles", code: "too_many", detail: `${tooMany} more listed subtitles` });
  let [next, bytes] = [0, 0];
  const worker = async () => {
    while (next < Math.min(wanted.length, MAX_FILES)) {
      const index = next++;
      const subtitle = wanted[index]!;
      try {
        if (bytes >= MAX_TOTAL_BYTES) throw new KeepstreamError("too_large", "the others already have too much text");
        const file = await fetchOne(subtitle.url, request);
        bytes += file.length;
        files[index] = { bytes: file, language: subtitle.language ?? null, label: subtitle.label ?? null };
      } catch (error) {
        request.signal.throwIfAborted();
        leftOut.push(omission(subtitle, error));
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { files: files.filter((file) => file !== null), leftOut };
}

async function fetchOne(url: string, request: MediaRequest): Promise<Uint8Array<ArrayBuffer>> {
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const piece = { url, byteRange: null };
  return await retry(
    () => fetchPiece(piece, { ...request, signal, dropSlow: false, maxBytes: MAX_FILE_BYTES }),
    LISTED_SUBTITLE_FETCH,
    { signal, retryable: (error) => error instanceof KeepstreamError && TRANSIENT.has(error.code) },
  );
}

/** A page and a provider's list may name the same file with different tokens. */
function withoutRepetitions(listed: readonly Subtitle[]): readonly Subtitle[] {
  const seen = new Set<string>();
  return listed.filter(({ url, language, label }) => {
    const key = JSON.stringify([url.split("?")[0], language ?? null, label ?? null]);
    return !seen.has(key) && seen.add(key);
  });
}

function omission(subtitle: Subtitle, error: unknown): Omission {
  const code = error instanceof KeepstreamError ? error.code : "timeout";
  const message = redactText(error instanceof Error ? error.message : String(error));
  const detail = `${nameOf(subtitle)}: ${message}`;
  return { kind: "subtitles", code: code === "source_expired" ? "not_found" : code, detail };
}

/** For people, from the provider's text. */
export function nameOf({ language, label }: Pick<Subtitle, "language" | "label">): string {
  return `listed subtitles ${(label ?? language ?? "").slice(0, 60)}`.trim();
}
