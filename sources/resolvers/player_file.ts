// Resolver `player-file`: a page whose script or <video> element names its media: `file: "…"`, `player.src({ src: "…" })`.
// Example: <script>jwplayer().setup({ file: "https://cdn.test/ep1.mp4?t=1" })</script>. Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { type MediaKind, mediaKind, mediaKindOfType } from "../page/media_kind.ts";
import type { PageClient } from "../fetch/page_client.ts";
import { tags } from "../page/tags.ts";
import { directMedia } from "./direct.ts";
import type { EmbedPage, Resolved } from "./resolver.ts";
import { scriptMedia } from "./script_media.ts";

/** Addresses without an extension that are asked what they are. */
const MAX_ASKED = 2;

export async function resolvePlayerFile(page: EmbedPage, pages: PageClient): Promise<Resolved | null> {
  const { addresses, subtitles } = scriptMedia(page.html, page.url);
  const candidates = [...new Set([...addresses, ...elementUrls(page)])];
  for (const url of candidates) {
    const kind = mediaKind(url);
    if (kind !== null) return { ...directMedia(url, kind, page.url), subtitles };
  }
  for (const url of candidates.filter(hasNoExtension).slice(0, MAX_ASKED)) {
    const kind = await askedKind(url, page, pages);
    if (kind !== null) return { ...directMedia(url, kind, page.url), subtitles };
  }
  return null;
}

function elementUrls({ html, url }: EmbedPage): readonly HttpUrl[] {
  const addresses: HttpUrl[] = [];
  let inVideo = false;
  for (const { name, attributes } of tags(html)) {
    if (name === "video" || name === "/video") inVideo = name === "video";
    if (name !== "video" && !(name === "source" && inVideo)) continue;
    const address = parseHttpUrl(attributes.get("src") ?? "", url);
    if (address !== null) addresses.push(address);
  }
  return addresses;
}

async function askedKind(url: string, page: EmbedPage, pages: PageClient): Promise<MediaKind | null> {
  try {
    // A GET whose body is left: hosts refuse HEAD for media more often than not.
    const answer = await pages.head(url, { method: "GET", headers: { referer: `${new URL(page.url).origin}/` } });
    return mediaKindOfType(answer.headers.get("content-type"));
  } catch {
    return null; // one of several guesses: the next one, or no resolver, decides
  }
}

function hasNoExtension(url: string): boolean {
  return !/\.[a-z0-9]{1,5}$/i.test(new URL(url).pathname);
}
