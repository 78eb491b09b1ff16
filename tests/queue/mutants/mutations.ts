/**
 * Mutants of a SQL function, one small change each: a boundary, a condition, a lock, a missing
 * statement. Strings and comments stay, except for strings that are states.
 *
 * @example mutantsOf("… if a <= b then …") // [{ change: "<= → <", line: 1, column: 6, sql: "… a < b …" }]
 */
export interface Mutant {
  /** The change, "before → after". */
  readonly change: string;
  /** Line in the function's definition. */
  readonly line: number;
  readonly column: number;
  readonly source: string;
  readonly sql: string;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

const SWAPS: readonly (readonly [RegExp, string])[] = [
  [/<=(?!>)/g, "<"],
  [/(?<![<>=-])<(?![=>])/g, "<="],
  [/(?<![-=<])>=/g, ">"],
  [/(?<![-=<>])>(?![=>])/g, ">="],
  [/(?<![:<>!=])=(?![=>])/g, "<>"],
  [/<>/g, "="],
  [/\band\b/g, "or"],
  [/\bor\b(?! replace)/g, "and"],
  [/\bnot exists\b/g, "exists"],
  [/(?<!not )\bexists\b(?= \()/g, "not exists"],
  [/\bis not null\b/g, "is null"],
  [/\bis null\b/g, "is not null"],
  [/\bis distinct from\b/g, "is not distinct from"],
  [/\bis not distinct from\b/g, "is distinct from"],
  [/\bif not found\b/g, "if found"],
  [/\bif found\b/g, "if not found"],
  [/\bnot in \(/g, "in ("],
  [/(?<!not )\bin \((?!select)/g, "not in ("],
  [/ \+ /g, " - "],
  [/ - (?!interval '0')/g, " + "],
  [/\bgreatest\(/g, "least("],
  [/\bleast\(/g, "greatest("],
  [/\bmax\(/g, "min("],
  [/ desc\b/g, ""],
  [/ for update skip locked/g, ""],
  [/ skip locked/g, ""],
  [/\n\s*for update skip locked/g, ""],
  [/ for (no key )?update(?=;)/g, ""],
  [/\n\s*for update(?=;)/g, ""],
  [/(?<![\w.$'])(\d+)(?![\w.'])/g, "+1"],
];

const STATES: Readonly<Record<string, string>> = {
  pending: "failed",
  downloading: "uploading",
  uploading: "downloading",
  ready: "pending",
  failed: "pending",
  live: "dead",
  expired: "dead",
  dead: "live",
  verified: "failed",
  missing: "verified",
  cancelled: "unknown",
  lease_expired: "cancelled",
  unknown: "network",
};

const STATEMENTS = /^[ \t]*(perform|insert into|update|delete from|raise exception|new\.\w+ :=|\w+ :=|return;)[^;]*;/gm;
// Not in a raise: texts are for people, and a missing errcode is a useless mutant.
const ASSIGNMENTS = /(?<=\bset |, |,\n\s+)(?!message|hint|errcode)(\w+) = (?:[^,()\n]|\([^()]*\))+,\s*/g;

export function mutantsOf(definition: string): Mutant[] {
  const body = bodyOf(definition);
  const quoted = quotedSpans(definition);
  const inCode = (start: number, end: number) =>
    start >= body.start && end <= body.end && !quoted.some((span) => start < span.end && end > span.start);
  const mutants: Mutant[] = [];
  const add = (span: Span, replacement: string, change: string) => {
    const sql = definition.slice(0, span.start) + replacement + definition.slice(span.end);
    const before = definition.slice(0, span.start).split("\n");
    const line = before.length;
    const column = before.at(-1)!.length + 1;
    mutants.push({ change, line, column, source: definition.split("\n")[line - 1]!.trim(), sql });
  };

  for (const [pattern, replacement] of SWAPS) {
    for (const match of definition.matchAll(pattern)) {
      const span = { start: match.index, end: match.index + match[0].length };
      if (!inCode(span.start, span.end)) continue;
      const after = replacement === "+1" ? String(Number(match[0]) + 1) : replacement;
      add(span, after, `${match[0].trim()} → ${after.trim() || "nothing"}`);
    }
  }
  for (const span of quoted) {
    const text = definition.slice(span.start + 1, span.end - 1);
    const other = STATES[text];
    if (other !== undefined && span.start >= body.start) add(span, `'${other}'`, `'${text}' → '${other}'`);
  }
  for (const match of definition.matchAll(STATEMENTS)) {
    if (match.index < body.start || match.index > body.end) continue;
    if (quoted.some((span) => match.index >= span.start && match.index < span.end)) continue;
    const indent = match[0].length - match[0].trimStart().length;
    const end = statementEnd(definition, match.index, quoted);
    add(
      { start: match.index + indent, end },
      "null;",
      `without: ${definition.slice(match.index, end).trim().replaceAll(/\s+/g, " ").slice(0, 60)}`,
    );
  }
  for (const match of definition.matchAll(ASSIGNMENTS)) {
    const span = { start: match.index, end: match.index + match[0].length };
    if (span.start >= body.start && span.end <= body.end) add(span, "", `without: ${match[0].trim().slice(0, 60)}`);
  }
  return unique(mutants);
}

/** The text between the dollar quotes. */
function bodyOf(definition: string): Span {
  const start = definition.indexOf("$function$") + "$function$".length;
  return { start, end: definition.lastIndexOf("$function$") };
}

function quotedSpans(definition: string): Span[] {
  const spans: Span[] = [];
  for (const match of definition.matchAll(/'(?:[^']|'')*'|--[^\n]*/g)) {
    spans.push({ start: match.index, end: match.index + match[0].length });
  }
  return spans;
}

function statementEnd(definition: string, from: number, quoted: readonly Span[]): number {
  for (let at = from; at < definition.length; at++) {
    if (definition[at] === ";" && !quoted.some((span) => at >= span.start && at < span.end)) return at + 1;
  }
  return definition.length;
}

function unique(mutants: readonly Mutant[]): Mutant[] {
  return [...new Map(mutants.map((mutant) => [mutant.sql, mutant])).values()];
}
