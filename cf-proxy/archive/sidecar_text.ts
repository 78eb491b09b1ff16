// Reads the texts beside an archive (playlists, subtitles, the index of its sprite sheet) from any target that has a copy. A text is
// used for a minute; after that its validator is compared. If no target responds, the last text stays in use.
import type { VerifiedLink } from "../../core/link.ts";
import { err, ok, type Result } from "../../core/result.ts";
import * as cache from "../cache/two_tier_cache.ts";
import { decoded } from "../http/content_encoding.ts";
import { badGateway, type Problem } from "../http/problem.ts";
import { readText } from "../playlist/read_text.ts";
import { type ArchivedFile, fetchArchived } from "./archive.ts";
import type { ArchiveOptions } from "./hub.ts";

export interface SidecarText {
  readonly text: string;
  /** As the target sent it. */
  readonly etag: string | null;
}

interface CachedText extends SidecarText {
  /** Unix milliseconds. */
  readonly checkedAt: number;
}

export const FRESH_SECONDS = 60;
const KEPT_SECONDS = 3600;
const MAX_CACHED_LENGTH = 1024 * 1024;

export async function readSidecar(
  file: ArchivedFile,
  link: Pick<VerifiedLink, "url">,
  options: ArchiveOptions,
): Promise<Result<SidecarText, Problem>> {
  const { href } = new URL(file.name.slice(file.name.lastIndexOf("/") + 1), link.url);
  const known = await cache.get<CachedText>("sidecar", href);
  if (known !== null && Date.now() - known.checkedAt < 1000 * FRESH_SECONDS) return ok(known);
  const read = await fetchText(file, known, options);
  // Taken down or removed texts are not served from here.
  if (!read.ok) return known === null || read.error.status === 404 ? read : ok(known);
  if (read.value.text.length <= MAX_CACHED_LENGTH) {
    const entry: CachedText = { ...read.value, checkedAt: Date.now() };
    options.invocation.context.waitUntil(cache.put("sidecar", href, entry, KEPT_SECONDS));
  }
  return read;
}

async function fetchText(
  file: ArchivedFile,
  known: SidecarText | null,
  options: ArchiveOptions,
): Promise<Result<SidecarText, Problem>> {
  // Without the viewer's Range and conditions, which are about the rewritten text.
  const headers: HeadersInit = known?.etag == null ? {} : { "if-none-match": known.etag };
  const upstream = await fetchArchived(new Request("https://sidecar.invalid/", { headers }), file, {
    ...options,
    isRead: true,
  });
  if (!upstream.ok) return upstream;
  const { status } = upstream.value.response;
  if (status === 304 && known !== null) return ok(known);
  if (status !== 200) {
    await upstream.value.response.body?.cancel();
    return err(badGateway("archive_unreachable", `the storage responded ${status}`));
  }
  const response = await decoded(upstream.value.response);
  if (!response.ok) return response;
  const text = await readText(response.value, options.headerTimeoutMs);
  return text.ok ? ok({ text: text.value, etag: response.value.headers.get("etag") }) : text;
}
