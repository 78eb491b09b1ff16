// Reads titles and their pages from a site's search, for discovery. Runs on: Deno, edge runtime.
import { z } from "zod";
import { parseHttpUrl } from "../../core/http_url.ts";
import { attribute, textOf } from "../page/html.ts";
import { absolute, type PageClient } from "../fetch/page_client.ts";
import type { ProviderEntry, SearchHit } from "./recipe.ts";

const MAX_HITS = 60;

export const searchConfig = z.strictObject({
  /** Path with `{query}`, which is percent-encoded. */
  path: z.string().default("/?s={query}"),
  /** One link per title; its `title` attribute or its text is the title. */
  results: z.string().default("article a[href]"),
}).prefault({});

export interface SearchOptions {
  readonly pages: PageClient;
  readonly config: z.infer<typeof searchConfig>;
}

export async function searchSite(
  provider: ProviderEntry,
  query: string,
  { pages, config }: SearchOptions,
): Promise<readonly SearchHit[]> {
  const path = config.path.replaceAll("{query}", encodeURIComponent(query));
  const page = await pages.document(absolute(path, provider.base_url ?? ""));
  const hits = new Map<string, SearchHit>();
  for (const link of page.document.querySelectorAll(config.results)) {
    const found = parseHttpUrl(attribute(link, "href") ?? "", page.url);
    const title = attribute(link, "title")?.trim() || textOf(link);
    if (found !== null && title !== "" && !hits.has(found)) hits.set(found, { title, page: found });
    if (hits.size === MAX_HITS) break;
  }
  return [...hits.values()];
}
