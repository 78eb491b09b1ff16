// The recipes an operator's provider entry may name. Runs on: Deno, edge runtime.
import { adminAjaxRecipe } from "./admin_ajax.ts";
import { adminAjaxNonceRecipe } from "./admin_ajax_nonce.ts";
import { catalogueRecipe } from "./catalogue.ts";
import { internetArchiveRecipe } from "./internet_archive.ts";
import { peertubeRecipe } from "./peertube.ts";
import type { Recipe } from "./recipe.ts";
import { selectBase64Recipe } from "./select_base64.ts";

const RECIPES: readonly Recipe[] = [
  catalogueRecipe,
  selectBase64Recipe,
  adminAjaxRecipe,
  adminAjaxNonceRecipe,
  internetArchiveRecipe,
  peertubeRecipe,
];

export const RECIPE_NAMES: readonly string[] = RECIPES.map((recipe) => recipe.name);

export function findRecipe(name: string): Recipe | null {
  return RECIPES.find((recipe) => recipe.name === name) ?? null;
}
