// Recipe `peertube`: reads the API of a PeerTube instance. The title's page is the id of a video, or `playlist:` and the id of a playlist
// whose elements are the episodes. A video with disabled downloads is refused. Runs on: Deno, edge runtime.
import { z } from "zod";
import { parseHttpUrl } from "../../core/http_url.ts";
import { absolute, type PageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import type { Chapter, FoundSubtitle } from "../source_list.ts";
import { type ListedServer, type ListFailure, type Listing, type Recipe, splitListing } from "./recipe.ts";

const fileSchema = z.object({
  resolution: z.object({ id: z.number(), label: z.string().optional() }),
  fileUrl: z.string(),
  hasAudio: z.boolean().nullish(),
  hasVideo: z.boolean().nullish(),
});

const videoSchema = z.object({
  name: z.string().optional(),
  downloadEnabled: z.boolean().default(false),
  licence: z.object({ id: z.number().nullish(), label: z.string().nullish() }).nullish(),
  files: z.array(fileSchema).default([]),
  streamingPlaylists: z.array(z.object({ playlistUrl: z.string(), files: z.array(fileSchema).default([]) })).default(
    [],
  ),
});

const captionsSchema = z.object({
  data: z.array(z.object({
    language: z.object({ id: z.string(), label: z.string().optional() }),
    fileUrl: z.string().nullish(),
    captionPath: z.string().nullish(),
  })),
});

const chaptersSchema = z.object({ chapters: z.array(z.object({ timecode: z.number(), title: z.string() })) });

const playlistSchema = z.object({
  data: z.array(z.object({ position: z.number(), video: z.object({ uuid: z.string() }).nullish() })),
});

const configSchema = z.looseObject({
  /** PeerTube licence ids that may be used; absent: every video whose downloads are enabled. */
  licences: z.array(z.number().int()).optional(),
});

type VideoFile = z.infer<typeof fileSchema>;

export const peertubeRecipe: Recipe = {
  name: "peertube",
  needs: { baseUrl: true, page: true },
  config: configSchema,

  async listServers(request, pages) {
    const base = request.provider.base_url ?? "";
    const id = await videoId(request.page ?? "", request.episode, { base, pages });
    const url = absolute(`/api/v1/videos/${encodeURIComponent(id)}`, base);
    const [video, subtitles, chapters] = await Promise.all([
      readJson(videoSchema, url, pages),
      readCaptions(`${url}/captions`, base, pages),
      readChapters(`${url}/chapters`, pages),
    ]);
    if (!video.downloadEnabled) throw new SourceError("not_permitted", "the video's owner switched off downloads");
    const { licences } = configSchema.parse(request.provider.config);
    if (licences !== undefined && !licences.includes(video.licence?.id ?? -1)) {
      throw new SourceError(
        "not_permitted",
        `the video's licence (${video.licence?.label ?? "none"}) is not on the list`,
      );
    }
    const { servers, failures } = listFiles(video, base);
    return { servers: servers.map((server) => ({ ...server, subtitles, chapters })), failures };
  },
};

/** Complete files first; if an instance splits audio from video, only its playlist has both. */
function listFiles(video: z.infer<typeof videoSchema>, base: string): Listing {
  const whole = splitListing(video.files.filter(isWhole).map((file) => fileServer(file, base)));
  if (whole.servers.length > 0) return whole;
  const listed = video.streamingPlaylists.flatMap((playlist) => {
    const withBoth = playlist.files.filter(isWhole);
    const split = playlist.files.some((file) => file.hasAudio === false || file.hasVideo === false);
    if (!split && withBoth.length > 0) return withBoth.map((file) => fileServer(file, base));
    const height = Math.max(0, ...playlist.files.map((file) => file.resolution.id));
    return [toServer({ url: playlist.playlistUrl, height, kind: "hls" }, base)];
  });
  const { servers, failures } = splitListing(listed);
  return { servers, failures: [...whole.failures, ...failures] };
}

/** Resolution 0 is audio only. */
function isWhole(file: VideoFile): boolean {
  return file.resolution.id > 0 && file.hasAudio !== false && file.hasVideo !== false;
}

function fileServer(file: VideoFile, base: string): ListedServer | ListFailure {
  return toServer({ url: file.fileUrl, height: file.resolution.id, kind: "mp4" }, base);
}

function toServer(
  { url, height, kind }: { url: string; height: number; kind: string },
  base: string,
): ListedServer | ListFailure {
  const resolution = height > 0 ? `${height}p` : null;
  const label = ["PeerTube", resolution].filter(Boolean).join(" ");
  const embedUrl = parseHttpUrl(url, base);
  return embedUrl === null ? { label, code: "parse" } : { label, embedUrl, resolution, direct: { kind } };
}

async function videoId(page: string, episode: number, { base, pages }: { base: string; pages: PageClient }) {
  const playlist = /^playlist:(.+)$/.exec(page)?.[1];
  if (playlist === undefined) {
    if (episode === 1) return page;
    throw new SourceError("empty", "the title is mapped to a single video, which is episode 1");
  }
  const query = `start=${Math.max(0, episode - 1)}&count=1`;
  const url = absolute(`/api/v1/video-playlists/${encodeURIComponent(playlist)}/videos?${query}`, base);
  const element = (await readJson(playlistSchema, url, pages)).data.find((one) => one.position === episode);
  if (!element?.video) throw new SourceError("empty", `the playlist has no element ${episode}`);
  return element.video.uuid;
}

async function readJson<T>(schema: z.ZodType<T>, url: string, pages: PageClient): Promise<T> {
  const parsed = schema.safeParse(await pages.json(url));
  if (parsed.success) return parsed.data;
  throw new SourceError("parse", "the instance's response is invalid", { cause: parsed.error });
}

/** Captions and chapters are optional; old instances do not have them. */
async function readCaptions(source: string, base: string, pages: PageClient): Promise<readonly FoundSubtitle[]> {
  try {
    const { data } = await readJson(captionsSchema, source, pages);
    return data.flatMap(({ language, fileUrl, captionPath }) => {
      const url = parseHttpUrl(fileUrl ?? "", base) ?? parseHttpUrl(captionPath ?? "", base);
      return url === null ? [] : [{ url, language: language.id, label: language.label ?? null }];
    });
  } catch {
    return [];
  }
}

async function readChapters(url: string, pages: PageClient): Promise<readonly Chapter[]> {
  try {
    const { chapters } = await readJson(chaptersSchema, url, pages);
    return chapters.map(({ timecode, title }) => ({ seconds: timecode, title }));
  } catch {
    return [];
  }
}
