// Detects values that must be replaced before use, such as those of .env.example: https://<ref>.supabase.co, sb_secret_…
// Example: placeholderIn("whsec_<base64>") → "<base64>"

const PLACEHOLDERS: readonly RegExp[] = [
  /<[^<>]*>/, // <ref>
  /…|\.\.\./, // sb_secret_…
  /\$\{[^}]*\}|\{\{[^}]*\}\}|\benv\([A-Z0-9_]*\)/, // an unexpanded template or variable
  /(?<![a-z0-9])(change|replace|insert|fill|put)[-_ ]?(me|this|it|here|in)(?![a-z0-9])/i,
  /(?<![a-z0-9])your[-_ ][a-z][a-z_ -]*(?![a-z0-9])/i, // your-project, your_key
  /(?<![a-z0-9])x{3,}(?![a-z0-9])/i, // hf_xxxx
  /^(todo|tbd|fixme|none|null|undefined|secret|password|token|placeholder|example|dummy|\*+|-+|\?+|\.)$/i,
  /(?<![a-z0-9-])example\.(com|net|org)(?![a-z0-9-])|\.example(?![a-z0-9-])/i, // RFC 2606
];

/** The part of the value that is a placeholder, or null. Does not return the rest, which may be secret. */
export function placeholderIn(value: string): string | null {
  for (const pattern of PLACEHOLDERS) {
    const found = pattern.exec(value);
    if (found !== null) return found[0];
  }
  return null;
}

/** One line for each name whose value contains a placeholder. */
export function placeholderProblems(
  env: Readonly<Record<string, unknown>>,
  names: Iterable<string>,
): readonly string[] {
  const problems: string[] = [];
  for (const name of names) {
    const value = env[name];
    const placeholder = typeof value === "string" ? placeholderIn(value) : null;
    if (placeholder !== null) problems.push(`${name}: still contains the placeholder ${placeholder}`);
  }
  return problems;
}
