// Calls the operator API of the system that the command works on (system.ts).
import type { ProviderToCheck } from "../sources/provider_check.ts";
import { readCatalogueRow } from "./catalogue_row.ts";
import { parseAllowedOrigins } from "../core/allowed_origins.ts";
import { parseExtraPorts, type UrlPolicy } from "../core/url_policy.ts";
import { CommandError } from "./command_line.ts";
import { announce, findSystem, PROJECT, type System } from "./system.ts";

export interface OperatorApi {
  readonly system: System;
  readonly url: string;
  /** Which URLs the system may fetch; the same as in its functions. */
  readonly policy: UrlPolicy;
  call(
    method: string,
    path: string,
    body?: { readonly text: string; readonly type: string },
  ): Promise<OperatorResponse>;
  /** The catalogue's row of an episode; null if there is none. */
  readCatalogue(malId: number, episode: number): Promise<ProviderToCheck["catalogue"]>;
}

export interface OperatorResponse {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Prints which system it is. @throws {CommandError} if there is none, or if its configuration is incomplete */
export async function findOperatorApi(env: Readonly<Record<string, string>>, envFile?: string): Promise<OperatorApi> {
  const system = await findSystem(env, { ...PROJECT, envFile });
  const key = secretKeyOf(system.env);
  announce(system);
  const url = `${system.url}/functions/v1/archive`;
  return {
    system,
    url,
    policy: policyOf(system),
    async call(method, path, body) {
      let response: Response;
      try {
        response = await fetch(url + path, {
          method,
          headers: { apikey: key, ...(body && { "content-type": body.type }) },
          ...(body && { body: body.text }),
          signal: AbortSignal.timeout(60_000),
        });
      } catch (cause) {
        throw new CommandError(`${url} does not answer`, { cause });
      }
      const json: unknown = await response.json().catch(() => ({}));
      return { status: response.status, body: typeof json === "object" && json !== null ? { ...json } : {} };
    },
    readCatalogue: (malId, episode) =>
      readCatalogueRow({ url: system.url, key }, { malId, episode }).catch((cause) => {
        throw new CommandError(cause.message, { cause });
      }),
  };
}

/** @throws {CommandError} */
function secretKeyOf(env: Readonly<Record<string, string>>): string {
  const { SUPABASE_SECRET_KEYS: keys, SUPABASE_SERVICE_ROLE_KEY: legacy } = env;
  if (!keys) return legacy!;
  try {
    const [key] = Object.values(JSON.parse(keys));
    if (typeof key === "string" && key !== "") return key;
  } catch { /* reported below */ }
  throw new CommandError('SUPABASE_SECRET_KEYS must be JSON such as {"default":"sb_secret_…"}');
}

/** As in the functions: DEV_ALLOWED_ORIGINS only applies to a project on this machine. @throws {CommandError} */
export function policyOf({ env, isLocal }: Pick<System, "env" | "isLocal">): UrlPolicy {
  const origins = parseAllowedOrigins(isLocal ? env.DEV_ALLOWED_ORIGINS ?? "" : "");
  const ports = parseExtraPorts(env.EXTRA_PORTS ?? "");
  if (!origins.ok) throw new CommandError(`DEV_ALLOWED_ORIGINS: ${origins.error}`);
  if (!ports.ok) throw new CommandError(`EXTRA_PORTS: ${ports.error}`);
  return { allowedOrigins: origins.value, extraPorts: ports.value };
}
