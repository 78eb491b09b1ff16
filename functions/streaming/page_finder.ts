// Finds the page of a title that the operator has not mapped, and caches the result in the database: a page for 30 days, its absence
// for 6 hours. Runs on: Deno, edge runtime.
import { discoverPage } from "../../sources/discovery/find_page.ts";
import { createPageClient } from "../../sources/fetch/page_client.ts";
import type { EpisodeRequest } from "../../sources/recipes/recipe.ts";
import { findRecipe } from "../../sources/recipes/recipes.ts";
import type { ResolveTools } from "../../sources/resolvers/index.ts";
import { SourceError } from "../../sources/source_error.ts";
import { readTitle } from "../../sources/discovery/title_metadata.ts";
import { type WantedTitle, wantedTitleSchema } from "../../sources/discovery/title_match.ts";
import type { DiscoveryStore } from "./episode_store.ts";

export const FOUND_SECONDS = 30 * 86_400;
export const ABSENT_SECONDS = 6 * 3600;
const TITLE_SECONDS = 7 * 86_400;

export interface PageFinderOptions {
  readonly store: DiscoveryStore;
  /** URL of the metadata API; null: only titles that the operator has mapped are found. */
  readonly titleApiUrl: string | null;
  readonly onError: (event: "mapping:save:failed" | "title:cache:failed", error: unknown) => void;
}

export type PageFinder = (request: EpisodeRequest, tools: ResolveTools) => Promise<string | null>;

export function createPageFinder({ store, titleApiUrl, onError }: PageFinderOptions): PageFinder {
  const inFlight = new Map<number, Promise<WantedTitle>>();

  /** Single flight: providers that search for the same title share one request for its names. */
  function namesOf(malId: number, apiUrl: string, tools: ResolveTools): Promise<WantedTitle> {
    const known = inFlight.get(malId);
    if (known !== undefined) return known;
    const reading = readNames(malId, apiUrl, tools).finally(() => inFlight.delete(malId));
    inFlight.set(malId, reading);
    return reading;
  }

  async function readNames(malId: number, apiUrl: string, tools: ResolveTools): Promise<WantedTitle> {
    const key = `title/${malId}`;
    const kept = wantedTitleSchema.safeParse(await store.readMetadata(key).catch(() => null));
    if (kept.success) return kept.data;
    const title = await readTitle(malId, apiUrl, createPageClient(tools));
    await store.saveMetadata(key, title, TITLE_SECONDS).catch((error) => onError("title:cache:failed", error));
    return title;
  }

  return async (request, tools) => {
    const { malId, provider } = request;
    if (titleApiUrl === null || !findRecipe(provider.recipe)?.search) return null;
    // The same limits apply to the metadata API, but headers and limits of the provider's site do not.
    const { siteHeaders: _siteHeaders, requestsPerHost: _requestsPerHost, ...plain } = tools;
    const wanted = await namesOf(malId, titleApiUrl, { ...plain, requestsPerHost: 1 }).catch((error) => {
      if (error instanceof SourceError && error.reason === "no_mapping") return null;
      throw error; // a failure of the API is not cached as an absent title
    });
    const match = wanted === null ? null : await discoverPage(wanted, provider, createPageClient(tools));
    const mapping = match === null ? {} : { page: match.page, title: match.title, score: match.score };
    const ttl = match === null ? ABSENT_SECONDS : FOUND_SECONDS;
    await store.saveMapping({ malId, provider: provider.name }, mapping, ttl)
      .catch((error) => onError("mapping:save:failed", error));
    return match?.page ?? null;
  };
}
