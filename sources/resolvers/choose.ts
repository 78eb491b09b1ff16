// The best of several candidates: known media first, then the greatest height; an adaptive playlist without one contains all heights.
// Example: [360.mp4 "360p", 1080.mp4 "1080p"] → 1080.mp4.
import { type MediaKind, mediaKindOfType } from "../page/media_kind.ts";
import type { PageClient } from "../fetch/page_client.ts";
import { directMedia } from "./direct.ts";
import type { Candidate, MediaFinder } from "./media.ts";
import type { Resolved } from "./resolver.ts";

/** How many URLs without an extension are probed for one shape. */
const MAX_PROBES = 2;
const MAX_PROBES_PER_PAGE = 6;
const ADAPTIVE_HEIGHT = 10_000;
/** At equal height. */
const KIND_ORDER: readonly MediaKind[] = ["hls", "dash", "mp4", "mkv", "webm"];

export interface Choice {
  readonly resolved: Resolved | null;
  /** A candidate that turned out to be a web page. */
  readonly webPage: string | null;
}

/** `probes`: the content types of URLs that other shapes of the page have probed. */
export async function choose(
  finder: MediaFinder,
  pageUrl: string,
  { pages, probes }: { readonly pages: PageClient; readonly probes: Map<string, string | null> },
): Promise<Choice> {
  const candidates = finder.candidates.toSorted(byPreference);
  const resolvedAs = (candidate: Candidate, kind: MediaKind): Resolved => ({
    ...directMedia(candidate.url, kind, pageUrl),
    subtitles: finder.subtitles,
    ...(candidate.label !== null && { quality: candidate.label }),
  });
  const [best] = candidates;
  if (best !== undefined && best.kind !== null) return { resolved: resolvedAs(best, best.kind), webPage: null };
  let webPage: string | null = null;
  for (const candidate of candidates.slice(0, MAX_PROBES)) {
    if (!probes.has(candidate.url) && probes.size < MAX_PROBES_PER_PAGE) {
      probes.set(candidate.url, await probeType(candidate.url, pageUrl, pages));
    }
    const type = probes.get(candidate.url) ?? null;
    const kind = mediaKindOfType(type);
    if (kind !== null) return { resolved: resolvedAs(candidate, kind), webPage: null };
    if (type?.startsWith("text/html")) webPage ??= candidate.url;
  }
  return { resolved: null, webPage };
}

function byPreference(a: Candidate, b: Candidate): number {
  return Number(a.kind === null) - Number(b.kind === null) ||
    heightFor(b) - heightFor(a) ||
    orderOf(a) - orderOf(b) ||
    Number(b.isDefault) - Number(a.isDefault);
}

function orderOf({ kind }: Candidate): number {
  return kind === null ? KIND_ORDER.length : KIND_ORDER.indexOf(kind);
}

function heightFor({ height, kind }: Candidate): number {
  return height ?? (kind === "hls" || kind === "dash" ? ADAPTIVE_HEIGHT : 0);
}

async function probeType(url: string, pageUrl: string, pages: PageClient): Promise<string | null> {
  try {
    // GET without reading the body: many hosts refuse HEAD for media.
    const response = await pages.head(url, { method: "GET", headers: { referer: `${new URL(pageUrl).origin}/` } });
    return response.headers.get("content-type");
  } catch {
    return null; // one of several candidates: the next one is tried
  }
}
