// Recipe `admin-ajax-nonce`: like admin-ajax, with a nonce from a data-URI script of the episode's page.
// Example: <script id="ajax_video-js-extra" src="data:text/javascript;base64,dmFyIGFqYXhfdmlkZW8gPSB7Im5vbmNlIjoiYWIxMiJ9">.
// The response to an expired nonce is -1: the page is fetched again, once. Runs on: Deno, edge runtime.
import { z } from "zod";
import { decodeBase64 } from "../../core/base64url.ts";
import { attribute, type HtmlDocument, type HtmlElement, textOf } from "../page/html.ts";
import { absolute, type PageClient } from "../fetch/page_client.ts";
import { resolutionOf, serverLabel } from "../page/resolution.ts";
import { propertyStrings } from "../page/script_strings.ts";
import { SourceError, toSourceError } from "../source_error.ts";
import { askForPlayer, NonceExpired } from "./ajax_player.ts";
import { readEpisodePage } from "./episode_list.ts";
import { type ListedServer, type ListFailure, type Recipe, splitListing } from "./recipe.ts";
import { searchConfig, searchSite } from "./site_search.ts";

const MAX_OPTIONS = 40;

const configSchema = z.looseObject({
  selectors: z.strictObject({
    episodes: z.string().default(".episode-list-items a.episode-item"),
    options: z.string().default("ul.tabs1.player li[data-post]"),
    nonce_script: z.string().default("#ajax_video-js-extra"),
  }).prefault({}),
  ajax_path: z.string().default("/wp-admin/admin-ajax.php"),
  action: z.string().default("player_ajax"),
  search: searchConfig,
});

export const adminAjaxNonceRecipe: Recipe = {
  name: "admin-ajax-nonce",
  needs: { baseUrl: true, page: true },
  config: configSchema,

  async listServers(request, pages) {
    const { selectors, ajax_path, action } = configSchema.parse(request.provider.config);
    const list = { item: selectors.episodes, link: null, number: null };
    const { page, document } = await readEpisodePage(request, pages, list);
    const ajaxUrl = absolute(ajax_path, request.provider.base_url ?? page.url);
    const nonces = createNonceSource(readNonce(document, selectors.nonce_script), async () => {
      const again = await pages.document(page.url);
      return readNonce(again.document, selectors.nonce_script);
    });

    const ask = async (option: HtmlElement, pages: PageClient) => {
      const fields = { action, ...dataFields(option) };
      const nonce = nonces.current();
      try {
        return await askForPlayer({ pageUrl: page.url, ajaxUrl, fields: { ...fields, nonce } }, pages);
      } catch (thrown) {
        if (!(thrown instanceof NonceExpired)) throw thrown;
        const renewed = await nonces.renew(nonce);
        return await askForPlayer({ pageUrl: page.url, ajaxUrl, fields: { ...fields, nonce: renewed } }, pages);
      }
    };
    const options = [...document.querySelectorAll(selectors.options)].slice(0, MAX_OPTIONS);
    const listed = await Promise.all(options.map(async (option): Promise<ListedServer | ListFailure> => {
      const label = textOf(option);
      try {
        const embedUrl = await ask(option, pages);
        return { label: serverLabel(embedUrl, label), embedUrl, resolution: resolutionOf(label) };
      } catch (thrown) {
        const code = thrown instanceof NonceExpired ? "blocked" : toSourceError(thrown).reason;
        return { label, code };
      }
    }));
    return splitListing(listed);
  },

  search: (provider, query, pages) =>
    searchSite(provider, query, { pages, config: configSchema.parse(provider.config).search }),
};

/** One renewal for all options that found the same nonce expired. */
function createNonceSource(first: string, fetchAgain: () => Promise<string>) {
  let nonce = first;
  let renewal: Promise<string> | null = null;
  return {
    current: () => nonce,
    async renew(expired: string): Promise<string> {
      if (nonce !== expired) return nonce;
      renewal ??= fetchAgain();
      nonce = await renewal;
      return nonce;
    },
  };
}

function readNonce(document: HtmlDocument, selector: string): string {
  const script = document.querySelector(selector);
  const source = script === null ? "" : attribute(script, "src") ?? "";
  const encoded = /^data:[^,]*;base64,(.*)$/is.exec(source)?.[1];
  const text = encoded === undefined ? script?.textContent ?? "" : decodeText(encoded);
  const nonce = propertyStrings(text, ["nonce"])[0]?.value;
  if (!nonce) throw new SourceError("parse", "the episode's page carries no nonce");
  return nonce;
}

function decodeText(base64: string): string {
  const bytes = decodeBase64(base64.trim());
  return bytes === null ? "" : new TextDecoder().decode(bytes);
}

/** Every data-… attribute that names the option: post, nume and, where the site has it, type. */
function dataFields(option: HtmlElement): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {};
  for (const name of ["post", "nume", "type"]) {
    const value = attribute(option, `data-${name}`);
    if (value) fields[name] = value;
  }
  return fields;
}
