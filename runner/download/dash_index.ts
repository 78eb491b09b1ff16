/**
 * The segments of a single-file representation (SegmentBase): the byte ranges of its segment index (sidx), which is fetched here.
 * Without an index, everything after the init section is one segment.
 * Example: `await readIndexedFile({ url, init: null, index: { offset: 800, length: 1200 } }, …)` → { init, segments }.
 */
import type { DashPiece, DashSegment } from "../../core/dash/segments.ts";
import { parseSidx } from "../../core/dash/sidx.ts";
import { KeepstreamError } from "../../core/errors.ts";
import type { ByteSpan } from "../../core/hls/playlist.ts";
import { resourceSize } from "../../core/http/range.ts";
import { redactUrl } from "../../core/redact.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";
import { fetchPiece, MAX_SEGMENT_BYTES } from "./segment_fetch.ts";

const MAX_INDEX_BYTES = 4 * 1024 * 1024;
/** Where moov and an index are searched whose position the MPD does not state; enough for an index of 5000 segments. */
const SEARCH_BYTES = 64 * 1024;
/** An index of indexes is usual for long files; more levels are not. */
const MAX_DEPTH = 2;

export type IndexedFile = { readonly url: string; readonly init: DashPiece | null; readonly index: ByteSpan | null };
export type FileSegments = { readonly init: DashPiece; readonly segments: readonly DashSegment[] };
export type IndexOptions = MediaRequest & { readonly maxSegments: number; readonly durationSeconds: number | null };

export async function readIndexedFile(file: IndexedFile, options: IndexOptions): Promise<FileSegments> {
  const found = file.index === null ? await searchStart(file.url, options) : { index: file.index, rest: null };
  const { url } = file;
  if (found.index === null) {
    const init = file.init ?? { url, byteRange: { offset: 0, length: found.rest.offset } };
    return { init, segments: [{ url, byteRange: found.rest, durationSeconds: options.durationSeconds ?? 0 }] };
  }
  const segments: DashSegment[] = [];
  await collect(found.index, { url, depth: 0, segments }, options);
  return { init: file.init ?? { url, byteRange: { offset: 0, length: found.index.offset } }, segments };
}

async function collect(
  index: ByteSpan,
  into: { url: string; depth: number; segments: DashSegment[] },
  options: IndexOptions,
): Promise<void> {
  const { url, depth, segments } = into;
  const entries = parseSidx(await readIndex(url, index, options), index.offset);
  if (entries === null || entries.length === 0) throw unreadable(url, "has no segment index (sidx) that can be read");
  for (const { isIndex, byteRange, durationSeconds } of entries) {
    if (!isIndex) segments.push({ url, byteRange, durationSeconds });
    else if (depth === MAX_DEPTH) throw unreadable(url, "has too many levels of segment indexes");
    else await collect(byteRange, { ...into, depth: depth + 1 }, options);
    if (segments.length > options.maxSegments) {
      throw new KeepstreamError("too_large", `more than ${options.maxSegments} segments`);
    }
  }
}

/** An entry that refers to an index covers that index's segments too, so its length is not the box's. */
async function readIndex(url: string, { offset, length }: ByteSpan, options: IndexOptions) {
  const request = { ...options, dropSlow: false, maxBytes: MAX_INDEX_BYTES };
  const start = await fetchPiece({ url, byteRange: { offset, length: Math.min(length, SEARCH_BYTES) } }, request);
  const box = start.length < 8 ? 0 : new DataView(start.buffer).getUint32(0);
  if (box <= start.length || box > length) return start;
  return await fetchPiece({ url, byteRange: { offset, length: box } }, request);
}

type Start =
  | { readonly index: ByteSpan; readonly rest: null }
  /** Everything after moov. */
  | { readonly index: null; readonly rest: ByteSpan };

/** Walks the boxes at the beginning of the file to its sidx, or to its first fragment. */
async function searchStart(url: string, options: IndexOptions): Promise<Start> {
  const { bytes, size } = await readStart(url, options);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = view.getUint32(at);
    const type = new TextDecoder("latin1").decode(bytes.subarray(at + 4, at + 8));
    if (type === "sidx" && coversFile(bytes, at, size)) return { index: { offset: at, length }, rest: null };
    if (type === "sidx" || type === "moof") {
      if (at === 0 || size === null || size - at > MAX_SEGMENT_BYTES) break;
      return { index: null, rest: { offset: at, length: size - at } };
    }
    if (type === "mdat" || length < 8) throw unreadable(url, "is not a fragmented MP4");
    at += length;
  }
  throw unreadable(url, "has no segment index (sidx) at its beginning");
}

/** False for a file that has an index before each segment. */
function coversFile(bytes: Uint8Array, at: number, size: number | null): boolean {
  const last = parseSidx(bytes.subarray(at), at)?.at(-1);
  // Indexes of random access points (mfra) may follow.
  return last !== undefined && (size === null || last.byteRange.offset + last.byteRange.length > size * 0.9);
}

async function readStart(url: string, options: IndexOptions) {
  const { response } = await openMedia(url, { ...options, range: { start: 0, end: SEARCH_BYTES - 1 } });
  const buffer = new Uint8Array(SEARCH_BYTES);
  let filled = 0;
  for await (const chunk of response.body ?? []) {
    const piece = chunk.subarray(0, SEARCH_BYTES - filled);
    buffer.set(piece, filled);
    filled += piece.length;
    if (filled === SEARCH_BYTES) break; // cancels the rest
  }
  return { bytes: buffer.subarray(0, filled), size: resourceSize(response) };
}

function unreadable(url: string, reason: string): KeepstreamError {
  return new KeepstreamError("unsupported", `${redactUrl(url)} ${reason}`);
}
