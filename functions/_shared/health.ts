// Health checks of the functions, cached for a few seconds. Runs on: Deno, edge runtime.
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../core/database.types.ts";

const KEEP_MS = 5_000;
const TIMEOUT_MS = 3_000;

/** Null if healthy, otherwise what is wrong and what to do. Never rejects. */
export type HealthCheck = () => Promise<string | null>;

export function cachedHealth(check: HealthCheck, now: () => number): HealthCheck {
  let last: { readonly at: number; readonly result: Promise<string | null> } | null = null;
  return () => {
    if (last === null || now() - last.at > KEEP_MS) last = { at: now(), result: check() };
    return last.result;
  };
}

/** Checks that the database accepts this key and has keepstream's functions. */
export async function checkDatabase(supabase: SupabaseClient<Database>): Promise<string | null> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { error, status } = await supabase.rpc("read_metadata", { key: "health" }).abortSignal(signal);
  if (error === null) return null;
  if (status === 401 || status === 403) {
    return `the database refuses this function's key (${status}): set SUPABASE_SECRET_KEYS to a secret key of the project`;
  }
  if (status === 404) return "the database lacks keepstream's functions: apply the migrations";
  return "the database does not answer: check SUPABASE_URL and the project's state";
}
