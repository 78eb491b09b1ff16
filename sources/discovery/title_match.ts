// Which of a provider's search hits is the title that is meant; better none than a wrong one.
// Example: matchTitle({ titles: ["Some Title"], year: 2021 }, hits) → { page, title, score }. Runs on: Deno, edge runtime.
import { z } from "zod";
import type { SearchHit } from "../recipes/recipe.ts";
import { type TitleIdentity, titleIdentity } from "./title_identity.ts";

export const MIN_SCORE = 0.85;
const WORD_LIKENESS = 0.75;
/** A word more or less is another title ("Some Title" and "Some Title Zero"), unless it is one of these. */
const LIGHT_WORDS = new Set(["the", "a", "an", "no", "wo", "o", "to", "wa", "ga", "ni", "and", "of", "de"]);

export const wantedTitleSchema = z.object({
  /** Every name the title goes by. */
  titles: z.array(z.string()).readonly(),
  year: z.number().nullable(),
});

export type WantedTitle = Readonly<z.infer<typeof wantedTitleSchema>>;

export interface TitleMatch {
  readonly page: string;
  readonly title: string;
  readonly score: number;
}

/** The best hit of at least 0.85, or null: also when two pages fit equally well and nothing tells them apart. */
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

/** 0 where season or part differ; else how alike the words are, 1 being equal. */
export function likeness(a: TitleIdentity, b: TitleIdentity): number {
  if (a.season !== b.season || a.part !== b.part) return 0;
  if (a.words.length === 0 || b.words.length === 0) return 0;
  const letters = ratio(a.words.join(""), b.words.join(""));
  return hasOwnWord(a.words, b.words) || hasOwnWord(b.words, a.words) ? Math.min(letters, MIN_SCORE - 0.01) : letters;
}

/** Whether one has a word that is none of the other's, however it is spelled or joined. */
function hasOwnWord(words: readonly string[], others: readonly string[]): boolean {
  const joined = others.join("");
  return words.some((word) =>
    !LIGHT_WORDS.has(word) && !joined.includes(word) && !others.some((other) => ratio(word, other) >= WORD_LIKENESS)
  ) || numbersOf(words) !== numbersOf(others);
}

/** Numbers are never spelling variants of each other. */
function numbersOf(words: readonly string[]): string {
  return words.filter((word) => /^\d+$/.test(word)).sort().join(" ");
}

/** 1 − edit distance / longer length. */
function ratio(a: string, b: string): number {
  if (a === b) return 1;
  const [first, second] = [[...a].slice(0, 200), [...b].slice(0, 200)];
  let previous = second.map((_, index) => index + 1);
  for (const [row, left] of first.entries()) {
    const current: number[] = [];
    for (const [column, right] of second.entries()) {
      const above = previous[column]!;
      const before = current[column - 1] ?? row + 1;
      const diagonal = column === 0 ? row : previous[column - 1]!;
      current.push(Math.min(above + 1, before + 1, diagonal + (left === right ? 0 : 1)));
    }
    previous = current;
  }
  return 1 - (previous.at(-1) ?? first.length) / Math.max(first.length, second.length, 1);
}
