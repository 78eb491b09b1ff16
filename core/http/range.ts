// The Range request header and the Content-Range response header (RFC 9110 §14).
// Example: resolveRange({ kind: "suffix", length: 5 }, 100) → { start: 95, end: 99 }
import { err, ok, type Result } from "../result.ts";

export type ByteRange =
  | { readonly kind: "from"; readonly start: number; readonly end: number | null }
  | { readonly kind: "suffix"; readonly length: number };

/** `none`: no byte range, serve the whole representation. `unusable`: respond 416. */
export type RangeHeader =
  | { readonly kind: "none" }
  | { readonly kind: "unusable" }
  | { readonly kind: "ranges"; readonly ranges: readonly ByteRange[] };

/** Players request one or two. Servers respond to many more with the whole body or an error. */
export const MAX_RANGES = 16;

/**
 * Parses a Range header. Units other than bytes are ignored (RFC 9110 §14.2). A byte range that is malformed, descending or beyond
 * 2^53, or more than MAX_RANGES of them, are unusable: the RFC lets a server reject those.
 */
export function parseRange(header: string | null): RangeHeader {
  if (header === null) return { kind: "none" };
  const unit = /^\s*bytes\s*=\s*/i.exec(header);
  if (unit === null) return { kind: "none" };
  if (header.length > 1024) return { kind: "unusable" };
  const ranges: ByteRange[] = [];
  for (const part of header.slice(unit[0].length).split(",")) {
    const text = part.trim();
    if (text === "") continue;
    const range = parseOne(text);
    if (range === null || ranges.length === MAX_RANGES) return { kind: "unusable" };
    ranges.push(range);
  }
  return ranges.length === 0 ? { kind: "unusable" } : { kind: "ranges", ranges };
}

function parseOne(text: string): ByteRange | null {
  const match = /^(\d{0,20})-(\d{0,20})$/.exec(text);
  if (match === null) return null;
  const [, first, last] = match;
  if (first === "" && last === "") return null;
  const start = first === "" ? null : Number(first);
  const end = last === "" ? null : Number(last);
  if ((start ?? 0) > Number.MAX_SAFE_INTEGER || (end ?? 0) > Number.MAX_SAFE_INTEGER) return null;
  if (start === null) return { kind: "suffix", length: end! };
  if (end !== null && end < start) return null;
  return { kind: "from", start, end };
}

/** First and last byte, both inclusive, of a range in a representation of `size` bytes. */
export function resolveRange(
  range: ByteRange,
  size: number,
): Result<{ readonly start: number; readonly end: number }, "unsatisfiable"> {
  if (range.kind === "suffix") {
    if (range.length === 0 || size === 0) return err("unsatisfiable");
    return ok({ start: Math.max(0, size - range.length), end: size - 1 });
  }
  if (range.start >= size) return err("unsatisfiable");
  return ok({ start: range.start, end: Math.min(range.end ?? size - 1, size - 1) });
}

export interface ContentRange {
  /** null in a 416, which has the size only. */
  readonly span: { readonly start: number; readonly end: number } | null;
  /** null if unknown: `bytes 0-4/*`. */
  readonly size: number | null;
}

/** Bytes of the whole resource, by the headers of a 200 or a 206; null if unknown. */
export function resourceSize({ status, headers }: Pick<Response, "status" | "headers">): number | null {
  if (status === 206) return parseContentRange(headers.get("content-range"))?.size ?? null;
  const length = headers.get("content-length");
  return length === null ? null : Number(length);
}

export function parseContentRange(header: string | null): ContentRange | null {
  const match = /^bytes (?:(\d{1,16})-(\d{1,16})|\*)\/(\d{1,16}|\*)$/i.exec(header?.trim() ?? "");
  if (match === null) return null;
  const [, start, end, size] = match;
  const span = start === undefined ? null : { start: Number(start), end: Number(end) };
  if (span !== null && span.end < span.start) return null;
  return { span, size: size === "*" ? null : Number(size) };
}
