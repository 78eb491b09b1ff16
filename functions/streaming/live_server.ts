// A server of the response that plays from its source. Runs on: Deno, edge runtime.
import { linkExpiry } from "../../core/link.ts";
import type { SourceServer } from "../../sources/source_list.ts";
import type { PublicServer } from "./episode_schema.ts";
import { type EpisodeResponseInput, type EpisodeResponseTools, isoTime, leadsToTakenDown } from "./response_input.ts";

const MIME_TYPES: Readonly<Record<string, string>> = {
  mp4: "video/mp4",
  mega: "video/mp4",
  hls: "application/vnd.apple.mpegurl",
  dash: "application/dash+xml",
  mkv: "video/x-matroska",
  webm: "video/webm",
};

export async function liveServer(
  provider: string,
  server: SourceServer,
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<PublicServer> {
  const nowSeconds = Math.floor(tools.now() / 1000);
  const validUntil = server.expires_at === null ? Infinity : Date.parse(server.expires_at) / 1000;
  const usable = server.video_url !== null && validUntil > nowSeconds;
  const isTakenDown = server.video_url !== null && await leadsToTakenDown(server.video_url, input, tools);
  const url = usable && !isTakenDown ? server.video_url : null;
  // The link may outlive the media URL: the Worker then asks this API for a new one.
  const expiresAt = linkExpiry(nowSeconds, tools.linkTtlSeconds);
  const queued = input.queue.find((one) => one.provider === provider && one.resolution === server.resolution);
  return {
    provider: server.label,
    url: server.embed_url,
    url_resolved: url,
    resolution: server.resolution,
    width: null,
    height: null,
    media: null,
    stream: url === null ? null : await tools.links.sign({
      url,
      kind: server.kind,
      expiresAt,
      headers: server.headers,
      megaKey: server.kind === "mega" ? megaKeyOf(server.embed_url) : null,
      episode: { ...input.key, provider, server: server.embed_url },
    }),
    kind: server.kind,
    archived: false,
    archive: queued ? { state: queued.status, progress: queued.progress ?? null } : null,
    expires_at: url === null ? null : isoTime(expiresAt),
    subtitles: await listedSubtitles(provider, server, expiresAt, { input, tools }),
    ...(server.chapters && { chapters: server.chapters }),
    tracks: [],
    hls: null,
    poster: null,
    thumbnails: null,
    duration: null,
    size_bytes: null,
    codecs: null,
    mime_type: url === null ? null : MIME_TYPES[server.kind ?? ""] ?? null,
    ...(isTakenDown ? { code: "taken_down" } : server.code && { code: server.code }),
  };
}

/** The subtitles that a provider lists, through the proxy: browsers load `<track>` with CORS only. */
export async function listedSubtitles(
  provider: string,
  server: SourceServer,
  expiresAt: number,
  { input, tools }: { readonly input: EpisodeResponseInput; readonly tools: EpisodeResponseTools },
): Promise<PublicServer["subtitles"]> {
  const signed = await Promise.all(server.subtitles.map(async (subtitle) => {
    if (await leadsToTakenDown(subtitle.url, input, tools)) return null;
    const url = await tools.links.sign({
      url: subtitle.url,
      kind: null,
      expiresAt,
      headers: server.headers,
      subtitles: true,
      // Without the server: the Worker would look for its video if the subtitles are gone.
      episode: { ...input.key, provider },
    });
    return url === null ? null : { ...subtitle, url, source_url: subtitle.url };
  }));
  return signed.filter((one) => one !== null);
}

function megaKeyOf(embedUrl: string): string | null {
  return URL.canParse(embedUrl) ? new URL(embedUrl).hash.slice(1).replace(/^.*!/, "") || null : null;
}
