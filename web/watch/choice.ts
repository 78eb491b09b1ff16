/**
 * What a viewer has chosen, to choose the same in another stream of the episode. Pure.
 * Example: `matching([{ lang: "ja" }, { lang: "en" }], { language: "eng", label: "" })` → 1
 */

export interface Track {
  readonly language: string | null;
  readonly label: string;
}

export interface Choice {
  readonly audio: Track | null;
  /** null: off. */
  readonly subtitles: Track | null;
  /** Of the video; null: unknown. */
  readonly height: number | null;
  /** The player chooses the quality by bandwidth, and starts with the height. */
  readonly isAutomatic: boolean;
}

/** The track with the same language and label, else of the same language, else with the same label; -1 for none. */
export function matching(tracks: readonly Track[], wanted: Track | null): number {
  if (wanted === null) return -1;
  const language = (track: Track) => canonical(track.language);
  const same = tracks.findIndex((one) => language(one) === language(wanted) && one.label === wanted.label);
  if (same !== -1) return same;
  const spoken = wanted.language === null ? -1 : tracks.findIndex((one) => language(one) === language(wanted));
  return spoken !== -1 ? spoken : tracks.findIndex((one) => one.label === wanted.label);
}

/** The level with the nearest height, preferring the smaller one; -1 without heights. */
export function nearestLevel(heights: readonly number[], wanted: number | null): number {
  if (wanted === null || heights.length === 0) return -1;
  const distance = (height: number) => Math.abs(height - wanted) + (height > wanted ? 0.5 : 0);
  return heights.reduce((best, height, index) => distance(height) < distance(heights[best]!) ? index : best, 0);
}

/** Sources write `jpn` or `ja-JP`, archives `ja`. */
function canonical(language: string | null): string | null {
  if (language === null || language === "") return null;
  try {
    return new Intl.Locale(language).language;
  } catch {
    return language;
  }
}
