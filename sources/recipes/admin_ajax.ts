// Recipe `admin-ajax`: the player of each server option is requested by a POST to the site's admin-ajax.php.
// Example: <div class="east_player_option" data-post="7" data-nume="1" data-type="schtml"><span>Server 720p</span></div>.
// Runs on: Deno, edge runtime.
import { z } from "zod";
import { attribute, type HtmlElement, textOf } from "../page/html.ts";
import { absolute } from "../fetch/page_client.ts";
import { resolutionOf, serverLabel } from "../page/resolution.ts";
import { SourceError, toSourceError } from "../source_error.ts";
import { askForPlayer } from "./ajax_player.ts";
import { readEpisodePage } from "./episode_list.ts";
import { type ListedServer, type ListFailure, type Recipe, splitListing } from "./recipe.ts";
import { searchConfig, searchSite } from "./site_search.ts";

const MAX_OPTIONS = 40;

const configSchema = z.looseObject({
  selectors: z.strictObject({
    episodes: z.string().default(".lstepsiode.listeps ul li"),
    number: z.string().default(".epsright .eps a"),
    link: z.string().default(".epsleft .lchx a"),
    options: z.string().default(".east_player_option"),
  }).prefault({}),
  ajax_path: z.string().default("/wp-admin/admin-ajax.php"),
  action: z.string().default("player_ajax"),
  search: searchConfig,
});

export const adminAjaxRecipe: Recipe = {
  name: "admin-ajax",
  needs: { baseUrl: true, page: true },
  config: configSchema,

  async listServers(request, pages) {
    const { selectors, ajax_path, action } = configSchema.parse(request.provider.config);
    const list = { item: selectors.episodes, link: selectors.link, number: selectors.number };
    const { page, document } = await readEpisodePage(request, pages, list);
    const ajaxUrl = absolute(ajax_path, request.provider.base_url ?? page.url);
    const options = [...document.querySelectorAll(selectors.options)].slice(0, MAX_OPTIONS);
    const listed = await Promise.all(options.map(async (option): Promise<ListedServer | ListFailure> => {
      const label = textOf(option);
      try {
        const fields = { action, ...optionFields(option) };
        const embedUrl = await askForPlayer({ pageUrl: page.url, ajaxUrl, fields }, pages);
        return { label: serverLabel(embedUrl, label), embedUrl, resolution: resolutionOf(label) };
      } catch (thrown) {
        return { label, code: toSourceError(thrown).reason }; // one server's failure is that server's
      }
    }));
    return splitListing(listed);
  },

  search: (provider, query, pages) =>
    searchSite(provider, query, { pages, config: configSchema.parse(provider.config).search }),
};

/** post, nume and type of an option. @throws {SourceError} `parse` when one is missing */
export function optionFields(option: HtmlElement): Readonly<Record<"post" | "nume" | "type", string>> {
  const [post, nume, type] = ["data-post", "data-nume", "data-type"].map((name) => attribute(option, name));
  if (!post || !nume || !type) {
    throw new SourceError("parse", "the server option lacks data-post, data-nume or data-type");
  }
  return { post, nume, type };
}
