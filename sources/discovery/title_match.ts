// Selects the search hit for a title; none rather than a wrong one.
// Example: matchTitle({ titles: ["Some Title"], year: 2021 }, hits) → { page, title, score }. Runs on: Deno, edge runtime.
import { z } from "zod";
import { similarity } from "../../core/similarity.ts";
import type { SearchHit } from "../recipes/recipe.ts";
import { type TitleIdentity, titleIdentity } from "./title_identity.ts";

export const MIN_SCORE = 0.85;
const WORD_LIKENESS = 0.75;
/** Any other additional word makes another title ("Some Title" and "Some Title Zero"). */
const LIGHT_WORDS = new Set(["the", "a", "an", "no", "wo", "o", "to", "wa", "ga", "ni", "and", "of", "de"]);

export const wantedTitleSchema = z.object({
  /** All names of the title. */
  titles: z.array(z.string()).readonly(),
  year: z.number().nullable(),
});

export type WantedTitle = Readonly<z.infer<typeof wantedTitleSchema>>;

export interface TitleMatch {
  readonly page: string;
  readonly title: string;
  readonly score: number;
}

/** The best hit of at least 0.85; null if there is none, or if two pages match equally well. */
export function matchTitle(wanted: WantedTitle, hits: readonly SearchHit[]): TitleMatch | null {
  const identities = wanted.titles.map(titleIdentity);
  const year = wanted.year ?? identities.find((identity) => identity.year !== null)?.year ?? null;
  const rated = hits.map((hit) => {
    const identity = titleIdentity(hit.title);
    const score = Math.max(0, ...identities.map((one) => likeness(one, identity)));
    const sameYear = identity.year !== null && identity.year === year;
    const otherYear = identity.year !== null && year !== null && identity.year !== year;
    return { page: hit.page, title: hit.title, score: otherYear ? 0 : score, sameYear };
  });
  const good = rated.filter(({ score }) => score >= MIN_SCORE)
    .sort((a, b) => b.score - a.score || Number(b.sameYear) - Number(a.sameYear));
  const [best, next] = good;
  if (best === undefined) return null;
  const tie = next !== undefined && next.page !== best.page && next.score === best.score &&
    next.sameYear === best.sameYear;
  return tie ? null : { page: best.page, title: best.title, score: Math.round(best.score * 1000) / 1000 };
}

/** 0 if season or part differ, otherwise the similarity of the words. */
export function likeness(a: TitleIdentity, b: TitleIdentity): number {
  if (a.season !== b.season || a.part !== b.part) return 0;
  if (a.words.length === 0 || b.words.length === 0) return 0;
  const letters = similarity(a.words.join(""), b.words.join(""));
  return hasOwnWord(a.words, b.words) || hasOwnWord(b.words, a.words) ? Math.min(letters, MIN_SCORE - 0.01) : letters;
}

/** Whether one has a word that the other lacks in every spelling and joined form. */
function hasOwnWord(words: readonly string[], others: readonly string[]): boolean {
  const joined = others.join("");
  return words.some((word) =>
    !LIGHT_WORDS.has(word) && !joined.includes(word) &&
    !others.some((other) => similarity(word, other) >= WORD_LIKENESS)
  ) || numbersOf(words) !== numbersOf(others);
}

/** Numbers are never spelling variants of each other. */
function numbersOf(words: readonly string[]): string {
  return words.filter((word) => /^\d+$/.test(word)).sort().join(" ");
}
