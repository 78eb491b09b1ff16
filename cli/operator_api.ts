// The operator API from the command line: a deployed project by SUPABASE_URL and its secret key, else the `deno task dev`
// that runs on this machine.
import type { ProviderToCheck } from "../sources/provider_check.ts";
import { readCatalogueRow } from "./catalogue_row.ts";
import { parseAllowedOrigins } from "../core/allowed_origins.ts";
import { parseExtraPorts, type UrlPolicy } from "../core/url_policy.ts";
import { CommandError } from "./command_line.ts";
import { announce, findTarget, PROJECT, type Target } from "./target.ts";

export interface OperatorApi {
  readonly target: Target;
  readonly address: string;
  /** Where the system may fetch from, as its functions are told. */
  readonly policy: UrlPolicy;
  call(
    method: string,
    path: string,
    body?: { readonly text: string; readonly type: string },
  ): Promise<OperatorResponse>;
  /** The catalogue's row of an episode; null when there is none. */
  readCatalogue(malId: number, episode: number): Promise<ProviderToCheck["catalogue"]>;
}

export interface OperatorResponse {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Says which system it is. @throws {CommandError} when there is none, or half of one. */
export async function findOperatorApi(env: Readonly<Record<string, string>>, envFile?: string): Promise<OperatorApi> {
  const target = await findTarget(env, { ...PROJECT, envFile });
  const key = secretKeyOf(target.env);
  announce(target);
  const address = `${target.address}/functions/v1/archive`;
  return {
    target,
    address,
    policy: policyOf(target),
    async call(method, path, body) {
      let response: Response;
      try {
        response = await fetch(address + path, {
          method,
          headers: { apikey: key, ...(body && { "content-type": body.type }) },
          ...(body && { body: body.text }),
          signal: AbortSignal.timeout(60_000),
        });
      } catch (cause) {
        throw new CommandError(`${address} does not answer`, { cause });
      }
      const answer: unknown = await response.json().catch(() => ({}));
      return { status: response.status, body: typeof answer === "object" && answer !== null ? { ...answer } : {} };
    },
    readCatalogue: (malId, episode) =>
      readCatalogueRow({ url: target.address, key }, { malId, episode }).catch((cause) => {
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
  } catch { /* said below */ }
  throw new CommandError('SUPABASE_SECRET_KEYS must be JSON such as {"default":"sb_secret_…"}');
}

/** As in the functions: DEV_ALLOWED_ORIGINS counts where the project is on this machine alone. @throws {CommandError} */
export function policyOf({ env, local }: Pick<Target, "env" | "local">): UrlPolicy {
  const origins = parseAllowedOrigins(local ? env.DEV_ALLOWED_ORIGINS ?? "" : "");
  const ports = parseExtraPorts(env.EXTRA_PORTS ?? "");
  if (!origins.ok) throw new CommandError(`DEV_ALLOWED_ORIGINS: ${origins.error}`);
  if (!ports.ok) throw new CommandError(`EXTRA_PORTS: ${ports.error}`);
  return { allowedOrigins: origins.value, extraPorts: ports.value };
}
