// The operator API from the command line: a deployed project by SUPABASE_URL and its secret key, else the `deno task dev`
// that runs on this machine.
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import type { ProviderToCheck } from "../../sources/provider_check.ts";
import { printError } from "../print.ts";
import { readCatalogueRow } from "./catalogue_row.ts";
import { findRunningDev } from "./running_dev.ts";

export interface OperatorApi {
  /** Where it was found, for the report. */
  readonly address: string;
  /** Origins that only a system on this machine may read. */
  readonly allowedOrigins: readonly string[];
  call(method: string, path: string, body?: { readonly text: string; readonly type: string }): Promise<OperatorAnswer>;
  /** The catalogue's row of an episode; null when there is none. */
  readCatalogue(malId: number, episode: number): Promise<ProviderToCheck["catalogue"]>;
}

export interface OperatorAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What the operator has to do, in one line: the command could not be carried out, and ends with exit code 2. */
export class OperatorError extends Error {
  override readonly name = "OperatorError";
}

/** Options and what stands between them. @throws {OperatorError} for an option that does not exist: a mistyped --dry-run must not write. */
export function parseOptions<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T, usage: string) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new OperatorError(`${(error as Error).message}\n${usage}`);
  }
}

/** @throws {OperatorError} when there is no system to talk to. */
export async function findOperatorApi(env: Readonly<Record<string, string>>): Promise<OperatorApi> {
  const target = targetOf(env) ?? await runningTarget(env);
  if (target === null) {
    throw new OperatorError(
      "no system to talk to: start `deno task dev`, or set SUPABASE_URL and SUPABASE_SECRET_KEYS",
    );
  }
  const address = `${target.url.replace(/\/+$/, "")}/functions/v1/archive`;
  return {
    address,
    allowedOrigins: target.allowedOrigins,
    async call(method, path, body) {
      let response: Response;
      try {
        response = await fetch(address + path, {
          method,
          headers: { apikey: target.key, ...(body && { "content-type": body.type }) },
          ...(body && { body: body.text }),
          signal: AbortSignal.timeout(60_000),
        });
      } catch (cause) {
        throw new OperatorError(`${address} does not answer`, { cause });
      }
      const answer: unknown = await response.json().catch(() => ({}));
      return { status: response.status, body: typeof answer === "object" && answer !== null ? { ...answer } : {} };
    },
    readCatalogue: (malId, episode) => readCatalogueRow(target, { malId, episode }),
  };
}

interface Target {
  readonly url: string;
  readonly key: string;
  readonly allowedOrigins: readonly string[];
}

function targetOf(env: Readonly<Record<string, string>>): Target | null {
  const keys = env.SUPABASE_SECRET_KEYS ? Object.values(parseKeys(env.SUPABASE_SECRET_KEYS)) : [];
  const key = keys[0] ?? env.SUPABASE_SERVICE_ROLE_KEY;
  if (!env.SUPABASE_URL || typeof key !== "string") return null;
  return { url: env.SUPABASE_URL, key, allowedOrigins: allowedOriginsOf(env) };
}

function parseKeys(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text);
  } catch {
    throw new OperatorError('SUPABASE_SECRET_KEYS must be JSON such as {"default":"sb_secret_…"}');
  }
}

/** As in the functions: for development only, where the project is on this machine. */
export function allowedOriginsOf(env: Readonly<Record<string, string>>): readonly string[] {
  const url = env.SUPABASE_URL ?? "";
  const local = URL.canParse(url) && ["127.0.0.1", "localhost", "[::1]"].includes(new URL(url).hostname);
  return local ? (env.DEV_ALLOWED_ORIGINS ?? "").split(",").filter((origin) => origin !== "") : [];
}

async function runningTarget(env: Readonly<Record<string, string>>): Promise<Target | null> {
  const system = await findRunningDev(env);
  if (system === null) return null;
  const allowedOrigins = allowedOriginsOf({ ...system.env, SUPABASE_URL: system.urls.gateway });
  return { url: system.urls.gateway, key: system.keys.secret, allowedOrigins };
}

/** Runs a command: its report on standard output; an OperatorError, or a file that is not there, as one line and exit code 2. */
export async function runCommand(command: () => Promise<number>): Promise<void> {
  try {
    Deno.exit(await command());
  } catch (error) {
    if (!(error instanceof OperatorError) && !(error instanceof Deno.errors.NotFound)) throw error;
    printError(error.message);
    Deno.exit(2);
  }
}
