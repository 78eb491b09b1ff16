// Recipe `internet-archive`: reads the files of an item from its metadata, in which numbers are strings. The title's page is the
// item's identifier. An item without a licence URL is refused, because its rights are unknown.
// Example: page "my_open_film" → GET {base_url}/metadata/my_open_film. Runs on: Deno, edge runtime.
import { z } from "zod";
import type { HttpUrl } from "../../core/http_url.ts";
import { findEpisodePage, parseEpisodeLabel } from "../page/episode_label.ts";
import { mediaKind } from "../page/media_kind.ts";
import { absolute } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import type { FoundSubtitle } from "../source_list.ts";
import type { ListedServer, Recipe } from "./recipe.ts";

const MAX_FILES = 2_000;

const numeric = z.union([z.string(), z.number()]).transform(Number).pipe(z.number()).catch(0).optional();

const fileSchema = z.object({
  name: z.string().refine((name) => name.isWellFormed()), // half a surrogate pair has no percent-encoding
  source: z.string().optional(),
  original: z.union([z.string(), z.array(z.string())]).optional(),
  format: z.string().optional(),
  height: numeric,
});

const itemSchema = z.object({
  metadata: z.object({
    identifier: z.string(),
    licenseurl: z.union([z.string(), z.array(z.string())]).optional(),
  }).optional(),
  files: z.array(z.unknown()).max(MAX_FILES * 10).default([]),
});

type ItemFile = z.infer<typeof fileSchema>;

export const internetArchiveRecipe: Recipe = {
  name: "internet-archive",
  needs: { baseUrl: true, page: true },
  config: z.looseObject({}),

  async listServers(request, pages) {
    const base = request.provider.base_url ?? "";
    const identifier = request.page ?? "";
    const response = await pages.json(absolute(`/metadata/${encodeURIComponent(identifier)}`, base));
    const item = itemSchema.safeParse(response);
    if (!item.success) {
      throw new SourceError("parse", "the item's metadata is invalid", { cause: item.error });
    }
    const { metadata, files } = item.data;
    if (metadata === undefined) throw new SourceError("gone", "there is no such item"); // the response is {} with status 200
    if (!metadata.licenseurl?.length) throw new SourceError("not_permitted", "the item states no licence");

    const known = files.slice(0, MAX_FILES).flatMap((file) => fileSchema.safeParse(file).data ?? []);
    const wanted = filesOfEpisode(known.filter(isVideo), request.episode);
    const urlOf = (name: string) =>
      absolute(`/download/${[identifier, ...name.split("/")].map(encodeURIComponent).join("/")}`, base);
    const subtitles = known.filter((file) => wanted.some((video) => isSubtitleOf(file, video)))
      .map((file): FoundSubtitle => ({ url: urlOf(file.name), label: file.name }));
    return { servers: wanted.map((file) => toServer(file, urlOf(file.name), subtitles)), failures: [] };
  },
};

/** Each original is an episode, by the number in its name; derivatives belong to their original. */
function filesOfEpisode(videos: readonly ItemFile[], episode: number): readonly ItemFile[] {
  const originals = videos.filter((file) => file.source !== "derivative");
  const list = (originals.length > 0 ? originals : videos).map((file) => ({
    label: parseEpisodeLabel(titleOf(file.name)),
    page: file.name,
  }));
  const name = findEpisodePage(list, episode);
  return name === null ? [] : videos.filter((file) => file.name === name || originalOf(file) === name);
}

function toServer(file: ItemFile, embedUrl: HttpUrl, subtitles: readonly FoundSubtitle[]): ListedServer {
  const resolution = file.height ? `${file.height}p` : null;
  return {
    label: [file.format ?? "File", resolution].filter(Boolean).join(" "),
    embedUrl,
    resolution,
    direct: { kind: mediaKind(embedUrl) ?? "mp4" },
    subtitles,
  };
}

function isVideo(file: ItemFile): boolean {
  return mediaKind(`https://item.invalid/${encodeURIComponent(file.name)}`) !== null;
}

function isSubtitleOf(file: ItemFile, video: ItemFile): boolean {
  return /\.(?:vtt|srt)$/i.test(file.name) && stemOf(file.name).startsWith(stemOf(originalOf(video) ?? video.name));
}

function originalOf(file: ItemFile): string | undefined {
  return typeof file.original === "string" ? file.original : file.original?.[0];
}

function stemOf(name: string): string {
  return name.replace(/\.[a-z0-9]{2,5}$/i, "");
}

/** `My_Show_ep03.mp4` → `My Show ep03` */
function titleOf(name: string): string {
  return stemOf(name).replace(/[_.]+/g, " ").trim();
}
