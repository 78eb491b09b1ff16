// `deno task sign ADDRESS`: a proxy link for an operator's test.
// Example: STREAM_SIGNING_KEYS=k1:… CLOUDFLARE_WORKERS_URL=https://worker.test deno task sign https://cdn.test/a/m.m3u8 --scope 1
import { isLoopbackUrl } from "../core/allowed_origins.ts";
import { directoryCount, linkExpiry, parseSigningKeys, signLink } from "../core/link.ts";
import { checkUrl } from "../core/url_policy.ts";
import { CommandError, parseCommandLine, runCommand, wholeNumber } from "./command_line.ts";
import { policyOf } from "./operator_api.ts";
import { announce, findTarget, PROXY } from "./target.ts";

/** As long as the functions' own links may live: STREAM_LINK_TTL_SECONDS. */
const MAX_TTL_SECONDS = 7 * 86_400;

const USAGE =
  `usage: deno task sign ADDRESS [--proxy URL] [--ttl SECONDS] [--scope DIRECTORIES] [--referer URL] [--env-file FILE]

  --proxy URL        the proxy's address; CLOUDFLARE_WORKERS_URL when left out
  --ttl SECONDS      how long the link plays, up to ${MAX_TTL_SECONDS}; 21600 when left out
  --scope N          also everything below the address's first N directories
  --referer URL      sent to the source
  --env-file FILE    STREAM_SIGNING_KEYS and CLOUDFLARE_WORKERS_URL of the system`;

if (import.meta.main) {
  await runCommand(async () => {
    console.log(await sign(Deno.args, { env: Deno.env.toObject(), now: Date.now() / 1000 }));
    return 0;
  });
}

export interface SignTools {
  readonly env: Readonly<Record<string, string>>;
  /** Unix seconds. */
  readonly now: number;
}

/** @throws {CommandError} instead of a link that does not work. */
export async function sign(args: readonly string[], { env, now }: SignTools): Promise<string> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    options: {
      proxy: { type: "string" },
      ttl: { type: "string", default: "21600" },
      scope: { type: "string" },
      referer: { type: "string" },
      "env-file": { type: "string" },
    },
    positionals: 1,
  });
  const [address] = positionals;
  if (address === undefined) throw new CommandError(USAGE);
  const ttl = wholeNumber(values.ttl, "--ttl", { min: 1, max: MAX_TTL_SECONDS });
  const asked = values.proxy === undefined
    ? env
    : { ...env, ...(env.STREAM_SIGNING_KEYS && { CLOUDFLARE_WORKERS_URL: values.proxy }) };
  const target = await findTarget(asked, { ...PROXY, envFile: values["env-file"] });
  if (values.proxy !== undefined && target.local && !isLoopbackUrl(values.proxy)) {
    throw new CommandError(`${values.proxy} would refuse a link of the local system: set STREAM_SIGNING_KEYS`);
  }
  const proxyBaseUrl = values.proxy ?? target.address;
  const keys = parseSigningKeys(target.env.STREAM_SIGNING_KEYS!);
  if (!keys.ok) throw new CommandError(`STREAM_SIGNING_KEYS: ${keys.error}`);
  const checked = checkUrl(address, policyOf(target));
  if (!checked.ok) throw new CommandError(`the Worker would refuse this address: ${checked.error.reason}`);
  const most = directoryCount(checked.value);
  const scope = values.scope === undefined ? undefined : wholeNumber(values.scope, "--scope", { min: 0, max: most });
  announce({ ...target, address: proxyBaseUrl });
  return await signLink({
    proxyBaseUrl,
    url: checked.value.href,
    expiresAt: linkExpiry(Math.floor(now), ttl),
    keys: keys.value,
    ...(scope !== undefined && { scopeDirectories: scope }),
    ...(values.referer !== undefined && { context: { headers: { referer: values.referer } } }),
  });
}
