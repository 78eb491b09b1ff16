// Recipe `select-base64`: the episode's servers are options of a select, each the base64 of an iframe's HTML.
// Example: <option value="PGlmcmFtZSBzcmM9Ii8vcGxheWVyLnRlc3QvZS8xIj48L2lmcmFtZT4=">720p [2]</option>.
// Runs on: Deno, edge runtime.
import { z } from "zod";
import { decodeBase64 } from "../../core/base64url.ts";
import { attribute, textOf } from "../page/html.ts";
import { iframeUrl } from "../page/iframe.ts";
import { resolutionOf, serverLabel } from "../page/resolution.ts";
import { readEpisodePage } from "./episode_list.ts";
import type { ListedServer, ListFailure, Recipe } from "./recipe.ts";
import { searchConfig, searchSite } from "./site_search.ts";

const configSchema = z.looseObject({
  selectors: z.strictObject({
    episodes: z.string().default("#daftarepisode li span.lchx a"),
    options: z.string().default("select.mirror option[value]"),
  }).prefault({}),
  search: searchConfig,
});

export const selectBase64Recipe: Recipe = {
  name: "select-base64",
  needs: { baseUrl: true, page: true },
  config: configSchema,

  async listServers(request, pages) {
    const { selectors } = configSchema.parse(request.provider.config);
    const list = { item: selectors.episodes, link: null, number: null };
    const { page, document } = await readEpisodePage(request, pages, list);
    const servers: ListedServer[] = [];
    const failures: ListFailure[] = [];
    for (const option of document.querySelectorAll(selectors.options)) {
      const value = attribute(option, "value") ?? "";
      if (value.trim() === "") continue; // "choose a server"
      const label = textOf(option);
      const embedUrl = iframeUrl(decodeText(value) ?? "", page.url);
      if (embedUrl === null) failures.push({ label, code: "parse" });
      else servers.push({ label: serverLabel(embedUrl, label), embedUrl, resolution: resolutionOf(label) });
    }
    return { servers, failures };
  },

  search: (provider, query, pages) =>
    searchSite(provider, query, { pages, config: configSchema.parse(provider.config).search }),
};

function decodeText(base64: string): string | null {
  const bytes = decodeBase64(base64.replace(/\s+/g, ""));
  return bytes === null ? null : new TextDecoder().decode(bytes);
}
