// The streaming function's configuration. Every missing or invalid variable is reported in one error.
// Runs on: Deno, edge runtime.
import { z } from "zod";
import { parseSigningKeys } from "../../core/link.ts";
import {
  allowedOriginsSchema,
  extraPortsSchema,
  forDevelopmentOnly,
  httpUrl,
  parseFunctionEnv,
  serviceKeys,
  SUPABASE_NAMES,
  supabaseEnvSchema,
} from "../_shared/supabase_env.ts";

const seconds = (fallback: number) => z.coerce.number().int().min(0).default(fallback);

const variables = z.object({
  CLOUDFLARE_WORKERS_URL: httpUrl.refine((url) => !/[?#]/.test(url), "must have no query and no fragment"),
  STREAM_SIGNING_KEYS: z.string().transform((text, context) => {
    const keys = parseSigningKeys(text);
    if (keys.ok) return keys.value;
    context.addIssue(keys.error);
    return z.NEVER;
  }),
  HF_ENDPOINT: httpUrl.default("https://huggingface.co"),
  STREAM_LINK_TTL_SECONDS: z.coerce.number().int().min(60).max(7 * 86_400).default(6 * 3600),
  PROVIDER_BUDGET_MS: z.coerce.number().int().min(100).max(60_000).default(8_000),
  SOURCE_FRESH_SECONDS: seconds(20 * 60),
  SOURCE_STALE_SECONDS: seconds(6 * 3600),
  SOURCE_FAILURE_SECONDS: seconds(30),
  SOURCE_USER_AGENT: z.string().min(1).optional(),
  TITLE_API_URL: httpUrl.optional(),
  MEGA_API_URL: httpUrl.optional(),
  CLIENT_ADDRESS_HEADER: z.string().regex(/^[\w-]+$/).optional(),
  S3_ENDPOINT: httpUrl.optional(),
  S3_BUCKET: z.string().optional(),
  STORAGE_FOLDER_URL: httpUrl.optional(),
  EXTRA_PORTS: extraPortsSchema,
  DEV_ALLOWED_ORIGINS: allowedOriginsSchema,
});

/** Every variable that the function reads. */
export const STREAMING_NAMES: readonly string[] = [...SUPABASE_NAMES, ...Object.keys(variables.shape)];

const schema = z.intersection(supabaseEnvSchema, variables).refine(...forDevelopmentOnly);

export type StreamingEnv = z.infer<typeof schema> & { readonly serviceKeys: readonly [string, ...string[]] };

/** @throws {Error} that lists every missing or invalid variable. */
export function parseStreamingEnv(env: Readonly<Record<string, string>>): StreamingEnv {
  const parsed = parseFunctionEnv(schema, env, STREAMING_NAMES);
  return { ...parsed, serviceKeys: serviceKeys(parsed) };
}

/** URL prefixes of the storage targets that the Worker can read: the Hub, and S3 and the folder if configured. */
export function archiveBases(env: StreamingEnv): readonly string[] {
  const { HF_ENDPOINT, S3_ENDPOINT, S3_BUCKET, STORAGE_FOLDER_URL } = env;
  const plain = (url: string) => url.replace(/\/+$/, "");
  return [
    `${plain(HF_ENDPOINT)}/datasets/`,
    ...(S3_ENDPOINT && S3_BUCKET ? [`${plain(S3_ENDPOINT)}/${S3_BUCKET}/`] : []),
    ...(STORAGE_FOLDER_URL ? [`${plain(STORAGE_FOLDER_URL)}/`] : []),
  ];
}
