/**
 * The files beside an archive (playlists, subtitles, pictures, manifest): their locations and types.
 * Example: `1/ep1/9f….mp4` and `.s0.vtt` → `1/ep1/9f….s0.vtt`.
 */

import type { ArchiveLocation } from "../../core/archive_location.ts";
import { SIDECAR_ENDING } from "../../core/presentation.ts";
import { StorageError } from "../transfer/storage_error.ts";
import type { PutOptions, Sidecar } from "./target.ts";

const FILE_ENDING = /\.mp4$/;

export function sidecarLocation(location: ArchiveLocation, ending: string): ArchiveLocation {
  if (SIDECAR_ENDING.test(ending)) return { ...location, path: stemOf(location) + ending };
  throw new StorageError("refused", `${ending} is not the ending of a sidecar`, { code: "invalid_input" });
}

/** The path without `.mp4`: how the paths of its sidecars start. */
export function stemOf(location: ArchiveLocation): string {
  return location.path.replace(FILE_ENDING, "");
}

/** The ending of a sidecar of the file; null for another path. */
export function sidecarEnding(location: ArchiveLocation, path: string): string | null {
  const stem = stemOf(location);
  const ending = path.startsWith(stem) ? path.slice(stem.length) : "";
  return SIDECAR_ENDING.test(ending) ? ending : null;
}

export function contentTypeOf(path: string): string {
  if (path.endsWith(".jpg")) return "image/jpeg";
  if (path.endsWith(".vtt")) return "text/vtt; charset=utf-8";
  if (path.endsWith(".m3u8")) return "application/vnd.apple.mpegurl";
  return path.endsWith(".manifest") ? "application/json" : "video/mp4";
}

/** Starts making the sidecars while the file is sent. A failure is thrown where the result is awaited. */
export function startBeside({ beside }: Pick<PutOptions, "beside">): Promise<readonly Sidecar[]> {
  const making = (async () => await beside?.() ?? [])();
  making.catch(() => {}); // thrown again by the await before the commit, if the put gets there
  return making;
}
