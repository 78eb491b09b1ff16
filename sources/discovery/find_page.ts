// From a title's number to its page at a provider, where the operator has not mapped it: the title's names from the metadata
// API, the provider's own search, and the best hit that is certainly meant. Runs on: Deno, edge runtime.
import type { PageClient } from "../fetch/page_client.ts";
import type { ProviderEntry, SearchHit } from "../recipes/recipe.ts";
import { findRecipe } from "../recipes/recipes.ts";
import { SourceError } from "../source_error.ts";
import { titleIdentity } from "./title_identity.ts";
import { matchTitle, type TitleMatch, type WantedTitle } from "./title_match.ts";

/** Searches per title and provider; each is one request. */
export const MAX_QUERIES = 3;

/** The title's page, or null when the provider does not have it. @throws {SourceError} when its search fails every time */
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
  let answered = false;
  for (const query of searchQueries(wanted)) {
    try {
      for (const hit of await recipe.search(provider, query, pages)) seen.set(hit.page, hit);
      answered = true;
    } catch (error) {
      failure = error; // the next name may be found; if none is, this is the reason
      if (error instanceof SourceError && error.reason !== "http_4xx") break;
    }
    const match = matchTitle(wanted, [...seen.values()]);
    if (match !== null) return match;
  }
  if (!answered && failure !== null) throw failure;
  return null;
}

/** Names in Latin letters first, as sites list them; seasons are left to the comparison, since searches rarely know them. */
function searchQueries(wanted: WantedTitle): readonly string[] {
  const names = wanted.titles.map((title) => titleIdentity(title).words.join(" ")).filter((name) => name !== "");
  const latin = names.filter((name) => /^[\p{Script=Latin}\p{N} ]+$/u.test(name));
  const others = names.filter((name) => !latin.includes(name));
  return [...new Set([...latin, ...others])].slice(0, MAX_QUERIES);
}
