// What a provider is asked for, out of what the database knows of an episode. Runs on: Deno, edge runtime.
import type { EpisodeRequest } from "../../sources/recipes/recipe.ts";
import type { Episode, EpisodeKey, EpisodeProvider } from "./episode_store.ts";

export function episodeRequest(key: EpisodeKey, provider: EpisodeProvider, known: Episode): EpisodeRequest {
  const mapping = known.mappings[provider.name];
  const page = typeof mapping?.page === "string" ? mapping.page : null;
  return { ...key, provider, page, absent: mapping !== undefined && page === null, catalogue: known.catalogue };
}
