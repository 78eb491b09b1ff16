// Builds the request to a provider from what the database has about an episode. Runs on: Deno, edge runtime.
import type { EpisodeRequest } from "../../sources/recipes/recipe.ts";
import type { EpisodeKey, EpisodeProvider, EpisodeRecord } from "./episode_store.ts";

export function episodeRequest(key: EpisodeKey, provider: EpisodeProvider, record: EpisodeRecord): EpisodeRequest {
  const mapping = record.mappings[provider.name];
  const page = typeof mapping?.page === "string" ? mapping.page : null;
  return { ...key, provider, page, absent: mapping !== undefined && page === null, catalogue: record.catalogue };
}
