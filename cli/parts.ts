// The variables of each deployed part: its own ones from .env, and no other part's secrets. `N` is the number of an account.
// parts_test.ts compares these lists with the part's env.ts.
import { readConfig } from "../cf-proxy/env.ts";
import { placeholderProblems } from "../core/placeholder.ts";
import { parseStreamingEnv } from "../functions/streaming/env.ts";
import { parseEnv as parseRunnerEnv } from "../runner/env.ts";
import { storageTargetsFromEnv } from "../runner/storage_targets.ts";
import { checkPlain, dotenv, json, vaultSql } from "./part_files.ts";

export type Variables = Readonly<Record<string, string>>;

export interface Part {
  readonly file: string;
  /** Names of the part's variables, each with its name in .env if that differs. */
  readonly names: readonly (string | readonly [own: string, inEnv: string])[];
  /** Groups of names in .env; one of each group is required. */
  readonly required: readonly (readonly string[])[];
  /** @throws the error with which the part would refuse to start */
  readonly check: (values: Variables) => void;
  readonly write: (values: Variables) => string;
}

const PROJECT = ["SUPABASE_URL", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"];
const PROJECT_REQUIRED = [["SUPABASE_URL"], ["SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"]];

const FUNCTIONS = [
  "STREAM_SIGNING_KEYS",
  "CLOUDFLARE_WORKERS_URL",
  "HF_ENDPOINT",
  "STREAM_LINK_TTL_SECONDS",
  "PROVIDER_BUDGET_MS",
  "SOURCE_FRESH_SECONDS",
  "SOURCE_STALE_SECONDS",
  "SOURCE_FAILURE_SECONDS",
  "SOURCE_USER_AGENT",
  "TITLE_API_URL",
  "MEGA_API_URL",
  "CLIENT_ADDRESS_HEADER",
  "S3_ENDPOINT",
  "S3_BUCKET",
  "STORAGE_FOLDER_URL",
  "EXTRA_PORTS",
];
const FUNCTIONS_REQUIRED = [["STREAM_SIGNING_KEYS"], ["CLOUDFLARE_WORKERS_URL"]];

export const PARTS: Readonly<Record<string, Part>> = {
  /** The Edge Functions. Supabase provides the project's URL and keys. */
  functions: {
    file: "functions.env",
    names: FUNCTIONS,
    required: FUNCTIONS_REQUIRED,
    check: (values) =>
      parseStreamingEnv({ SUPABASE_URL: "https://p.test", SUPABASE_SERVICE_ROLE_KEY: "given", ...values }),
    write: dotenv,
  },
  /** The functions on Deno Deploy or another host. */
  deploy: {
    file: "deploy.env",
    names: [...PROJECT, ...FUNCTIONS],
    required: [...PROJECT_REQUIRED, ...FUNCTIONS_REQUIRED],
    check: parseStreamingEnv,
    write: dotenv,
  },
  /** The proxy: gets the read-only credentials, under the names that the runner uses for its read-write ones. */
  worker: {
    file: "worker.json",
    names: [
      "STREAM_SIGNING_KEYS",
      "PUBLIC_API_URL",
      "HF_ENDPOINT",
      "HF_STORAGE_USERNAME_N",
      ["HF_TOKEN_STORAGE_N", "HF_TOKEN_STORAGE_READ_N"],
      "S3_ENDPOINT",
      "S3_BUCKET",
      "S3_REGION",
      ["S3_ACCESS_KEY_ID", "S3_READ_ACCESS_KEY_ID"],
      ["S3_SECRET_ACCESS_KEY", "S3_READ_SECRET_ACCESS_KEY"],
      "STORAGE_FOLDER_URL",
      "STORAGE_FOLDER_TOKEN",
      "REDIRECT_MODE",
      "EXTRA_PORTS",
      "ALLOWED_HOSTS",
      "HEADER_TIMEOUT_MS",
    ],
    required: [["STREAM_SIGNING_KEYS"], ["PUBLIC_API_URL"]],
    check(values) {
      const { hubAccounts, s3, folder } = readConfig(values);
      const accounts = Object.keys(values).filter((name) => /^HF_(STORAGE_USERNAME|TOKEN_STORAGE)_\d+$/.test(name));
      if (accounts.length !== 2 * hubAccounts.length) {
        throw new Error("each HF_STORAGE_USERNAME_N needs a HF_TOKEN_STORAGE_READ_N, numbered from 1 without a gap");
      }
      if (values.S3_BUCKET && s3 === null) {
        throw new Error("S3_BUCKET needs S3_ENDPOINT, S3_READ_ACCESS_KEY_ID and S3_READ_SECRET_ACCESS_KEY");
      }
      if (values.STORAGE_FOLDER_URL && folder === null) {
        throw new Error("STORAGE_FOLDER_URL needs STORAGE_FOLDER_TOKEN");
      }
    },
    write: json,
  },
  web: {
    file: "web.json",
    names: ["PUBLIC_API_URL"],
    required: [["PUBLIC_API_URL"]],
    check: ({ PUBLIC_API_URL }) => checkEnvUrl("PUBLIC_API_URL", PUBLIC_API_URL!),
    write: json,
  },
  runner: {
    file: "runner.env",
    names: [
      ...PROJECT,
      "HF_FILE_SALT",
      "RUNNER_WEBHOOK_SECRET",
      "HF_ENDPOINT",
      "HF_STORAGE_ACCOUNT_COUNT",
      "HF_STORAGE_USERNAME_N",
      "HF_TOKEN_STORAGE_N",
      "HF_REPO_PREFIX",
      "S3_ENDPOINT",
      "S3_BUCKET",
      "S3_REGION",
      "S3_ACCESS_KEY_ID",
      "S3_SECRET_ACCESS_KEY",
      "STORAGE_FOLDER",
      "STORAGE_FOLDER_URL",
      "STORAGE_FOLDER_TOKEN",
      "RUNNER_CONCURRENCY",
      "RUNNER_WORK_DIR",
      "RUNNER_NAME",
      "RUNNER_LEASE_SECONDS",
      "RUNNER_POLL_SECONDS",
      "RUNNER_STOP_SECONDS",
      "RUNNER_TIDY_SECONDS",
      "RUNNER_MAX_BYTES",
      "RUNNER_HLS_CONNECTIONS",
      "RUNNER_MP4_CONNECTIONS",
      "RUNNER_EXTRAS",
      "ARCHIVE_FORM",
      "ARCHIVE_SEGMENT_SECONDS",
      "MEGA_API_URL",
      "EXTRA_PORTS",
      "PORT",
    ],
    required: [...PROJECT_REQUIRED, ["HF_FILE_SALT"], ["RUNNER_WEBHOOK_SECRET"]],
    check(values) {
      parseRunnerEnv(values);
      if (storageTargetsFromEnv(values).length === 0) {
        throw new Error("there is no storage target: HF_TOKEN_STORAGE_1, S3_BUCKET or STORAGE_FOLDER");
      }
    },
    write: dotenv,
  },
  /** SQL that stores the runner's URL and secrets in Vault. */
  database: {
    file: "database.sql",
    names: [
      ["runner_url", "HF_SPACE_WEBHOOK_URL"],
      ["runner_webhook_secret", "RUNNER_WEBHOOK_SECRET"],
      ["hf_token_worker", "HF_TOKEN_WORKER"],
    ],
    required: [["HF_SPACE_WEBHOOK_URL"], ["RUNNER_WEBHOOK_SECRET"]],
    check: ({ runner_url }) => checkEnvUrl("HF_SPACE_WEBHOOK_URL", runner_url!),
    write: vaultSql,
  },
  /** For `--env-file` of the operator's commands. */
  operator: {
    file: "operator.env",
    names: [...PROJECT, "EXTRA_PORTS"],
    required: PROJECT_REQUIRED,
    check: ({ SUPABASE_URL }) => checkEnvUrl("SUPABASE_URL", SUPABASE_URL!),
    write: dotenv,
  },
};

export type PartValues = { readonly ok: true; readonly values: Variables } | {
  readonly ok: false;
  readonly problems: readonly string[];
};

/** The part's variables, or every problem that would prevent it from starting. */
export function partValues(part: Part, env: Variables): PartValues {
  const values: Record<string, string> = {};
  const problems: string[] = [];
  const used: string[] = [];
  for (const [inEnv, value] of Object.entries(env)) {
    if (value === "") continue;
    for (const entry of part.names) {
      const [own, source] = typeof entry === "string" ? [entry, entry] : entry;
      const number = numberIn(source, inEnv);
      if (number === null) continue;
      values[own.replace(/(?<=_)N$/, number)] = value;
      used.push(inEnv);
    }
  }
  for (const names of part.required) {
    if (!names.some((name) => used.includes(name))) problems.push(`${names.join(" or ")} is missing`);
  }
  problems.push(...placeholderProblems(env, used));
  if (part.write === dotenv) problems.push(...checkPlain(env, used));
  if (problems.length > 0) return { ok: false, problems };
  try {
    part.check(values);
  } catch (error) {
    return { ok: false, problems: [(error as Error).message] };
  }
  return { ok: true, values };
}

/** The account number in a name, "" for a pattern without one; null if the name does not match. */
function numberIn(pattern: string, name: string): string | null {
  if (!pattern.endsWith("_N")) return pattern === name ? "" : null;
  return new RegExp(`^${pattern.slice(0, -1)}([1-9]\\d*)$`).exec(name)?.[1] ?? null;
}

function checkEnvUrl(name: string, url: string): void {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new Error(`${name} is not an http(s) URL`);
  }
}
