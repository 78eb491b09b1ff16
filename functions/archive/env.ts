// The operator function's configuration. Runs on: Deno, edge runtime.
import {
  allowedOriginsSchema,
  extraPortsSchema,
  forDevelopmentOnly,
  parseFunctionEnv,
  serviceKeys,
  SUPABASE_NAMES,
  supabaseEnvSchema,
} from "../_shared/supabase_env.ts";
import { z } from "zod";
import type { UrlPolicy } from "../../core/url_policy.ts";

export interface ArchiveEnv {
  readonly supabaseUrl: string;
  readonly serviceKeys: readonly [string, ...string[]];
  /** Which catalogue URLs are accepted; the same as in the streaming function, the runner and the proxy. */
  readonly policy: UrlPolicy;
}

const variables = z.object({ DEV_ALLOWED_ORIGINS: allowedOriginsSchema, EXTRA_PORTS: extraPortsSchema });

/** Every variable that the function reads. */
export const ARCHIVE_NAMES: readonly string[] = [...SUPABASE_NAMES, ...Object.keys(variables.shape)];

const schema = z.intersection(supabaseEnvSchema, variables).refine(...forDevelopmentOnly);

/** @throws {Error} that lists every missing or invalid variable. */
export function parseArchiveEnv(env: Readonly<Record<string, string>>): ArchiveEnv {
  const parsed = parseFunctionEnv(schema, env, ARCHIVE_NAMES);
  const { SUPABASE_URL: supabaseUrl, DEV_ALLOWED_ORIGINS: allowedOrigins, EXTRA_PORTS: extraPorts } = parsed;
  return { supabaseUrl, serviceKeys: serviceKeys(parsed), policy: { allowedOrigins, extraPorts } };
}
