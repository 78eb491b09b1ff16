// Finds a title's page at a provider: takes its names from the metadata API, uses the provider's search, and accepts the best hit if
// it is unambiguous. Runs on: Deno, edge runtime.
import type { PageClient } from "../fetch/page_client.ts";
import type { ProviderEntry, SearchHit } from "../recipes/recipe.ts";
import { findRecipe } from "../recipes/recipes.ts";
import { SourceError } from "../source_error.ts";
import { titleIdentity } from "./title_identity.ts";
import { matchTitle, type TitleMatch, type WantedTitle } from "./title_match.ts";

/** Searches per title and provider; each is one request. */
export const MAX_QUERIES = 3;

/** The title's page; null if the provider does not have it. @throws {SourceError} if every search fails */
export async function discoverPage(
  wanted: WantedTitle,
  provider: ProviderEntry,
  pages: PageClient,
): Promise<TitleMatch | null> {
  const recipe = findRecipe(provider.recipe);
  if (!recipe?.search) {
    throw new SourceError("no_mapping", `the recipe ${provider.recipe} cannot search: map the title`);
  }
  const seen = new Map<string, SearchHit>();
  let failure: unknown = null;
  let hasResponse = false;
  for (const query of searchQueries(wanted)) {
    try {
      for (const hit of await recipe.search(provider, query, pages)) seen.set(hit.page, hit);
      hasResponse = true;
    } catch (error) {
      failure = error; // reported if no other name succeeds
      if (error instanceof SourceError && error.reason !== "http_4xx") break;
    }
    const match = matchTitle(wanted, [...seen.values()]);
    if (match !== null) return match;
  }
  if (!hasResponse && failure !== null) throw failure;
  return null;
}

/** Names in Latin letters first, as sites list them. Without seasons, which searches rarely support; the comparison handles them. */
function searchQueries(wanted: WantedTitle): readonly string[] {
  const names = wanted.titles.map((title) => titleIdentity(title).words.join(" ")).filter((name) => name !== "");
  const latin = names.filter((name) => /^[\p{Script=Latin}\p{N} ]+$/u.test(name));
  const others = names.filter((name) => !latin.includes(name));
  return [...new Set([...latin, ...others])].slice(0, MAX_QUERIES);
}
