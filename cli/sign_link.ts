// `deno task ks sign URL`: signs a proxy link, for tests by the operator.
// Example: STREAM_SIGNING_KEYS=k1:… CLOUDFLARE_WORKERS_URL=https://worker.test deno task ks sign https://cdn.test/a/m.m3u8 --scope 1
import { isLoopbackUrl } from "../core/allowed_origins.ts";
import { directoryCount, linkExpiry, parseSigningKeys, signLink } from "../core/link.ts";
import { checkUrl } from "../core/url_policy.ts";
import { CommandError, EXIT_CODES, parseCommandLine, wholeNumber } from "./command_line.ts";
import { SYSTEM_FLAGS } from "./flags.ts";
import { policyOf } from "./operator_api.ts";
import { print, printJson } from "./print.ts";
import { announce, findSystem, PROXY } from "./system.ts";

/** The same limit as for STREAM_LINK_TTL_SECONDS. */
const MAX_TTL_SECONDS = 7 * 86_400;

const USAGE =
  `usage: deno task ks sign URL [--proxy URL] [--ttl SECONDS] [--scope DIRECTORIES] [--referer URL] [--json] [--env-file FILE]

  --proxy URL        the proxy's URL; default: CLOUDFLARE_WORKERS_URL
  --ttl SECONDS      how long the link is valid, up to ${MAX_TTL_SECONDS}; default: 21600
  --scope N          also sign everything below the first N directories of the URL
  --referer URL      sent to the source
  --json             the link and its expiry as JSON
  --env-file FILE    STREAM_SIGNING_KEYS and CLOUDFLARE_WORKERS_URL of the system

${EXIT_CODES}`;

export async function signCommand(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const { link, expiresAt, isJson } = await sign(args, { env, now: Date.now() / 1000 });
  if (isJson) printJson({ link, expires_at: new Date(expiresAt * 1000).toISOString() });
  else print(link);
  return 0;
}

export interface SignedLink {
  readonly link: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly isJson: boolean;
}

export interface SignTools {
  readonly env: Readonly<Record<string, string>>;
  /** Unix seconds. */
  readonly now: number;
}

/** @throws {CommandError} if the link would not work */
export async function sign(args: readonly string[], { env, now }: SignTools): Promise<SignedLink> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    options: {
      proxy: { type: "string" },
      ttl: { type: "string", default: "21600" },
      scope: { type: "string" },
      referer: { type: "string" },
      json: { type: "boolean", default: false },
      ...SYSTEM_FLAGS,
    },
    positionals: 1,
  });
  const [url] = positionals;
  if (url === undefined) throw new CommandError(USAGE);
  const ttl = wholeNumber(values.ttl, "--ttl", { min: 1, max: MAX_TTL_SECONDS });
  const variables = values.proxy === undefined
    ? env
    : { ...env, ...(env.STREAM_SIGNING_KEYS && { CLOUDFLARE_WORKERS_URL: values.proxy }) };
  const system = await findSystem(variables, { ...PROXY, envFile: values["env-file"] });
  if (values.proxy !== undefined && system.isLocal && !isLoopbackUrl(values.proxy)) {
    throw new CommandError(`${values.proxy} would refuse a link of the local system: set STREAM_SIGNING_KEYS`);
  }
  const proxyBaseUrl = values.proxy ?? system.url;
  const keys = parseSigningKeys(system.env.STREAM_SIGNING_KEYS!);
  if (!keys.ok) throw new CommandError(`STREAM_SIGNING_KEYS: ${keys.error}`);
  const checked = checkUrl(url, policyOf(system));
  if (!checked.ok) throw new CommandError(`the Worker would refuse this URL: ${checked.error.reason}`);
  const max = directoryCount(checked.value);
  const scope = values.scope === undefined ? undefined : wholeNumber(values.scope, "--scope", { min: 0, max });
  announce({ ...system, url: proxyBaseUrl });
  const expiresAt = linkExpiry(Math.floor(now), ttl);
  const link = await signLink({
    proxyBaseUrl,
    url: checked.value.href,
    expiresAt,
    keys: keys.value,
    ...(scope !== undefined && { scopeDirectories: scope }),
    ...(values.referer !== undefined && { context: { headers: { referer: values.referer } } }),
  });
  return { link, expiresAt, isJson: values.json };
}
