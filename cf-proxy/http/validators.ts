// Validators (RFC 9110 §8.8) show whether two responses are parts of the same representation.
import { parseContentRange } from "../../core/http/range.ts";

export interface Validators {
  readonly size: number;
  /** A strong entity tag, or null. */
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** The validators of a 200 or 206; null if they cannot identify the representation. */
export function validatorsOf(response: Response): Validators | null {
  const size = sizeOf(response);
  const tag = response.headers.get("etag");
  const etag = tag === null || tag.startsWith("W/") ? null : tag;
  const lastModified = response.headers.get("last-modified");
  if (size === null || !Number.isSafeInteger(size) || (etag === null && lastModified === null)) return null;
  return { size, etag, lastModified };
}

function sizeOf({ status, headers }: Response): number | null {
  if (status === 206) return parseContentRange(headers.get("content-range"))?.size ?? null;
  return status === 200 ? Number(headers.get("content-length") ?? NaN) : null;
}

/** Same size and same entity tag; without two entity tags, the same size and date. */
export function sameRepresentation(a: Validators, b: Validators): boolean {
  if (a.size !== b.size) return false;
  if (a.etag !== null && b.etag !== null) return a.etag === b.etag;
  return a.lastModified !== null && a.lastModified === b.lastModified;
}
