// What counts as declared rights: text that somebody can see. `keepstream.declared_rights` is the same rule in SQL, and decides.
// Example: declaredRights("\u200b own work\n") → "own work"; declaredRights("\u00a0\u3164") → null.
// Runs on: Deno, edge runtime.

/** White space, controls, and what is drawn as nothing: format characters, fillers, variation selectors, Braille's blank. */
const INVISIBLE = "[\\p{White_Space}\\p{Cc}\\p{Cf}\\p{Default_Ignorable_Code_Point}\\u2800]+";
const ENDS = new RegExp(`^${INVISIBLE}|${INVISIBLE}$`, "gu");

/** The text without invisible ends; null when nothing is left. */
export function declaredRights(text: string | null | undefined): string | null {
  return text?.replace(ENDS, "") || null;
}
