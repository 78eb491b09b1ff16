// A server of the response that plays from the operator's archive, with what is stored beside the file.
// Example: hls → https://worker.test/proxy?…&url=…%2F{key}.m3u8. Runs on: Deno, edge runtime.
import { linkExpiry } from "../../core/link.ts";
import { MASTER_ENDING } from "../../core/presentation.ts";
import type { SourceServer } from "../../sources/source_list.ts";
import type { PublicServer } from "./episode_schema.ts";
import { listedSubtitles } from "./live_server.ts";
import {
  type ArchivedCopy,
  type EpisodeResponseInput,
  type EpisodeResponseTools,
  isoTime,
  leadsToTakenDown,
} from "./response_input.ts";

type LinkTo = (ending: string) => string;

export async function archivedServer(
  copy: ArchivedCopy,
  server: SourceServer | null,
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<PublicServer> {
  const { url } = copy;
  const isTakenDown = await leadsToTakenDown(url, input, tools);
  const expiresAt = archiveExpiry(copy, tools);
  const embed = server?.embed_url ?? url;
  const { presentation: _, sidecars, chapters: kept, ...media } = copy.media ?? {};
  const chapters = kept?.length ? kept : server?.chapters;
  const episode = { ...input.key, provider: copy.provider };
  const key = fileKeyOf(url);
  const beside = isTakenDown || key === null
    ? null
    : await tools.links.signArchive({ url, files: [key], expiresAt, episode });
  const linkTo: LinkTo | null = beside && ((ending) => beside(key + ending));
  const linkIfStored = (ending: string) => sidecars?.includes(ending) && linkTo !== null ? linkTo(ending) : null;
  const own = linkTo === null ? [] : archivedSubtitles(copy, linkTo);
  return {
    provider: server?.label ?? ["Archive", copy.resolution].filter(Boolean).join(" "),
    url: embed,
    url_resolved: isTakenDown ? null : url,
    resolution: copy.resolution,
    width: copy.width ?? null,
    height: copy.height ?? null,
    media: copy.media ? media as PublicServer["media"] : null,
    stream: isTakenDown ? null : await tools.links.sign({
      url,
      kind: "mp4",
      expiresAt,
      archive: true,
      episode: { ...episode, server: embed },
    }),
    kind: "mp4",
    archived: true,
    archive: { state: "ready", progress: 1 },
    expires_at: isTakenDown ? null : isoTime(expiresAt),
    subtitles: own.length > 0 || server === null
      ? own
      : await listedSubtitles(copy.provider, server, expiresAt, { input, tools }),
    ...(chapters && { chapters }),
    tracks: tracksOf(copy),
    hls: hasPlaylists(copy) && linkTo !== null ? linkTo(MASTER_ENDING) : null,
    poster: linkIfStored(".poster.jpg"),
    thumbnails: linkIfStored(".sprite.vtt"),
    duration: durationOf(copy),
    size_bytes: copy.size_bytes ?? null,
    codecs: codecsOf(copy),
    mime_type: isTakenDown ? null : mimeTypeOf(copy),
    ...(isTakenDown && { code: "taken_down" }),
  };
}

/** Links outlive the episode: a player requests ranges until its end, and pauses. */
export function archiveExpiry(copy: ArchivedCopy, { now, linkTtlSeconds }: EpisodeResponseTools): number {
  const seconds = Math.max(linkTtlSeconds, 2 * Math.ceil(durationOf(copy) ?? 0));
  return linkExpiry(Math.floor(now() / 1000), seconds);
}

/** Whether it can be played by HLS. Without a list of sidecars, its form decides. */
export function hasPlaylists({ media }: ArchivedCopy): boolean {
  return media?.presentation?.form === "hybrid" && (media.sidecars?.includes(MASTER_ENDING) ?? true);
}

/** From `…/{file_key}.mp4`. */
export function fileKeyOf(url: string): string | null {
  return /\/([0-9a-f]{32})\.mp4$/.exec(url)?.[1] ?? null;
}

export function durationOf(copy: ArchivedCopy): number | null {
  return copy.duration_seconds ?? copy.media?.presentation?.duration ?? null;
}

function archivedSubtitles({ media }: ArchivedCopy, linkTo: LinkTo): PublicServer["subtitles"] {
  const tracks = media?.presentation?.tracks.filter(({ kind }) => kind === "subtitles") ?? [];
  return tracks.flatMap(({ playlist, language, label }, index) => {
    // A plain archive has no playlists, but may have its subtitles beside it.
    const name = playlist ?? `s${index}`;
    if (playlist === null && !media?.sidecars?.includes(`.${name}.vtt`)) return [];
    return [{ url: linkTo(`.${name}.vtt`), source_url: null, language, label, kind: "subtitles" }];
  });
}

function tracksOf({ media }: ArchivedCopy): PublicServer["tracks"] {
  const presented = media?.presentation?.tracks;
  if (presented !== undefined) {
    return presented.map(({ kind, language, label, codec, default: isDefault, forced }) => ({
      kind,
      language,
      label,
      codec,
      default: isDefault,
      forced,
    }));
  }
  // Of an archive that an earlier version wrote: players take the first track of each kind.
  const tracks = media?.tracks ?? [];
  return tracks.map(({ type, language, name }, index) => ({
    kind: type,
    language,
    label: name ?? language ?? type,
    codec: null,
    default: type !== "subtitles" && tracks.findIndex((one) => one.type === type) === index,
    forced: false,
  }));
}

function codecsOf({ media }: ArchivedCopy): string | null {
  const tracks = media?.presentation?.tracks ?? [];
  const first = (kind: "video" | "audio") => {
    const ofKind = tracks.filter((track) => track.kind === kind);
    return (ofKind.find((track) => track.default) ?? ofKind[0])?.codec;
  };
  const codecs = [first("video"), first("audio")].filter((codec) => codec != null);
  return codecs.length === 0 ? null : codecs.join(",");
}

function mimeTypeOf({ media }: ArchivedCopy): string {
  const tracks = media?.tracks ?? [];
  return tracks.length > 0 && !tracks.some(({ type }) => type === "video") ? "audio/mp4" : "video/mp4";
}
