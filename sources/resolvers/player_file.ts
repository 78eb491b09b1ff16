// Resolver `player-file`: a page whose script or <video> element contains the media URL: `file: "…"`, `player.src({ src: "…" })`.
// Example: <script>jwplayer().setup({ file: "https://cdn.test/ep1.mp4?t=1" })</script>. Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { type MediaKind, mediaKind, mediaKindOfType } from "../page/media_kind.ts";
import type { PageClient } from "../fetch/page_client.ts";
import { tags } from "../page/tags.ts";
import { directMedia } from "./direct.ts";
import type { EmbedPage, Resolved } from "./resolver.ts";
import { scriptMedia } from "./script_media.ts";

/** How many URLs without an extension are probed. */
const MAX_PROBES = 2;

export async function resolvePlayerFile(page: EmbedPage, pages: PageClient): Promise<Resolved | null> {
  const { urls, subtitles } = scriptMedia(page.html, page.url);
  const candidates = [...new Set([...urls, ...elementUrls(page)])];
  for (const url of candidates) {
    const kind = mediaKind(url);
    if (kind !== null) return { ...directMedia(url, kind, page.url), subtitles };
  }
  for (const url of candidates.filter(hasNoExtension).slice(0, MAX_PROBES)) {
    const kind = await probeKind(url, page, pages);
    if (kind !== null) return { ...directMedia(url, kind, page.url), subtitles };
  }
  return null;
}

function elementUrls({ html, url }: EmbedPage): readonly HttpUrl[] {
  const urls: HttpUrl[] = [];
  let inVideo = false;
  for (const { name, attributes } of tags(html)) {
    if (name === "video" || name === "/video") inVideo = name === "video";
    if (name !== "video" && !(name === "source" && inVideo)) continue;
    const source = parseHttpUrl(attributes.get("src") ?? "", url);
    if (source !== null) urls.push(source);
  }
  return urls;
}

async function probeKind(url: string, page: EmbedPage, pages: PageClient): Promise<MediaKind | null> {
  try {
    // GET without reading the body: many hosts refuse HEAD for media.
    const response = await pages.head(url, { method: "GET", headers: { referer: `${new URL(page.url).origin}/` } });
    return mediaKindOfType(response.headers.get("content-type"));
  } catch {
    return null; // one of several candidates: the next one is tried
  }
}

function hasNoExtension(url: string): boolean {
  return !/\.[a-z0-9]{1,5}$/i.test(new URL(url).pathname);
}
