// Which system a command works on: from --env-file, otherwise from the environment, otherwise the `deno task dev` of this machine.
// Never a mixture: SUPABASE_URL without a key must not select the local system.
import { parseEnv } from "node:util";
import { isLoopbackUrl } from "../core/allowed_origins.ts";
import { placeholderIn } from "../core/placeholder.ts";
import { CommandError, readInputFile } from "./command_line.ts";
import { printError } from "./print.ts";
import { findRunningDev } from "./running_dev.ts";

type Variables = Readonly<Record<string, string>>;

export interface System {
  /** Where its configuration was found, for messages. */
  readonly from: string;
  readonly url: string;
  /** On this machine: changes need no confirmation. */
  readonly isLocal: boolean;
  /** The environment for a program that works on it. */
  readonly env: Variables;
}

export interface SystemQuery {
  readonly envFile?: string | undefined;
  /** Variables that select the environment if one of them is set. */
  readonly names: RegExp;
  /** Groups of variables; one of each group is required. */
  readonly required: readonly (readonly string[])[];
  /** The variable with the system's URL. */
  readonly url: string;
}

const KEYS = ["SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"] as const;

/** The project, for the operator API and the database. */
export const PROJECT: Omit<SystemQuery, "envFile"> = {
  names: /^SUPABASE_(URL|SECRET_KEYS|SERVICE_ROLE_KEY)$/,
  required: [["SUPABASE_URL"], KEYS],
  url: "SUPABASE_URL",
};

/** The project and its storage, as in the runner. */
export const PROJECT_AND_STORAGE: Omit<SystemQuery, "envFile"> = {
  ...PROJECT,
  names:
    /^(SUPABASE_(URL|SECRET_KEYS|SERVICE_ROLE_KEY)|HF_FILE_SALT|HF_TOKEN_STORAGE_\d+|HF_STORAGE_.+|S3_.+|STORAGE_FOLDER.*)$/,
};

/** The proxy and the keys that it trusts. */
export const PROXY: Omit<SystemQuery, "envFile"> = {
  names: /^(SUPABASE_(URL|SECRET_KEYS|SERVICE_ROLE_KEY)|STREAM_SIGNING_KEYS|CLOUDFLARE_WORKERS_URL)$/,
  required: [["STREAM_SIGNING_KEYS"], ["CLOUDFLARE_WORKERS_URL"]],
  url: "CLOUDFLARE_WORKERS_URL",
};

/** @throws {CommandError} if there is none, or if its configuration is incomplete */
export async function findSystem(env: Variables, query: SystemQuery): Promise<System> {
  const { envFile, names } = query;
  const filled = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const others = Object.fromEntries(Object.entries(filled).filter(([name]) => !PROJECT_VARIABLES.test(name)));
  if (envFile !== undefined) {
    return complete(
      { from: envFile, env: { ...others, ...parseEnv(await readInputFile(envFile)) } as Variables },
      query,
    );
  }
  if (Object.keys(filled).some((name) => names.test(name))) {
    return complete({ from: "the environment", env: filled }, query);
  }
  const running = await findRunningDev(env);
  if (running === null) {
    throw new CommandError(
      `no system found: start \`deno task dev\`, or set ${namesOf(query)} (--env-file FILE reads them from a file)`,
    );
  }
  return complete({ from: "the `deno task dev` of this machine", env: { ...others, ...running.env } }, query);
}

/** Variables that configure a system. The local system takes none of them from the shell. */
const PROJECT_VARIABLES =
  /^(SUPABASE_.+|STREAM_.+|CLOUDFLARE_WORKERS_URL|PUBLIC_API_URL|HF_.+|S3_.+|STORAGE_FOLDER.*|RUNNER_.+|DEV_ALLOWED_ORIGINS)$/;

function complete({ from, env }: Pick<System, "from" | "env">, query: SystemQuery): System {
  const missing = query.required.filter((names) => !names.some((name) => env[name]));
  if (missing.length > 0) {
    const present = Object.keys(env).filter((name) => env[name] && query.names.test(name)).sort();
    throw new CommandError(
      `incomplete environment: ${from} has ${present.join(", ") || "none of the names"}, but not ${
        missing.map((names) => names.join(" or ")).join(" and ")
      }: set all of them, or none to use the local system`,
    );
  }
  for (const name of query.required.flat()) {
    const placeholder = placeholderIn(env[name] ?? "");
    if (placeholder !== null) throw new CommandError(`${name} still contains the placeholder ${placeholder} (${from})`);
  }
  const url = env[query.url]!;
  if (!URL.canParse(url)) throw new CommandError(`${query.url} is not a URL: ${url} (${from})`);
  return { from, env, url: url.replace(/\/+$/, ""), isLocal: isLoopbackUrl(url) };
}

function namesOf({ required }: SystemQuery): string {
  return required.map(([name]) => name).join(" and ");
}

/** Prints which system is about to be used, on standard error: standard output is for the command's result. */
export function announce({ url, from }: System): void {
  printError(`target: ${url} (${from})`);
}

export interface Change {
  /** What is about to happen: "cancel 3 videos". */
  readonly what: string;
  /** --yes */
  readonly yes: boolean | undefined;
  /** Also ask for a local system, because the change cannot be undone. */
  readonly always?: boolean;
}

/** @throws {CommandError} unless the system is local, or the change is confirmed with --yes or at the prompt */
export function confirmChange({ url, isLocal }: Pick<System, "url" | "isLocal">, change: Change): void {
  const { what, yes = false, always = false } = change;
  if (yes || (isLocal && !always)) return;
  if (!Deno.stdin.isTerminal()) {
    throw new CommandError(`not a terminal, so there is no prompt for "${what}" (${url}): repeat with --yes`);
  }
  if (!confirm(`${what[0]!.toUpperCase()}${what.slice(1)} (${url})?`)) {
    throw new CommandError("nothing was changed");
  }
}
