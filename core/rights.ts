// What counts as declared rights: text with visible characters. `keepstream.declared_rights` is the same rule in SQL, and decides.
// Example: declaredRights("\u200b own work\n") → "own work"; declaredRights("\u00a0\u3164") → null.
// Runs on: Deno, edge runtime.

/**
 * White space, controls, and what is drawn as nothing: format characters, fillers, variation selectors, blanks of scripts (Braille,
 * hieroglyphs, Khitan, music), the place of an object, noncharacters.
 */
const INVISIBLE =
  "[\\p{White_Space}\\p{Cc}\\p{Cf}\\p{Default_Ignorable_Code_Point}\\p{Noncharacter_Code_Point}\\u2800\\ufffc\\u{13441}\\u{13442}\\u{16fe4}\\u{1d159}]+";
const ENDS = new RegExp(`^${INVISIBLE}|${INVISIBLE}$`, "gu");

/** The text without invisible ends; null when nothing is left. */
export function declaredRights(text: string | null | undefined): string | null {
  return text?.replace(ENDS, "") || null;
}
