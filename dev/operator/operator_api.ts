// The operator API from the command line: a deployed project by SUPABASE_URL and its secret key, else the `deno task dev`
// that runs on this machine.
import { findRunningDev } from "./running_dev.ts";

export interface OperatorApi {
  /** Where it was found, for the report. */
  readonly address: string;
  /** Origins that only a system on this machine may read. */
  readonly allowedOrigins: readonly string[];
  call(method: string, path: string, body?: { readonly text: string; readonly type: string }): Promise<OperatorAnswer>;
}

export interface OperatorAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What the operator has to do, in one line. */
export class OperatorError extends Error {
  override readonly name = "OperatorError";
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
  };
}

interface Target {
  readonly url: string;
  readonly key: string;
  readonly allowedOrigins: readonly string[];
}

function targetOf(env: Readonly<Record<string, string>>): Target | null {
  const keys = env.SUPABASE_SECRET_KEYS ? Object.values(JSON.parse(env.SUPABASE_SECRET_KEYS)) : [];
  const key = keys[0] ?? env.SUPABASE_SERVICE_ROLE_KEY;
  return env.SUPABASE_URL && typeof key === "string" ? { url: env.SUPABASE_URL, key, allowedOrigins: [] } : null;
}

async function runningTarget(env: Readonly<Record<string, string>>): Promise<Target | null> {
  const system = await findRunningDev(env);
  if (system === null) return null;
  const allowedOrigins = (system.env.DEV_ALLOWED_ORIGINS ?? "").split(",").filter((origin) => origin !== "");
  return { url: system.urls.gateway, key: system.keys.secret, allowedOrigins };
}

/** Runs a command: its report on standard output, an OperatorError as one line and exit code 1. */
export async function runCommand(command: () => Promise<number>): Promise<void> {
  try {
    Deno.exit(await command());
  } catch (error) {
    if (!(error instanceof OperatorError) && !(error instanceof Deno.errors.NotFound)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
}
