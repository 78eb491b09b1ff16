// Splits a title into words, season, part and year, so that the last three are compared as numbers: by letters alone,
// "… Season 6" and "… Season 7" are 96 % alike. Runs on: Deno, edge runtime.
// Example: titleIdentity("Some Title 2nd Season Part 2 (2021)") → { words: ["some", "title"], season: 2, part: 2, year: 2021 }.

export interface TitleIdentity {
  readonly words: readonly string[];
  /** @default 1 */
  readonly season: number;
  /** @default 1 */
  readonly part: number;
  readonly year: number | null;
}

const ROMAN: Readonly<Record<string, number>> = { ii: 2, iii: 3, iv: 4, vi: 6, vii: 7, viii: 8, ix: 9 };
const ORDINAL: Readonly<Record<string, number>> = { first: 1, second: 2, third: 3, fourth: 4, fifth: 5, sixth: 6 };
const ORDINAL_WORDS = Object.keys(ORDINAL).join("|");

/** Words that sites add to a title. */
const DECORATION =
  /\b(?:sub(?:title)?s?\s+(?:indo(?:nesia)?|english)|subbed|dub(?:bed)?|batch|bd|blu-?ray|tv|complete|nonton|anime|streaming|uncensored)\b/g;

/** Bounds the lookbehinds below, which are quadratic in the number of spaces. */
const MAX_TITLE = 300;

export function titleIdentity(title: string): TitleIdentity {
  let rest = title.slice(0, MAX_TITLE).normalize("NFKC").toLowerCase().replace(/[\u2018\u2019\u02bc`']/g, "");
  const take = (pattern: RegExp): RegExpExecArray | null => {
    const match = pattern.exec(rest);
    if (match !== null) rest = rest.slice(0, match.index) + " " + rest.slice(match.index + match[0].length);
    return match;
  };
  rest = rest.replace(DECORATION, " ");
  const year = Number(take(/[[(]\s*((?:19|20)\d\d)\s*[\])]/)?.[1] ?? take(/(?<=\S\s+)((?:19|20)\d\d)\s*$/)?.[1] ?? NaN);
  const part = numberOf(
    take(new RegExp(String.raw`\b(?:part|cour)\s*(\d{1,2}|${romans()})\b`)) ??
      take(/\b(\d{1,2})(?:st|nd|rd|th)\s+(?:part|cour)\b/),
  );
  const season = numberOf(
    take(new RegExp(String.raw`\bseason\s*(\d{1,2}|${romans()})\b`)) ??
      take(/\b(\d{1,2})(?:st|nd|rd|th)\s+season\b/) ??
      take(new RegExp(String.raw`\b(${ORDINAL_WORDS})\s+season\b`)) ??
      take(/(?<=\S\s+)s(\d{1,2})(?=\s|$)/) ??
      // "Title 2" and "Title II" name a season where they end the title; "Title 100" does not.
      take(new RegExp(String.raw`(?<=\S\s+)(${romans()})\s*$`)) ?? take(/(?<=[^\s\d]\s+)([2-9])\s*$/),
  );
  const words = rest.replace(/[^\p{L}\p{N}]+/gu, " ").trim().split(" ").filter((word) => word !== "");
  return { words, season: season ?? 1, part: part ?? 1, year: Number.isNaN(year) ? null : year };
}

function numberOf(match: RegExpExecArray | null): number | null {
  const text = match?.[1];
  if (text === undefined) return null;
  return ROMAN[text] ?? ORDINAL[text] ?? Number(text);
}

function romans(): string {
  return Object.keys(ROMAN).sort((a, b) => b.length - a.length).join("|");
}
