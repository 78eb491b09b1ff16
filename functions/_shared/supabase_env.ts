// Supabase's address and service key out of the names the platform provides: the key set first, the legacy key else.
// Example: parseSupabaseEnv({ SUPABASE_URL, SUPABASE_SECRET_KEYS: '{"default":"sb_secret_…"}' }). Runs on: Deno, edge runtime.
import { z } from "zod";

export const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https address" });
/** Headers take nothing else, and placeholders hold an ellipsis. */
const apiKey = z.string().regex(/^[\x21-\x7e]+$/, "is no key of the project");

const keySet = z.string().transform((text, context): string[] => {
  try {
    return z.array(apiKey).min(1).parse(Object.values(JSON.parse(text)));
  } catch {
    context.addIssue('must be JSON such as {"default":"sb_secret_…"}');
    return z.NEVER;
  }
});

export const supabaseEnvSchema = z.object({
  SUPABASE_URL: httpUrl,
  SUPABASE_SECRET_KEYS: keySet.optional(),
  SUPABASE_SERVICE_ROLE_KEY: apiKey.optional(),
}).refine((env) => env.SUPABASE_SECRET_KEYS ?? env.SUPABASE_SERVICE_ROLE_KEY, {
  message: "SUPABASE_SECRET_KEYS (or the legacy SUPABASE_SERVICE_ROLE_KEY) is missing",
});

export type SupabaseEnv = z.infer<typeof supabaseEnvSchema>;

/** Every key that opens the service role: the first is used, all are accepted from operators. */
export function serviceKeys(env: SupabaseEnv): readonly [string, ...string[]] {
  const keys = [...env.SUPABASE_SECRET_KEYS ?? [], env.SUPABASE_SERVICE_ROLE_KEY ?? ""].filter((key) => key !== "");
  return keys as [string, ...string[]];
}

/** All problems of an environment in one message, each with its name. */
export function envProblems(issues: readonly z.core.$ZodIssue[]): string {
  const lines = issues.map((issue) => `  ${issue.path.join(".") || "environment"}: ${issue.message}`);
  return `the function cannot start, its environment is incomplete:\n${lines.join("\n")}`;
}
