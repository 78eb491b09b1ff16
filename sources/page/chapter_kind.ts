// What a chapter is for players that can skip it, by its title. Example: chapterKind("Opening 2") → "intro".
// Runs on: Deno, edge runtime.

/** Whole titles, with a number: "The Recap Room" is none. */
const TITLES: readonly (readonly [pattern: RegExp, kind: string])[] = [
  [/^(?:intro(?:duction)?|opening(?: (?:credits|theme|sequence|song))?|op|title sequence)$/, "intro"],
  [/^(?:outro|ending(?: (?:credits|theme|sequence|song))?|ed|(?:end |closing )?credits)$/, "outro"],
  [/^(?:recap|previously(?: on)?|the story so far)$/, "recap"],
  [/^(?:(?:next )?(?:episode )?preview|next episode|next time)$/, "preview"],
];

/** null: part of the story, or unknown. */
export function chapterKind(title: string): string | null {
  if (title.length > 40) return null;
  const plain = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim().replace(/ ?\d{1,2}$/, "");
  return TITLES.find(([pattern]) => pattern.test(plain))?.[1] ?? null;
}
