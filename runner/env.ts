/**
 * The runner's configuration, parsed once. All problems are printed together. Example: `parseEnv(Deno.env.toObject())`.
 */
import { z } from "zod";
import { parseExtraPorts } from "../core/url_policy.ts";
import { placeholderProblems } from "../core/placeholder.ts";
import { isLoopbackUrl, parseAllowedOrigins } from "../core/allowed_origins.ts";
import type { ArchivePolicy } from "./presentation/archive_policy.ts";

const GIB = 1024 ** 3;

const secretKeys = z.string().transform((text, context): string[] => {
  try {
    return z.array(z.string().min(1)).min(1).parse(Object.values(JSON.parse(text)));
  } catch {
    context.addIssue('must be JSON such as {"default":"sb_secret_…"}');
    return z.NEVER;
  }
});

const originList = z.string().default("").transform((text, context): readonly string[] => {
  const origins = parseAllowedOrigins(text);
  if (origins.ok) return origins.value;
  context.addIssue(origins.error);
  return z.NEVER;
});

const portList = z.string().default("").transform((text, context): readonly number[] => {
  const ports = parseExtraPorts(text);
  if (ports.ok) return ports.value;
  context.addIssue(ports.error);
  return z.NEVER;
});

/** Run the rules over several variables even if single variables are wrong, to report all problems together. */
const always = () => true;

const variables = z.object({
  SUPABASE_URL: z.url(),
  SUPABASE_SECRET_KEYS: secretKeys.optional(),
  SUPABASE_SERVICE_ROLE_KEY: z.string().min(1).optional(),
  HF_FILE_SALT: z.string().min(8, "must have at least 8 characters"),
  RUNNER_WEBHOOK_SECRET: z.string().min(8, "must have at least 8 characters").optional(),
  RUNNER_CONCURRENCY: z.coerce.number().int().min(1).max(16).default(2),
  RUNNER_WORK_DIR: z.string().min(1).default("/work"),
  RUNNER_NAME: z.string().max(80).optional(),
  RUNNER_LEASE_SECONDS: z.coerce.number().int().min(10).max(3600).default(120),
  RUNNER_POLL_SECONDS: z.coerce.number().min(0.1).max(3600).default(10),
  RUNNER_STOP_SECONDS: z.coerce.number().min(0).max(600).default(8),
  RUNNER_TIDY_SECONDS: z.coerce.number().min(1).max(86400).default(3600),
  RUNNER_MAX_BYTES: z.coerce.number().int().min(1).default(16 * GIB),
  RUNNER_HLS_CONNECTIONS: z.coerce.number().int().min(1).max(32).default(32),
  RUNNER_MP4_CONNECTIONS: z.coerce.number().int().min(1).max(16).default(8),
  RUNNER_EXTRAS: z.enum(["on", "off"]).default("on"),
  ARCHIVE_FORM: z.enum(["auto", "plain"]).default("auto"),
  ARCHIVE_SEGMENT_SECONDS: z.coerce.number().min(2).max(20).default(6),
  MEGA_API_URL: z.url().optional(),
  PORT: z.coerce.number().int().min(0).max(65535).default(7860),
  EXTRA_PORTS: portList,
  DEV_ALLOWED_ORIGINS: originList,
});

/** Every variable of the runner except those of its storage targets. */
export const RUNNER_NAMES: readonly string[] = Object.keys(variables.shape);
const STORAGE_NAMES = /^(HF|S3|STORAGE)_/;

const schema = variables.refine((env) => env.SUPABASE_SECRET_KEYS ?? env.SUPABASE_SERVICE_ROLE_KEY, {
  path: ["SUPABASE_SECRET_KEYS"],
  message: "is missing (or the legacy SUPABASE_SERVICE_ROLE_KEY)",
  when: always,
}).refine((env) => !env.DEV_ALLOWED_ORIGINS?.length || isLoopbackUrl(env.SUPABASE_URL), {
  path: ["DEV_ALLOWED_ORIGINS"],
  message: "is for development only: SUPABASE_URL must be on loopback",
  when: always,
});

export type RunnerEnv = {
  readonly supabaseUrl: string;
  readonly supabaseKey: string;
  readonly fileSalt: string;
  readonly webhookSecret: string;
  readonly concurrency: number;
  readonly workDir: string;
  readonly name: string;
  readonly leaseSeconds: number;
  readonly pollSeconds: number;
  readonly stopSeconds: number;
  /** Interval between removals of leftovers in the work directory. */
  readonly tidySeconds: number;
  readonly maxBytes: number;
  readonly hlsConnections: number;
  readonly mp4Connections: number;
  readonly extras: boolean;
  readonly archive: ArchivePolicy;
  readonly megaApiUrl: string | undefined;
  readonly port: number;
  /** Ports from which videos may be fetched, in addition to 80, 443 and 8080. */
  readonly extraPorts: readonly number[];
  readonly allowedOrigins: readonly string[];
  /** Loopback in development, because such a runner may fetch from loopback. */
  readonly hostname: string;
  /** The whole environment, for the storage targets (HF_TOKEN_STORAGE_1…N, S3_*, STORAGE_*). */
  readonly storage: Readonly<Record<string, string>>;
};

/** @throws {Error} that names every missing or wrong variable. */
export function parseEnv(variables: Readonly<Record<string, string>>): RunnerEnv {
  const filled = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ""));
  const parsed = schema.safeParse(filled);
  const names = Object.keys(filled).filter((name) => RUNNER_NAMES.includes(name) || STORAGE_NAMES.test(name));
  const placeholders = placeholderProblems(filled, names).map((problem) => `  ${problem}`);
  if (!parsed.success || placeholders.length > 0) {
    const issues = (parsed.error?.issues ?? []).map((issue) => `  ${issue.path.join(".")}: ${issue.message}`);
    const lines = [...placeholders, ...issues];
    throw new Error(`the runner cannot start, its environment is incomplete:\n${lines.join("\n")}`);
  }
  const env = parsed.data;
  return {
    supabaseUrl: env.SUPABASE_URL,
    supabaseKey: (env.SUPABASE_SECRET_KEYS?.[0] ?? env.SUPABASE_SERVICE_ROLE_KEY)!,
    fileSalt: env.HF_FILE_SALT,
    webhookSecret: env.RUNNER_WEBHOOK_SECRET ?? env.HF_FILE_SALT,
    concurrency: env.RUNNER_CONCURRENCY,
    workDir: env.RUNNER_WORK_DIR,
    name: env.RUNNER_NAME ?? `${hostName()}-${Deno.pid}`,
    leaseSeconds: env.RUNNER_LEASE_SECONDS,
    pollSeconds: env.RUNNER_POLL_SECONDS,
    stopSeconds: env.RUNNER_STOP_SECONDS,
    tidySeconds: env.RUNNER_TIDY_SECONDS,
    maxBytes: env.RUNNER_MAX_BYTES,
    hlsConnections: env.RUNNER_HLS_CONNECTIONS,
    mp4Connections: env.RUNNER_MP4_CONNECTIONS,
    extras: env.RUNNER_EXTRAS === "on",
    archive: { form: env.ARCHIVE_FORM, segmentSeconds: env.ARCHIVE_SEGMENT_SECONDS },
    megaApiUrl: env.MEGA_API_URL,
    port: env.PORT,
    extraPorts: env.EXTRA_PORTS,
    allowedOrigins: env.DEV_ALLOWED_ORIGINS,
    hostname: env.DEV_ALLOWED_ORIGINS.length > 0 ? "127.0.0.1" : "0.0.0.0",
    storage: filled,
  };
}

function hostName(): string {
  try {
    return Deno.hostname();
  } catch {
    return "runner"; // not permitted; the process id still distinguishes runners
  }
}
