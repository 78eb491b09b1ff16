// Which system a command works on: the file of --env-file, else the environment, else the `deno task dev` of this machine. Never a
// mixture: SUPABASE_URL without a key must not end in the local system.
import { parseEnv } from "node:util";
import { isLoopbackUrl } from "../core/allowed_origins.ts";
import { placeholderIn } from "../core/placeholder.ts";
import { CommandError, readInputFile } from "./command_line.ts";
import { printError } from "./print.ts";
import { findRunningDev } from "./running_dev.ts";

type Variables = Readonly<Record<string, string>>;

export interface Target {
  /** Where it was found, for people. */
  readonly from: string;
  /** What the command works on, for people. */
  readonly address: string;
  /** On this machine: changes need no confirmation. */
  readonly local: boolean;
  /** The environment of a program that works on it. */
  readonly env: Variables;
}

export interface TargetQuestion {
  readonly envFile?: string | undefined;
  /** Names by which an environment says that it is the target. */
  readonly names: RegExp;
  /** One name of each group has to be there. */
  readonly required: readonly (readonly string[])[];
  /** The variable with the target's address. */
  readonly address: string;
}

const KEYS = ["SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"] as const;

/** The project: what the operator API and the database need. */
export const PROJECT: Omit<TargetQuestion, "envFile"> = {
  names: /^SUPABASE_(URL|SECRET_KEYS|SERVICE_ROLE_KEY)$/,
  required: [["SUPABASE_URL"], KEYS],
  address: "SUPABASE_URL",
};

/** The project and its storage, as the runner has them. */
export const PROJECT_AND_STORAGE: Omit<TargetQuestion, "envFile"> = {
  ...PROJECT,
  names:
    /^(SUPABASE_(URL|SECRET_KEYS|SERVICE_ROLE_KEY)|HF_FILE_SALT|HF_TOKEN_STORAGE_\d+|HF_STORAGE_.+|S3_.+|STORAGE_FOLDER.*)$/,
};

/** The proxy and the keys that it trusts. */
export const PROXY: Omit<TargetQuestion, "envFile"> = {
  names: /^(SUPABASE_(URL|SECRET_KEYS|SERVICE_ROLE_KEY)|STREAM_SIGNING_KEYS|CLOUDFLARE_WORKERS_URL)$/,
  required: [["STREAM_SIGNING_KEYS"], ["CLOUDFLARE_WORKERS_URL"]],
  address: "CLOUDFLARE_WORKERS_URL",
};

/** @throws {CommandError} when there is none, or half of one. */
export async function findTarget(env: Variables, question: TargetQuestion): Promise<Target> {
  const { envFile, names } = question;
  const filled = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const others = Object.fromEntries(Object.entries(filled).filter(([name]) => !PROJECT_VARIABLES.test(name)));
  if (envFile !== undefined) {
    return complete(
      { from: envFile, env: { ...others, ...parseEnv(await readInputFile(envFile)) } as Variables },
      question,
    );
  }
  if (Object.keys(filled).some((name) => names.test(name))) {
    return complete({ from: "the environment", env: filled }, question);
  }
  const running = await findRunningDev(env);
  if (running === null) {
    throw new CommandError(
      `no system to talk to: start \`deno task dev\`, or set ${
        namesOf(question)
      } (--env-file FILE reads them from a file)`,
    );
  }
  return complete({ from: "the `deno task dev` of this machine", env: { ...others, ...running.env } }, question);
}

/** Everything that configures a system; of these, a local one takes nothing from the shell. */
const PROJECT_VARIABLES =
  /^(SUPABASE_.+|STREAM_.+|CLOUDFLARE_WORKERS_URL|PUBLIC_API_URL|HF_.+|S3_.+|STORAGE_FOLDER.*|RUNNER_.+|DEV_ALLOWED_ORIGINS)$/;

function complete({ from, env }: Pick<Target, "from" | "env">, question: TargetQuestion): Target {
  const missing = question.required.filter((names) => !names.some((name) => env[name]));
  if (missing.length > 0) {
    const there = Object.keys(env).filter((name) => env[name] && question.names.test(name)).sort();
    throw new CommandError(
      `half an environment: ${from} has ${there.join(", ") || "none of the names"}, but not ${
        missing.map((names) => names.join(" or ")).join(" and ")
      }: set all of them, or none to use the local system`,
    );
  }
  for (const name of question.required.flat()) {
    const placeholder = placeholderIn(env[name] ?? "");
    if (placeholder !== null) throw new CommandError(`${name} still holds the placeholder ${placeholder} (${from})`);
  }
  const address = env[question.address]!;
  if (!URL.canParse(address)) throw new CommandError(`${question.address} is not an address: ${address} (${from})`);
  return { from, env, address: address.replace(/\/+$/, ""), local: isLoopbackUrl(address) };
}

function namesOf({ required }: TargetQuestion): string {
  return required.map(([name]) => name).join(" and ");
}

/** Says where the command works before it does; on standard error, since standard output is the command's own. */
export function announce({ address, from }: Target): void {
  printError(`target: ${address} (${from})`);
}

export interface Change {
  /** What is about to happen: "cancel 3 videos". */
  readonly what: string;
  /** --yes */
  readonly yes: boolean | undefined;
  /** Ask for a local system, too: the change cannot be undone. */
  readonly always?: boolean;
}

/** @throws {CommandError} unless the change is to this machine, was agreed to with --yes, or is agreed to now. */
export function confirmChange({ address, local }: Pick<Target, "address" | "local">, change: Change): void {
  const { what, yes = false, always = false } = change;
  if (yes || (local && !always)) return;
  if (!Deno.stdin.isTerminal()) {
    throw new CommandError(`not a terminal, so nobody can be asked whether to ${what} (${address}): repeat with --yes`);
  }
  if (!confirm(`${what[0]!.toUpperCase()}${what.slice(1)} (${address})?`)) {
    throw new CommandError("nothing was changed");
  }
}
