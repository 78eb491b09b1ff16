// The operator function's configuration. Runs on: Deno, edge runtime.
import { envProblems, serviceKeys, supabaseEnvSchema } from "../_shared/supabase_env.ts";

export interface ArchiveEnv {
  readonly supabaseUrl: string;
  readonly serviceKeys: readonly [string, ...string[]];
}

/** @throws {Error} naming everything that is missing. */
export function parseArchiveEnv(env: Readonly<Record<string, string>>): ArchiveEnv {
  const parsed = supabaseEnvSchema.safeParse(env);
  if (!parsed.success) throw new Error(envProblems(parsed.error.issues));
  return { supabaseUrl: parsed.data.SUPABASE_URL, serviceKeys: serviceKeys(parsed.data) };
}
