/**
 * Words that readers stumble over, with what to write instead (docs/glossary.md). Run by `deno test dev/lint`.
 * A line that has to name one of them ends in `banned-words: allow`.
 */

/** Each pattern matches case-insensitively; the text says what to write instead. */
export const BANNED_WORDS: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\bwhoever\b/i, 'name the role: "the caller", "a viewer", "the holder of the link"'],
  [/\b(?:some|any|no)body\b/i, "name the role, or use the passive"],
  [/\b(?:is|are|was|were) told\b/i, '"is documented", "is reported", "receives"'],
  [/\blies there\b/i, '"is stored", "exists"'],
  [/\bin vain\b/i, '"without a result"; for a wait: "timed out"'],
  [/\bon what ground\b/i, '"archiving rights"'],
  [/\bleft alone\b/i, '"is not called", "is not changed"'],
  [/\b(?:look-up|time-out|hand-over|fall-over|fall-back)s?\b/i, "lookup, timeout, handover, failover, fallback"],
  [/\bimport circles?\b/i, "import cycle"],
  [/\bnudges?\b/i, "notification"],
  [/\bcourtesy\b/i, "best-effort step"],
  [/\bmanners\b/i, "common middleware"],
  [/\bshelf\b/i, "storage target"],
  [/\bfor ever\b/i, "forever"],
];

export interface BannedWord {
  readonly line: number;
  readonly word: string;
  readonly instead: string;
}

/** Every banned word in a text, in order. */
export function findBannedWords(text: string): readonly BannedWord[] {
  return text.split("\n").flatMap((line, index) => {
    if (line.includes("banned-words: allow")) return [];
    return BANNED_WORDS.flatMap(([pattern, instead]) => {
      const word = pattern.exec(line)?.[0];
      return word === undefined ? [] : [{ line: index + 1, word, instead }];
    });
  });
}
