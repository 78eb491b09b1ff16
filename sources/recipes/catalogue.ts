// Recipe `catalogue`: the operator's own table of episodes. No page is read.
// Example: catalogue (mal_id 55825, episode 1) has sources [{ url: "https://own.test/ep1.mp4", resolution: "720p" }].
// Runs on: Deno, edge runtime.
import { z } from "zod";
import { parseHttpUrl } from "../../core/http_url.ts";
import { MEDIA_KINDS, mediaKind } from "../page/media_kind.ts";
import { resolutionOf, serverLabel } from "../page/resolution.ts";
import { SourceError } from "../source_error.ts";
import { type CatalogueSource, type ListedServer, type ListFailure, type Recipe, splitListing } from "./recipe.ts";

const DIRECT_KINDS = MEDIA_KINDS.filter((kind) => kind !== "mega");

export const catalogueRecipe: Recipe = {
  name: "catalogue",
  needs: { baseUrl: false, page: false },
  config: z.looseObject({}),

  listServers({ catalogue }) {
    if (catalogue === null || catalogue.sources.length === 0) {
      throw new SourceError("no_mapping", "the catalogue has no such episode");
    }
    // Operators also write rows by hand, so invalid ones are possible.
    return Promise.resolve(splitListing(catalogue.sources.map(toServer)));
  },
};

function toServer(source: CatalogueSource): ListedServer | ListFailure {
  const resolution = source.resolution ?? resolutionOf(source.label ?? "");
  // "embed", "mega" and unknown kinds are pages for the resolvers.
  const kind = source.kind ? DIRECT_KINDS.find((one) => one === source.kind) ?? null : mediaKind(source.url);
  const label = serverLabel(source.url, source.label ?? resolution ?? "");
  const embedUrl = parseHttpUrl(source.url);
  if (embedUrl === null) return { label, code: "invalid_input" };
  return {
    label,
    embedUrl,
    resolution,
    ...(kind !== null && { direct: { kind } }),
    ...(source.chapters && { chapters: source.chapters }),
    subtitles: (source.subtitles ?? []).flatMap((subtitle) => {
      const url = parseHttpUrl(subtitle.url);
      return url === null ? [] : [{ ...subtitle, url }];
    }),
  };
}
