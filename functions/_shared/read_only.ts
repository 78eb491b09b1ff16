// Recognises errors of a database that can be read but not written now. Example: readOnlyReason(error) → "read-only: the database accepts no writes (25006)".
// Runs on: Deno, edge runtime.
import type { RpcError } from "../../core/rpc_error.ts";

const REASONS: Readonly<Record<string, string>> = {
  "25006": "the database accepts no writes", // Supabase's read-only mode: the disk is full
  "57014": "the database took too long", // statement_timeout
  "55P03": "a table of the database is locked", // lock_timeout
  "53100": "the database's disk is full",
  "40P01": "a deadlock in the database",
  "40001": "a serialization failure in the database",
};

/** Null for any other SQLSTATE. */
export function readOnlyReason({ code }: RpcError): string | null {
  const reason = REASONS[code ?? ""];
  return reason === undefined ? null : `read-only: ${reason} (${code})`;
}
