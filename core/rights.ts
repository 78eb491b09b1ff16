// Archiving rights are declared by text with visible characters. `keepstream.declared_rights` enforces the same rule in SQL.
// Example: declaredRights("\u200b own work\n") → "own work"; declaredRights("\u00a0\u3164") → null.

/**
 * White space, controls and characters without a glyph: format characters, fillers, variation selectors, blanks of scripts (Braille,
 * hieroglyphs, Khitan, music), the object replacement character, noncharacters.
 */
const INVISIBLE =
  "[\\p{White_Space}\\p{Cc}\\p{Cf}\\p{Default_Ignorable_Code_Point}\\p{Noncharacter_Code_Point}\\u2800\\ufffc\\u{13441}\\u{13442}\\u{16fe4}\\u{1d159}]+";
const ENDS = new RegExp(`^${INVISIBLE}|${INVISIBLE}$`, "gu");

/** The text without leading and trailing invisible characters; null if nothing is left. */
export function declaredRights(text: string | null | undefined): string | null {
  return text?.replace(ENDS, "") || null;
}
