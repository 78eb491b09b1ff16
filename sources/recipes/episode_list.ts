// A title's page → its episodes, as the recipes for web pages read them. Runs on: Deno, edge runtime.
import { parseHttpUrl } from "../../core/http_url.ts";
import { findEpisodePage, type LabelledPage, parseEpisodeLabel } from "../page/episode_label.ts";
import { attribute, type HtmlDocument, textOf } from "../page/html.ts";
import { absolute, type Page, type PageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import type { EpisodeRequest } from "./recipe.ts";

export interface EpisodeListSelectors {
  /** One element per episode. */
  readonly item: string;
  /** The link within an item; null if the item is the link. */
  readonly link: string | null;
  /** The number within an item; tried before the text of the link. */
  readonly number: string | null;
}

/** Follows a title's page to the page of one episode and reads that. @throws {SourceError} `empty` if there is none */
export async function readEpisodePage(
  request: EpisodeRequest,
  pages: PageClient,
  selectors: EpisodeListSelectors,
): Promise<{ readonly page: Page; readonly document: HtmlDocument }> {
  const titlePage = await pages.document(absolute(request.page ?? "", request.provider.base_url ?? ""));
  const list = listEpisodes(titlePage.document, titlePage.url, selectors);
  const url = findEpisodePage(list, request.episode);
  if (url === null) {
    throw new SourceError("empty", `episode ${request.episode} is not among the ${list.length} of the title's page`);
  }
  const page = await pages.document(url, { headers: { referer: titlePage.url } });
  return { page, document: page.document };
}

/** Episodes in the page's order, without duplicates and items without a URL. */
export function listEpisodes(
  document: HtmlDocument,
  base: string,
  selectors: EpisodeListSelectors,
): readonly LabelledPage[] {
  const list: LabelledPage[] = [];
  const seen = new Set<string>();
  for (const item of document.querySelectorAll(selectors.item)) {
    const link = selectors.link === null ? item : item.querySelector(selectors.link);
    const page = parseHttpUrl(link === null ? "" : attribute(link, "href") ?? "", base);
    if (page === null || page === base) continue;
    const number = selectors.number === null ? "" : textOf(item.querySelector(selectors.number));
    const label = labelOf([number, textOf(link)]);
    const name = `${page} ${JSON.stringify(label)}`;
    if (seen.has(name)) continue;
    seen.add(name);
    list.push({ label, page });
  }
  return list;
}

function labelOf(texts: readonly string[]) {
  const labels = texts.filter((text) => text !== "").map(parseEpisodeLabel);
  return labels.find((label) => label.kind !== "unknown") ?? labels[0] ?? parseEpisodeLabel("");
}
