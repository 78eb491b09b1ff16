// The recipes an operator's provider entry may name. Runs on: Deno, edge runtime.
import { catalogueRecipe } from "./catalogue.ts";
import type { Recipe } from "./recipe.ts";

const RECIPES: readonly Recipe[] = [catalogueRecipe];

export const RECIPE_NAMES: readonly string[] = RECIPES.map((recipe) => recipe.name);

export function findRecipe(name: string): Recipe | null {
  return RECIPES.find((recipe) => recipe.name === name) ?? null;
}
