// Parses a site's label of an episode; an unknown label is kept as text.
// Example: "Episode 12 [END]" → 12 to 12; "115 – 120" → 115 to 120; "OVA" → special. Runs on: Deno, edge runtime.

export type EpisodeLabel =
  | { readonly kind: "episodes"; readonly from: number; readonly to: number }
  | { readonly kind: "special"; readonly name: "movie" | "ova" | "ona" | "special" }
  | { readonly kind: "unknown"; readonly text: string };

const NUMBER = String.raw`(\d{1,5}(?:\.\d{1,2})?)`;
const RANGE = String.raw`${NUMBER}(?:\s*[-–—~]\s*${NUMBER})?`;
/** After the word `episode`, anywhere in the label: the title itself may end in a number. */
const NAMED = new RegExp(String.raw`(?:episodes?|eps?|ep\.)[\s.:#_-]*${RANGE}(?!\d)`, "i");
const BARE = new RegExp(String.raw`^#?${RANGE}$`);

const MAX_LABEL = 500;

export function parseEpisodeLabel(label: string): EpisodeLabel {
  const text = label.slice(0, MAX_LABEL).replace(/[[(]\s*(?:end|tamat|final|batch|v\d)\s*[\])]/gi, " ").replace(
    /\s+/g,
    " ",
  ).trim();
  const match = NAMED.exec(text) ?? BARE.exec(text.replace(/\s*\bend\b\.?$/i, ""));
  if (match !== null) {
    const from = Number(match[1]);
    return { kind: "episodes", from, to: Math.max(from, Number(match[2] ?? from)) };
  }
  const special = /\b(movie|ova|ona|special)\b/i.exec(text)?.[1]?.toLowerCase();
  if (special === "movie" || special === "ova" || special === "ona" || special === "special") {
    return { kind: "special", name: special };
  }
  return { kind: "unknown", text };
}

export interface LabelledPage {
  readonly label: EpisodeLabel;
  readonly page: string;
}

/** The page of an episode: its own, otherwise the range that contains it, otherwise the only page of a title without numbers. */
export function findEpisodePage(list: readonly LabelledPage[], episode: number): string | null {
  const numbered = list.flatMap(({ label, page }) => label.kind === "episodes" ? [{ ...label, page }] : []);
  const own = numbered.find(({ from, to }) => from === episode && to === episode);
  const range = numbered.find(({ from, to }) => from <= episode && episode <= to);
  if (own ?? range) return (own ?? range)!.page;
  const pages = new Set(list.map(({ page }) => page));
  return episode === 1 && numbered.length === 0 && pages.size === 1 ? list[0]!.page : null;
}
