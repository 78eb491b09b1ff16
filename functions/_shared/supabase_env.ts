// Supabase's URL and service keys from the platform's variables: the key set if present, otherwise the legacy key.
// Example: parseSupabaseEnv({ SUPABASE_URL, SUPABASE_SECRET_KEYS: '{"default":"sb_secret_…"}' }). Runs on: Deno, edge runtime.
import { z } from "zod";
import { parseExtraPorts } from "../../core/url_policy.ts";
import { placeholderProblems } from "../../core/placeholder.ts";
import { isLoopbackUrl, parseAllowedOrigins } from "../../core/allowed_origins.ts";

export const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });
/** Visible ASCII, as headers require; also excludes placeholders, which contain an ellipsis. */
const apiKey = z.string().regex(/^[\x21-\x7e]+$/, "is not a key of the project");

const keySet = z.string().transform((text, context): string[] => {
  try {
    return z.array(apiKey).min(1).parse(Object.values(JSON.parse(text)));
  } catch {
    context.addIssue('must be JSON such as {"default":"sb_secret_…"}');
    return z.NEVER;
  }
});

const supabaseVariables = z.object({
  SUPABASE_URL: httpUrl,
  SUPABASE_SECRET_KEYS: keySet.optional(),
  SUPABASE_SERVICE_ROLE_KEY: apiKey.optional(),
});

export const SUPABASE_NAMES: readonly string[] = Object.keys(supabaseVariables.shape);

export const supabaseEnvSchema = supabaseVariables.refine(
  (env) => env.SUPABASE_SECRET_KEYS ?? env.SUPABASE_SERVICE_ROLE_KEY,
  {
    message: "SUPABASE_SECRET_KEYS (or the legacy SUPABASE_SERVICE_ROLE_KEY) is missing",
  },
);

/** DEV_ALLOWED_ORIGINS */
export const allowedOriginsSchema = z.string().default("").transform((text, context): readonly string[] => {
  const origins = parseAllowedOrigins(text);
  if (origins.ok) return origins.value;
  context.addIssue(origins.error);
  return z.NEVER;
});

/** EXTRA_PORTS */
export const extraPortsSchema = z.string().default("").transform((text, context): readonly number[] => {
  const ports = parseExtraPorts(text);
  if (ports.ok) return ports.value;
  context.addIssue(ports.error);
  return z.NEVER;
});

/** For `.refine(...)`: a deployed function must not fetch from private addresses. */
export const forDevelopmentOnly = [
  (env: { DEV_ALLOWED_ORIGINS: readonly string[]; SUPABASE_URL: string }) =>
    env.DEV_ALLOWED_ORIGINS.length === 0 || isLoopbackUrl(env.SUPABASE_URL),
  { message: "DEV_ALLOWED_ORIGINS is for development only: SUPABASE_URL must be on loopback" },
] as const;

export type SupabaseEnv = z.infer<typeof supabaseEnvSchema>;

/** Every key of the service role: the first is used for calls, all are accepted from operators. */
export function serviceKeys(env: SupabaseEnv): readonly [string, ...string[]] {
  const keys = [...env.SUPABASE_SECRET_KEYS ?? [], env.SUPABASE_SERVICE_ROLE_KEY ?? ""].filter((key) => key !== "");
  return keys as [string, ...string[]];
}

/** The schema's variables. @throws {Error} that lists everything missing, invalid or still a placeholder. */
export function parseFunctionEnv<T>(
  schema: z.ZodType<T>,
  env: Readonly<Record<string, string>>,
  names: readonly string[],
): T {
  const filled = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const placeholders = placeholderProblems(filled, names);
  const parsed = schema.safeParse(filled);
  if (parsed.success && placeholders.length === 0) return parsed.data;
  const issues = (parsed.error?.issues ?? []).map(({ path, message }) =>
    `${path.join(".") || "environment"}: ${message}`
  );
  const lines = [...placeholders, ...issues].map((line) => `  ${line}`);
  throw new Error(`the function cannot start, its environment is incomplete:\n${lines.join("\n")}`);
}
