// The database answers, but accepts no writes now. Example: readOnlyReason("25006") → "read-only: the database accepts no writes (25006)".
// Runs on: Deno, edge runtime.

const REASONS: Readonly<Record<string, string>> = {
  "25006": "the database accepts no writes", // Supabase's read-only mode: the disk is full
  "57014": "the database took too long", // statement_timeout
  "55P03": "a table of the database is locked", // lock_timeout
  "53100": "the database's disk is full",
  "40P01": "two transactions of the database waited for each other",
  "40001": "two transactions of the database were at odds",
};

/** Null where the SQLSTATE says something else. */
export function readOnlyReason(code: string): string | null {
  const reason = REASONS[code];
  return reason === undefined ? null : `read-only: ${reason} (${code})`;
}
