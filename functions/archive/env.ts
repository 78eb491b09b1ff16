// The operator function's configuration. Runs on: Deno, edge runtime.
import {
  allowedOriginsSchema,
  envProblems,
  extraPortsSchema,
  forDevelopmentOnly,
  serviceKeys,
  supabaseEnvSchema,
} from "../_shared/supabase_env.ts";
import { z } from "zod";
import type { TargetPolicy } from "../../core/target_policy.ts";

export interface ArchiveEnv {
  readonly supabaseUrl: string;
  readonly serviceKeys: readonly [string, ...string[]];
  /** Where the catalogue's addresses may be: what the streaming function, the runner and the proxy are told, too. */
  readonly policy: TargetPolicy;
}

const schema = z.intersection(
  supabaseEnvSchema,
  z.object({ DEV_ALLOWED_ORIGINS: allowedOriginsSchema, EXTRA_PORTS: extraPortsSchema }),
)
  .refine(...forDevelopmentOnly);

/** @throws {Error} naming everything that is missing. */
export function parseArchiveEnv(env: Readonly<Record<string, string>>): ArchiveEnv {
  const parsed = schema.safeParse(env);
  if (!parsed.success) throw new Error(envProblems(parsed.error.issues));
  const { SUPABASE_URL: supabaseUrl, DEV_ALLOWED_ORIGINS: allowedOrigins, EXTRA_PORTS: extraPorts } = parsed.data;
  return { supabaseUrl, serviceKeys: serviceKeys(parsed.data), policy: { allowedOrigins, extraPorts } };
}
